"""`sam3-agent export`: the labels of a run as files of a label format."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.commands.export_tracks import TracksExport, export_tracks
from sam3_agent.cli.output import print_line
from sam3_agent.errors import InputError
from sam3_agent.formats.remote_folder import is_remote, upload
from sam3_agent.formats.video import FORMATS as VIDEO_FORMATS
from sam3_agent.labeling.io.export_labels import FORMATS as IMAGE_FORMATS
from sam3_agent.labeling.io.export_labels import SHARDED, ExportReport, export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.review.track_review import is_tracked
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.videos.export_videos import VideoExport, export_videos
from sam3_agent.labeling.videos.video_journal import FOLDER as VIDEOS
from sam3_agent.labeling.videos.video_journal import VideoJournal

LEFT_OUT = {
    "review": "{} labels that wait for review (--with-review takes them along)",
    "accepted": "{} accepted labels",
    "rejected": "{} rejected labels",
    "pending": "{} images that are not labeled yet",
    "duplicate": "{} duplicates of other files",
    "unreadable": "{} unreadable files",
}
"""Words for each route of labels and state of files that an export leaves out."""


@dataclass(frozen=True, slots=True)
class RunExport:
    """Outcome of an export of a run: of its images, of its videos, or of both where a format is for both."""

    images: ExportReport | None
    videos: VideoExport | None
    remote: str = ""
    """URL that the files were copied to; "" where they are on this disk only."""

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`: that of images, with that of videos in it where there are both."""
        document: dict[str, Any] = self.images.to_json() if self.images is not None else {}
        if self.videos is not None:
            document = document | {"tracks": self.videos.to_json()} if document else self.videos.to_json()
        return document | ({"out": self.remote} if self.remote else {})


def export_run(
    folder: Path, form: str, out: str | Path | None, selection: Selection, *, pictures: bool
) -> RunExport | TracksExport:
    """Write DIR/export/FORMAT, or another folder; of a folder of `track` all tracks that nobody rejected.

    A remote folder gets a copy of DIR/export/FORMAT.

    Raises:
        typer.BadParameter: an option is for labels of images, and the folder holds tracks.
        InputError: there is nothing to write, or DIR would lead the files elsewhere.
    """
    remote = out if isinstance(out, str) and is_remote(out) else ""
    local = _usual(folder, form) if out is None or remote else Path(out)
    if is_tracked(folder):
        if pictures or selection != Selection():
            raise typer.BadParameter(f"{folder} holds tracks: only --format and --out are for them")
        tracks = export_tracks(folder, form, local)
        if remote:
            upload(local, remote)
        return tracks
    journal = Journal.open(folder)
    try:
        report = _export(journal, form, local, selection, pictures=pictures)
    finally:
        journal.close()
    if remote:
        upload(local, remote)
    return replace(report, remote=remote)


def _export(journal: Journal, form: str, out: Path, selection: Selection, *, pictures: bool) -> RunExport:
    """Write labels of images, tracks of videos, or both, by what the format is for and what the run has."""
    videos = VideoJournal(journal)
    has_images, has_videos = journal.has_images(), bool(videos.videos())
    of_images, of_videos = form in IMAGE_FORMATS or form in SHARDED, form in VIDEO_FORMATS
    if has_videos and not has_images and not of_videos:
        raise InputError(f"{journal.path.parent} has videos only: their formats are {', '.join(VIDEO_FORMATS)}")
    if of_videos and not of_images and not has_videos:
        raise InputError(f"{form} is for tracks, and {journal.path.parent} has no videos")
    if has_videos and of_videos and (pictures or selection.val or selection.simplify):
        raise InputError("--images, --val and --simplify are for images: leave them out for a format of tracks")
    labels = tracks = None
    if has_videos and of_videos:
        place = out / VIDEOS if has_images and of_images else out
        tracks = export_videos(videos, form, place, selection)
    if of_images and (has_images or not has_videos):
        labels = export(journal, form, out, selection, pictures=pictures)
    elif not of_videos:
        labels = export(journal, form, out, selection, pictures=pictures)  # says which formats there are
    return RunExport(labels, tracks)


def print_report(report: RunExport | TracksExport) -> None:
    """Print what was written and what was left out, for a person."""
    if isinstance(report, TracksExport):
        return report.print()
    if report.images is not None:
        _print_images(report.images)
    if report.videos is not None:
        _print_videos(report.videos)
    if report.remote:
        print_line(f"copied to {report.remote}")
    return None


def _print_videos(report: VideoExport) -> None:
    print_line(f"{report.tracks} tracks in {report.videos} videos as {report.format}: {report.out}")
    if report.left_out:
        print_line(f"left out: {', '.join(f'{count} {name}' for name, count in report.left_out.items())}")
    for warning in report.warnings:
        print_line(f"note: {warning}")


def _print_images(report: ExportReport) -> None:
    splits = ", ".join(f"{count} {name}" for name, count in report.splits.items())
    print_line(f"{report.labels} labels on {report.images} images ({splits}) as {report.format}: {report.out}")
    said = [LEFT_OUT[name].format(report.left_out[name]) for name in LEFT_OUT if report.left_out.get(name)]
    if said:
        print_line(f"left out: {'; '.join(said)}")
    for warning in report.warnings:
        print_line(f"note: {warning}")


def _usual(folder: Path, form: str) -> Path:
    _check_links(folder / "export")
    return folder / "export" / form


def _check_links(folder: Path) -> None:
    """Refuse links in the folder of exports: a run folder of a stranger must not say where on this disk it writes."""
    links = [folder] if folder.is_symlink() else [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise InputError(f"{links[0]} is a link; remove it, or give another --out")
