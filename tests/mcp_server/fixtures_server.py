"""The picture and the deterministic model that the tests of the server share, and how they read a result."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mcp.server.lowlevel import Server
from mcp_types import CallToolResult, ImageContent, TextContent
from numpy.typing import NDArray
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.model_loader import Loading
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.results import DEFAULTS, Settings
from sam3_mcp.sessions import Sessions
from sam3_mcp.tool_handler import Backend

from sam3_agent.llm.base import LLM
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.types import Detection

HEIGHT, WIDTH = 240, 320
MakeServer = Callable[..., Server[None]]


def block(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def answers(image: NDArray[np.uint8]) -> dict[str, Detection]:
    if image.shape != (HEIGHT, WIDTH, 3):
        return {}
    squares = [block(20, 20, 80, 80), block(200, 120, 280, 200)]
    return {
        "square": detection(squares, [0.95, 0.8]),
        "cat": detection([block(100, 100, 140, 140)], [0.9], presence=0.3),
        "dot": detection([block(x, y, x + 6, y + 6) for x in range(0, 300, 15) for y in range(0, 200, 20)]),
    }


def make_backend(
    folder: Path,
    settings: Settings = DEFAULTS,
    make_segmenter: Callable[[], Segmenter] | None = None,
    make_llm: Callable[[], LLM] | None = None,
    **sessions: Any,
) -> Backend:
    """A backend over the deterministic model, which may open what is in `folder`; `sessions` are options of the
    sessions.
    """
    make_it = make_segmenter or (lambda: FakeSegmenter(answers))
    pictures = sessions.pop("pictures", None) or ImageAccess(PathAllowlist.of([folder]))
    return Backend(Loading(make_it, "fake"), lambda: Sessions(pictures, **sessions), settings, make_llm)


def still_video(folder: Path, frames: int = 4, name: str = "still") -> Path:
    """A folder of frames in `folder`, each the picture of the tests."""
    target = folder / name
    target.mkdir()
    for index in range(frames):
        shutil.copy(folder / "square.png", target / f"{index:05d}.png")
    return target


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def images_of(result: CallToolResult) -> list[ImageContent]:
    return [block for block in result.content if isinstance(block, ImageContent)]
