"""`sam3-agent export` of a folder of tracks: all that nobody rejected, as people have changed them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.output import print_line
from sam3_agent.cli.track_files import OVERLAY, concepts_asked, is_unfinished, track_set, write_format, write_overlay
from sam3_agent.errors import InputError
from sam3_agent.formats.video import FORMATS
from sam3_agent.labeling.review.track_review import find_video
from sam3_agent.video import Video
from sam3_agent.workspace.tracking.reviewed import ReviewedTracks


@dataclass(frozen=True, slots=True)
class TracksExport:
    """Outcome of an export of tracks."""

    out: Path
    format: str
    tracks: int
    counts: dict[str, int]
    """Route -> tracks; the rejected ones are not in it."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`."""
        waiting = self.counts["review"]
        return {
            "out": str(self.out), "format": self.format, "tracks": self.tracks, "undecided": waiting,
            "left_out": {"rejected": self.counts["rejected"]}, "warnings": list(self.warnings),
        }  # fmt: skip

    def print(self) -> None:
        """Print what was written and what was left out, for a person."""
        print_line(f"{self.tracks} tracks as {self.format}: {self.out}")
        if self.counts["rejected"]:
            print_line(f"left out: {self.counts['rejected']} rejected tracks")
        if self.counts["accepted"] and self.counts["review"]:
            print_line(f"note: {self.counts['review']} of them wait for review")
        for warning in self.warnings:
            print_line(f"note: {warning}")


def export_tracks(folder: Path, form: str, out: Path) -> TracksExport:
    """Write the tracks of a folder in a format.

    Raises:
        typer.BadParameter: there is no such format of tracks.
        InputError: a journal is broken, or the overlay is asked for and the video is gone.
    """
    if form not in (OVERLAY, *FORMATS):
        raise typer.BadParameter(f"{form!r} is none of {', '.join((OVERLAY, *FORMATS))}", param_hint="'--format'")
    reviewed = ReviewedTracks(folder)
    video = _video(reviewed, needed=form == OVERLAY)
    store, header = reviewed.store, reviewed.store.header
    frames = len(video) if video else int(header.settings.get("frames", (store.last_frame or 0) + 1))
    names = video.info.names if video else ()
    size = (header.width, header.height, frames)
    tracks = track_set(header.source, size, reviewed.kept, concepts_asked(folder), header.fps, names)
    span = range(store.first_frame or 0, (store.last_frame or 0) + 1)
    if form == OVERLAY and video is not None:
        written = write_overlay(video, tracks, span, out)
    else:
        written = write_format(tracks, form, out)
    warnings = list(written.notes)
    if is_unfinished(folder):
        warnings.append("the video was not tracked to its end: give the command of `track` again to go on")
    if reviewed.passed_over:
        warnings.append(f"{reviewed.passed_over} decisions are about tracks that are no longer there")
    return TracksExport(written.path, form, len(tracks.tracks), reviewed.counts, tuple(warnings))


def _video(reviewed: ReviewedTracks, *, needed: bool) -> Video | None:
    """The video; None where it is gone, and is needed for the names of its frames at most."""
    try:
        return find_video(reviewed)
    except InputError:
        if needed:
            raise
        return None
