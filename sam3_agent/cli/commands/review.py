"""`sam3-agent review`: the review page on this machine, or calibration alone."""

import logging
import socket
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from sam3_agent.cli.commands.label_videos import refuse_videos_only
from sam3_agent.cli.loading import load_for_teaching, open_workspace
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_table
from sam3_agent.errors import Sam3AgentError
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import Handlers
from sam3_agent.labeling.review.refine import ReviewSegmenter
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.review.server import build_app, new_token
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
    """Serve the page until Ctrl-C.

    Raises:
        Sam3AgentError: there is no journal, or the port is taken.
    """
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with ExitStack() as stack:
        journal = stack.enter_context(closing(Journal.open(folder)))
        refuse_videos_only(journal)
        rounds = stack.enter_context(closing(Rounds(journal, lambda: load_for_teaching(segmenter))))
        token = new_token()
        asked = ReviewSegmenter(journal, lambda: open_workspace(segmenter))
        app = build_app(Handlers(journal, ReviewDecisions(journal, page.reviewer), asked), token, rounds)
        with _listening(page.port) as listener:
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
