"""A server over a deterministic model, and a picture that it knows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mcp.server.lowlevel import Server
from PIL import Image
from sam3_mcp.results import DEFAULTS, Settings
from sam3_mcp.server import build_server

from sam3_agent.model.segmenter import Segmenter
from tests.mcp_server.fixtures_server import HEIGHT, WIDTH, MakeServer, make_backend


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The one folder that may be opened; it holds square.png."""
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    pixels = np.full((HEIGHT, WIDTH, 3), 240, dtype=np.uint8)
    pixels[20:80, 20:80] = (200, 30, 30)
    pixels[120:200, 200:280] = (30, 30, 200)
    Image.fromarray(pixels).save(allowed / "square.png")
    return allowed


@pytest.fixture
def make_server(folder: Path) -> MakeServer:
    def make(settings: Settings = DEFAULTS, make_segmenter: Callable[[], Segmenter] | None = None) -> Server[None]:
        return build_server(make_backend(folder, settings, make_segmenter))

    return make
