"""A folder with two videos and a picture, a model that knows what is on every frame, and ways to label them.

Frames say their number by their blue, in steps that survive a lossy codec. Run as a program, it labels such a folder
and kills itself before it would encode one frame more: `python -m tests.labeling.fixtures_videos IMAGES OUT FRAMES`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent.cli.commands.label_videos import label_videos
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, begin, label_images
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.videos.scan_videos import has_images
from sam3_agent.labeling.videos.video_journal import VideoJournal
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.planner import RulesLLM
from sam3_agent.types import Detection
from sam3_agent.video import write_video
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import ontology

HEIGHT, WIDTH, FRAMES, STEP = 96, 128, 20, 12
CONCEPTS = """
classes:
  - name: cat
    phrases: [cat, kitten]
    negatives: [fox]
    attributes: {home: yes}
  - name: dog
  - name: cow
"""


def frame(index: int) -> NDArray[np.uint8]:
    """(H, W, 3)"""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 2] = STEP * index
    return pixels


def answers(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """A cat that walks, which is a kitten as well; one that a fox beats; a dog that is away in frames 8 to 12."""
    index = round(float(image[..., 2].mean()) / STEP)
    walking, sly = _square(5 + 2 * index, 8), _square(95, 60)
    return {
        "cat": detection([walking, sly], [0.95, 0.8]),
        "kitten": detection([walking], [0.85]),
        "fox": detection([sly], [0.95]),
        "dog": detection([] if 8 <= index <= 12 else [_square(55, 40)], [0.78] * (not 8 <= index <= 12)),
    }


def _square(left: int, top: int, side: int = 20) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


class Counting(FakeSegmenter):
    """Knows the script; kills its process at the frame after `most`."""

    def __init__(self, most: int = -1) -> None:
        super().__init__(answers)
        self.most = most

    def encode(self, image: NDArray[np.uint8]) -> Any:
        if self.encodes == self.most:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(image)


def write_folder(folder: Path, *, pictures: int = 1) -> Path:
    """Two videos, of which one lies in a folder below, pictures, and what only is called a video."""
    (folder / "more").mkdir(parents=True)
    write_video(folder / "one.mp4", (frame(index) for index in range(FRAMES)), fps=10.0)
    write_video(folder / "more" / "one.mkv", (frame(index) for index in range(FRAMES // 2)), fps=10.0)
    (folder / "broken.mp4").write_bytes(b"no video")
    for index in range(pictures):
        Image.fromarray(frame(index)).save(folder / f"{index}.png")
    return folder


def label(images: Path, out: Path, model: FakeSegmenter, concepts: str = CONCEPTS) -> Journal:
    """Label a folder, or go on with it; the caller closes the journal."""
    journal = Journal.create(out)
    proposer = Proposer(Workspace(model), ontology(concepts), RulesLLM, "never")
    executor = ThreadExecutor(proposer)
    if has_images(images):
        label_images(Order(images), journal, executor)
    begin(journal, executor, Order(images))
    label_videos(images, journal, proposer)
    return journal


def contents(journal: Journal) -> list[object]:
    """Everything about videos and tracks but how long it took."""
    videos = VideoJournal(journal)
    rows = [{k: v for k, v in row.to_json().items() if k not in ("seconds", "mtime")} for row in videos.videos()]
    return [rows, videos.labels()]


def main() -> None:
    """See the module."""
    label(Path(sys.argv[1]), Path(sys.argv[2]), Counting(int(sys.argv[3]))).close()


if __name__ == "__main__":
    main()
