"""From the tracks of a journal to files of track formats."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.video import FORMATS, export_tracks
from sam3_agent.formats.video.label_studio_video import write_label_studio_video
from sam3_agent.formats.video.track_set import TrackSet
from sam3_agent.formats.video.ytvis import write_ytvis
from sam3_agent.labeling.io.journal_labels import Selection, provenance_of
from sam3_agent.labeling.store.summary import class_names, model_name
from sam3_agent.labeling.videos.track_label import TrackLabel
from sam3_agent.labeling.videos.video_journal import FOLDER, VideoJournal, VideoRow
from sam3_agent.workspace.tracking.decisions import read_decisions
from sam3_agent.workspace.tracking.reviewed import ReviewedTrack, ReviewedTracks

TOGETHER = ("ytvis", "veval", "label-studio")
"""Formats that hold all videos of a run in one file; of the others each video has a folder."""


@dataclass(frozen=True, slots=True)
class VideoExport:
    """Outcome of an export of tracks."""

    out: Path
    format: str
    videos: int
    tracks: int
    left_out: dict[str, int]
    """Tracks by their route, and videos by their state, that are not in it."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`."""
        counted = {"videos": self.videos, "tracks": self.tracks}
        return {
            "out": str(self.out), "format": self.format, **counted, "left_out": self.left_out,
            "warnings": list(self.warnings),
        }  # fmt: skip


def export_videos(journal: VideoJournal, form: str, out: Path, selection: Selection) -> VideoExport:
    """Write the tracks of a journal in one format, under the ids of the videos' own folders, and provenance.jsonl.

    Raises:
        InputError: an unknown format, or no video that is labeled.
        OSError: the folder cannot be written.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format of tracks {form!r}; known: {', '.join(FORMATS)}")
    rows = journal.videos("done")
    if not rows:
        raise InputError(f"{journal.journal.path.parent} has no labeled videos yet; run 'sam3-agent label' first")
    labels = {row.path: _labels(journal, row) for row in rows}
    chosen = {path: [one for one in found if one.label.route in selection.routes] for path, found in labels.items()}
    sets = [_track_set(journal, row, labels[row.path], chosen[row.path]) for row in rows]
    warnings = _write(sets, form, out, model_name(journal.journal))
    write_text(out / "provenance.jsonl", "".join(_provenance(row, each) for row in rows for each in chosen[row.path]))
    routes = Counter(each.label.route for found in labels.values() for each in found)
    left = {route: count for route, count in routes.items() if route not in selection.routes}
    states = Counter(row.state for row in journal.videos() if row.state != "done")
    count = sum(map(len, chosen.values()))
    return VideoExport(out, form, len(rows), count, {**left, **states}, tuple(warnings))


def _labels(journal: VideoJournal, row: VideoRow) -> list[TrackLabel]:
    return as_reviewed(journal.labels(row.sha), journal.journal.path.parent / FOLDER / row.folder)


def as_reviewed(labels: Sequence[TrackLabel], folder: Path) -> list[TrackLabel]:
    """Labels of a video as people have decided about its tracks on the review page of its folder.

    Merged tracks are one label, the later part of a split is a label of its own; both wait until somebody decides.

    Raises:
        InputError: the journal of decisions is broken.
    """
    decisions = read_decisions(folder).standing
    if not decisions:
        return list(labels)
    decided = {each.track.id: each for each in ReviewedTracks(folder).all}
    touched = {name for each in decisions for name in (each.id, each.other, each.new_id) if name}
    made = list(labels)
    for decision in decisions:
        if decision.action == "split":
            parents = [one for one in made if one.track.id == decision.id]
            made += [_renamed(one, decision.new_id) for one in parents]
    kept = [one for one in made if one.track.id in decided or one.track.id not in touched]
    return [_decided(one, decided[one.track.id]) if one.track.id in touched else one for one in kept]


def _renamed(one: TrackLabel, track_id: str) -> TrackLabel:
    label_id = f"{one.label.id.rpartition('.')[0]}.{track_id}"
    return TrackLabel(replace(one.label, id=label_id), replace(one.track, id=track_id))


def _decided(one: TrackLabel, reviewed: ReviewedTrack) -> TrackLabel:
    """A label with the track as it is now, and what a person said of it last."""
    track = reviewed.track
    largest = max(track.visible, key=lambda frame: masks.area(frame.rle))
    label = replace(one.label, rle=largest.rle, box=largest.box, route=reviewed.route, reason=reviewed.reason)
    if track.concept != one.track.concept:
        label = replace(label, class_name=track.concept)
    if reviewed.reviewer:
        verdict = "right" if reviewed.route == "accepted" else "wrong"
        label = replace(label, verdict=verdict, decided_by="person", reviewer=reviewed.reviewer)
    return TrackLabel(label, track)


def _track_set(
    journal: VideoJournal, row: VideoRow, found: Sequence[TrackLabel], labels: Sequence[TrackLabel]
) -> TrackSet:
    alive = {each.label.class_name for each in found if each.label.route != "rejected"}
    absent = tuple(name for name in class_names(journal.journal) if name not in alive)
    tracks = _apart([each.named for each in labels])
    return TrackSet(row.folder, row.width, row.height, row.frames, tracks, row.fps, (), absent, row.path)


def _apart(tracks: Sequence[Any]) -> tuple[Any, ...]:
    """Give a track that is a label of two classes (overlap "keep") an id of its own in the second."""
    seen: Counter[str] = Counter()
    made: list[Any] = []
    for track in tracks:
        seen[track.id] += 1
        made.append(track if seen[track.id] == 1 else replace(track, id=f"{track.id}-{seen[track.id]}"))
    return tuple(made)


def _write(sets: Sequence[TrackSet], form: str, out: Path, model: str) -> list[str]:
    if form == "label-studio":
        return write_label_studio_video(sets, out, model=model)
    if form in TOGETHER:
        return write_ytvis(sets, out / "annotations.json", "list" if form == "ytvis" else "string")
    warnings: list[str] = []
    for video in sets:
        warnings += [f"{video.name}: {told}" for told in export_tracks(video, form, out / video.name)]
    return warnings


def _provenance(row: VideoRow, each: TrackLabel) -> str:
    label, track = each.label, each.track
    seen = {"track": track.id, "first_frame": track.visible[0].index, "last_frame": track.visible[-1].index}
    document = {"id": label.id, "video": row.path, "class": label.class_name, **seen, **provenance_of(label)}
    return json.dumps(document, ensure_ascii=False) + "\n"
