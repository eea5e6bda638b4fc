"""A scripted video whose frames say their own number, and the fake model that knows what is on each.

`python -m tests.workspace.tracking.scripted FOLDER [FRAME]` tracks it into a folder, is killed by itself when FRAME is
told, and else says how many frames it told.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Detection
from sam3_agent.workspace import Workspace

HEIGHT, WIDTH, FRAMES = 90, 120, 80


def frame(index: int) -> NDArray[np.uint8]:
    """(H, W, 3); the blue channel is the index."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 2] = index
    return pixels


def scripted_video() -> NDArray[np.uint8]:
    """(T, H, W, 3)"""
    return np.stack([frame(index) for index in range(FRAMES)])


def answers(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """Two cats, one of which is away in frames 30 to 39, and a dog that moves down."""
    index = int(image[0, 0, 2])
    cats = [_square(5 + index, 8)] + ([] if 30 <= index < 40 else [_square(95, 50)])
    return {"cat": detection(cats), "dog": detection([_square(55, 30 + index // 10)])}


def scripted_model() -> FakeSegmenter:
    """The fake model that knows the script."""
    return FakeSegmenter(answers)


def _square(left: int, top: int, side: int = 20) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def main() -> None:
    """See the module."""
    workspace = Workspace(scripted_model())
    video = workspace.open_video(scripted_video())
    stop = int(sys.argv[2]) if len(sys.argv) > 2 else -1
    count = 0
    for told in workspace.follow(video.id, ["cat", "dog"], live=True, folder=Path(sys.argv[1])):
        count += 1
        if told.frame == stop:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.stdout.write(str(count))


if __name__ == "__main__":
    main()
