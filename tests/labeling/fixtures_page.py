"""The review page on a port of this machine, for tests that drive it with a browser."""

import shutil
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image

from sam3_agent import masks
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.handlers import Handlers
from sam3_agent.labeling.review.refine import ReviewSegmenter
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.review.server import build_app
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.workspace import Workspace

TOKEN = "key-of-the-test"


@dataclass(frozen=True)
class Served:
    """A page that is being served."""

    url: str
    calls: Handlers


@contextmanager
def served(journal: Journal, segmenter: FakeSegmenter, rounds: Rounds | None = None) -> Generator[Served]:
    """Serve the page of a journal until the block ends."""
    calls = Handlers(
        journal, ReviewDecisions(journal, "tester"), ReviewSegmenter(journal, lambda: Workspace(segmenter)), rounds
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(calls, TOKEN), log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/", calls)
    finally:
        calls.segmenter.stop_search()
        server.should_exit = True
        thread.join()
        listener.close()


def chromium() -> str:
    """The browser of this machine; skips where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    return found


def big_journal(folder: Path, images: Path, count: int, labels: list[Label]) -> Journal:
    """A journal of so many labeled images, the first of which has the labels given, the others one each."""
    journal = Journal.create(folder)
    journal.remember(
        {
            "images": str(images),
            "model": {"name": "fake"},
            "ontology": {"classes": [{"name": labels[0].class_name, "phrases": []}]},
            "thresholds": {labels[0].class_name: {"threshold": 0.35, "review": 0.35, "accept": 0.75}},
        }
    )
    first = labels[0]
    height, width = first.rle.size
    rows = [
        ImageRow(
            "000.png" if n == 0 else f"copy-{n:05d}.png",
            first.sha if n == 0 else f"{n:064x}",
            1,
            1,
            "done",
            "",
            width,
            height,
        )
        for n in range(count)
    ]
    journal.put_images(rows)
    more = [replace(first, id=f"{row.sha}.0", sha=row.sha, quality=0.01) for row in rows[1:]]
    journal.put_labels([*labels, *more])
    return journal


def three_hundred(images: Path) -> list[Label]:
    """Two noisy pictures of 1024 x 1024, and 300 discs as labels of the first."""
    side, across = 1024, 20
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    images.mkdir()
    for name in ("000.png", "copy-00001.png"):
        Image.fromarray(pixels).save(images / name)
    step = side // across
    rows, columns = np.mgrid[:side, :side]
    labels: list[Label] = []
    for number in range(300):
        y, x = (number // across) * step + step / 2, (number % across) * step + step / 2
        rle = masks.encode((rows - y) ** 2 + (columns - x) ** 2 < (step * 0.45) ** 2)
        box = masks.box(rle)
        labels.append(
            Label(f"l{number:03d}", "f" * 64, "thing", rle, box, 0.6, 0.6, 1.0, "phrase", "thing", quality=0.5)
        )
    return labels


@contextmanager
def launched() -> Generator[Any]:
    """A browser; skips where this machine has none."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(browser: Any, width: int, height: int) -> Generator[Any]:
    """A page that may fail at nothing, and ask no other machine for anything."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: (
            errors.append(request.url)
            if "127.0.0.1" not in request.url[:20] and not request.url.startswith(("blob:", "data:"))
            else None
        ),
    )
    yield page
    page.close()
    assert errors == []
