"""A folder of tracks as `sam3-agent track` leaves it, and the page for it on a port of this machine."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from PIL import Image

from sam3_agent.labeling.review.page import ReviewPage
from sam3_agent.labeling.review.server import build_app
from sam3_agent.labeling.review.track_corrections import TrackCorrector
from sam3_agent.labeling.review.track_handlers import TrackHandlers
from sam3_agent.labeling.review.track_review import TrackReview
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.workspace import Workspace
from tests.workspace.tracking.scripted import FRAMES, frame, scripted_model

TOKEN = "key-of-the-test"


def scripted_run(folder: Path) -> Path:
    """Track the scripted video, a folder of frames in `folder`, into a folder beside it; gives that."""
    frames = folder / "pets"
    frames.mkdir()
    for index in range(FRAMES):
        Image.fromarray(frame(index)).save(frames / f"{index}.png")
    workspace = Workspace(scripted_model())
    video = workspace.open_video(frames)
    workspace.track(video.id, ["cat", "dog"], folder=folder / "run")
    return folder / "run"


def handlers(run: Path, model: FakeSegmenter | None = None, reviewer: str = "tester") -> TrackHandlers:
    """The calls of the page of a run."""
    review = TrackReview(run, reviewer)
    return TrackHandlers(review, TrackCorrector(review, lambda: Workspace(model or scripted_model())))


@dataclass(frozen=True)
class ServedTracks:
    """A page that is being served."""

    url: str
    calls: TrackHandlers


@contextmanager
def served_tracks(calls: TrackHandlers) -> Generator[ServedTracks]:
    """Serve the page of a run until the block ends."""
    with serving(calls) as url:
        try:
            yield ServedTracks(url, calls)
        finally:
            calls.close()


@contextmanager
def serving(page: ReviewPage) -> Generator[str]:
    """Serve a page on a free port; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(page, TOKEN), log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
