"""`sam3-agent label` of videos: each is tracked in a folder of its own, its tracks are labels of the run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sam3_agent.cli.commands.track import Asked, How, track
from sam3_agent.cli.images import Images
from sam3_agent.cli.output import print_line, print_table, say
from sam3_agent.cli.videos import check_suitable
from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import Ontology, Thresholds
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import run_lock
from sam3_agent.labeling.pipeline.scan import root_of
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import ROUTES
from sam3_agent.labeling.verify.thresholds import thresholds_of
from sam3_agent.labeling.videos.scan_videos import scan_videos
from sam3_agent.labeling.videos.track_label import phrases_of, track_labels_of
from sam3_agent.labeling.videos.video_journal import FOLDER, STATES, VideoJournal, VideoRow
from sam3_agent.types import ConceptPrompt
from sam3_agent.video import open_video
from sam3_agent.workspace import Workspace

_MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """Videos and tracks of a run, counted."""

    rows: tuple[VideoRow, ...]
    classes: dict[str, dict[str, int]]
    """Class -> route -> tracks."""

    @classmethod
    def of(cls, journal: Journal) -> "VideoSummary":
        """Count those of a journal."""
        videos = VideoJournal(journal)
        return cls(tuple(videos.videos()), videos.counts())

    def to_json(self) -> dict[str, Any]:
        """Give one document in plain values."""
        states = {state: sum(row.state == state for row in self.rows) for state in STATES}
        files = [{"path": row.path, "state": row.state, "folder": f"{FOLDER}/{row.folder}"} for row in self.rows]
        unreadable = [{"path": row.path, "reason": row.reason} for row in self.rows if row.state == "unreadable"]
        seconds = round(sum(row.seconds for row in self.rows), 2)
        return {"states": states, "tracks": self.classes, "files": files, "unreadable": unreadable, "seconds": seconds}

    def print(self, out: Path) -> None:
        """Print the counts for a person."""
        states = [(state, sum(row.state == state for row in self.rows)) for state in STATES]
        print_line(f"videos: {', '.join(f'{count} {state}' for state, count in states if count)}", style="bold")
        rows = [[name, *(str(routes[route]) for route in ROUTES)] for name, routes in self.classes.items()]
        print_table(("tracks of", *ROUTES), rows, right=ROUTES)
        for row in [row for row in self.rows if row.state == "unreadable"][:_MOST_LISTED]:
            print_line(f"unreadable: {row.path} ({row.reason})")
        done = next((row for row in self.rows if row.state == "done"), None)
        if done is not None:
            print_line(f"look at one: sam3-agent review {out / FOLDER / done.folder}")
            print_line(f"files of tracks: sam3-agent export {out} --format ytvis")


def check_trackable(ontology: Ontology) -> None:
    """Refuse an ontology of which nothing can be tracked; raises InputError."""
    if not phrases_of(ontology):
        raise InputError("no class has phrases or exemplars, and a query is not asked of videos: add a phrase")


def refuse_videos_only(journal: Journal) -> None:
    """Refuse to show labels of images where a run has videos only; raises InputError that says what to open."""
    rows = VideoJournal(journal).videos()
    if rows and not journal.has_images():
        done = [row.folder for row in rows if row.state == "done"]
        first = journal.path.parent / FOLDER / done[0] if done else ""
        raise InputError(
            f"{journal.path.parent} has videos only, {len(done)} of them labeled; each is reviewed by itself"
            + (f": sam3-agent review {first}" if done else "")
        )


def label_videos(images: Path, journal: Journal, proposer: Proposer) -> None:
    """Track what is pending, and write each video's tracks to the journal as one step.

    Raises:
        InputError: a folder holds the tracks of something else.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    run, workspace, ontology = journal.path.parent, proposer.workspace, proposer.ontology
    with run_lock(run):
        videos = VideoJournal(journal)
        videos.prepare()
        rows = scan_videos(images, videos)
        thresholds = thresholds_of(journal)
        videos.route_anew(thresholds)
        pending = [row for row in rows if row.state == "pending"]
        if pending:
            _say_untracked(ontology)
            proposer.learn()
        for row in pending:
            _label(workspace, ontology, thresholds, videos, row, root_of(images) / row.path)


def _label(
    workspace: Workspace,
    ontology: Ontology,
    thresholds: dict[str, Thresholds],
    videos: VideoJournal,
    row: VideoRow,
    path: Path,
) -> None:
    try:
        video = open_video(path)
        check_suitable(video)
    except InputError as error:
        reason = str(error).removeprefix(f"{str(path)!r} ").removeprefix(f"{path} ")
        videos.put_videos([replace(row, state="unreadable", reason=reason)])
        return
    asked = Asked(Images((str(path),), many=False, word="video"), _prompts(workspace, ontology))
    folder = videos.journal.path.parent / FOLDER / row.folder
    report = track(workspace, str(path), asked, How(), folder, (), began=time.perf_counter())
    if report.stopped is not None:
        raise KeyboardInterrupt
    labels = track_labels_of(ontology, report.tracks, thresholds, row.sha, workspace.info.name)
    info = video.info
    done = replace(
        row, state="done", reason="", width=info.width, height=info.height, frames=info.frames, fps=info.fps,
        seconds=round(row.seconds + report.seconds, 3),
    )  # fmt: skip
    videos.finish(done, labels)
    accepted = sum(each.label.route == "accepted" for each in labels)
    say(f"{row.path}: {len(labels)} tracks, {accepted} accepted")


def _prompts(workspace: Workspace, ontology: Ontology) -> tuple[ConceptPrompt, ...]:
    learned = {f"@{concept.name}": concept for concept in workspace.concepts()}
    phrases: Sequence[str] = phrases_of(ontology)
    return tuple(
        ConceptPrompt(learned[phrase].phrase, (), learned[phrase]) if phrase in learned else ConceptPrompt(phrase)
        for phrase in phrases
    )


def _say_untracked(ontology: Ontology) -> None:
    """Say what of a concept file is for images only."""
    for each in ontology.classes:
        if each.query:
            say(f"note: the query of class {each.name!r} is asked of images only")
        if each.choices:
            say(f"note: the attributes {', '.join(each.choices)} of class {each.name!r} are decided on images only")
