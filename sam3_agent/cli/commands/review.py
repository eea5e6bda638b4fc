"""`sam3-agent review`: the review page on this machine, or calibration alone."""

import logging
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sam3_agent.cli.commands.label_videos import refuse_videos_only
from sam3_agent.cli.loading import load_for_teaching, open_workspace
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_table, say
from sam3_agent.cli.track_files import is_unfinished
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import Handlers
from sam3_agent.labeling.review.page import ReviewPage
from sam3_agent.labeling.review.refine import ReviewSegmenter
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.review.server import build_app, new_token
from sam3_agent.labeling.review.track_corrections import TrackCorrector
from sam3_agent.labeling.review.track_handlers import TrackHandlers
from sam3_agent.labeling.review.track_review import TrackReview, is_tracked
from sam3_agent.labeling.store.journal import FILE as JOURNAL
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.verify.calibrate import Fit, calibrate

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Page:
    """Port and reviewer of the page."""

    port: int = 0
    """0 takes a free one."""
    reviewer: str = "person"


def fit_rule(folder: Path, precision: float) -> list[Fit]:
    """Fit the thresholds of the rule to what has been decided."""
    journal = Journal.open(folder)
    try:
        return calibrate(journal, precision)
    finally:
        journal.close()


def print_fits(fits: list[Fit]) -> None:
    """Print the thresholds for a person."""
    rows = [
        [
            f.class_name,
            str(f.decided),
            str(f.right),
            f"{f.after.review:.2f}",
            f"{f.after.accept:.2f}",
            "" if f.own else "all",
        ]
        for f in fits
    ]
    print_table(("class", "decided", "right", "review from", "accept from", "by labels of"), rows)


def serve(folder: Path, page: Page, segmenter: ModelOptions) -> None:
    """Serve the page of a folder, of labels or of tracks, until Ctrl-C.

    Raises:
        Sam3AgentError: there is nothing to review, or the port is taken.
    """
    with _tracks_page(folder, page, segmenter) if is_tracked(folder) else _labels_page(folder, page, segmenter) as made:
        _serve(made, page.port)


@contextmanager
def _labels_page(folder: Path, page: Page, segmenter: ModelOptions) -> Generator[ReviewPage]:
    _refuse_many(folder)
    with closing(Journal.open(folder)) as journal:
        refuse_videos_only(journal)
        decisions = ReviewDecisions(journal, page.reviewer)
        with closing(Rounds(journal, lambda: load_for_teaching(segmenter))) as rounds:
            yield Handlers(journal, decisions, ReviewSegmenter(journal, lambda: open_workspace(segmenter)), rounds)


@contextmanager
def _tracks_page(folder: Path, page: Page, segmenter: ModelOptions) -> Generator[ReviewPage]:
    review = TrackReview(folder, page.reviewer)
    for note in _notes(review, segmenter):
        say(f"note: {note}")
    handlers = TrackHandlers(review, TrackCorrector(review, lambda: open_workspace(segmenter)))
    try:
        yield handlers
    finally:
        handlers.close()


def _notes(review: TrackReview, segmenter: ModelOptions) -> Generator[str]:
    tracked = review.model
    if tracked and tracked != segmenter.model:
        yield f"tracked by {tracked}; clicks are followed by {segmenter.model} (--model)"
    if is_unfinished(review.folder):
        yield "the video was not tracked to its end: give the command of `track` again to go on, then open this anew"
    if review.passed_over:
        yield f"{review.passed_over} decisions are about tracks that are no longer there"


def _refuse_many(folder: Path) -> None:
    """Name the folders of the videos where a folder holds several: each has a page of its own."""
    below = sorted(path for path in folder.iterdir() if is_tracked(path)) if folder.is_dir() else []
    if below and not (folder / JOURNAL).exists():
        named = ", ".join(str(path) for path in below[:5]) + (", ..." if len(below) > 5 else "")
        raise InputError(f"{folder} holds the tracks of {len(below)} videos; review one of them: {named}")


def _serve(page: ReviewPage, port: int) -> None:
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    token = new_token()
    app = build_app(page, token)
    with _listening(port) as listener:
        print_line(f"http://{HOST}:{listener.getsockname()[1]}/{token}/", before=("review: ", "bold"))
        print_line("the address holds a key: whoever has it can decide; Ctrl-C ends")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        server.run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise Sam3AgentError(f"port {port} cannot be used ({error.strerror}); give another --port") from error
    return listener
