"""`python -m benchmarks.mcp.staged`: `sam3-mcp` on stdio with the deterministic eye: the server alone."""

import sys
from pathlib import Path

import anyio
import numpy as np
from numpy.typing import NDArray

from mcp_server.access import Access
from mcp_server.backend import Backend
from mcp_server.desks import Desks
from mcp_server.loading import Loading
from mcp_server.pictures import Pictures
from mcp_server.server import build_server
from mcp_server.transport import serve_stdio
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Detection


def answers(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """Two houses and a star on a picture of any size."""
    height, width = image.shape[:2]
    masks = [np.zeros((height, width), dtype=bool) for _ in range(3)]
    for index, mask in enumerate(masks):
        left = width * index // 3
        mask[height // 4 : height // 2 + 1, left : left + max(1, width // 4)] = True
    return {"house": detection(masks[:2]), "star": detection(masks[2:])}


def main() -> None:
    """Serve the pictures of the folder that follows --allow-dir."""
    access = Access.of([Path(sys.argv[sys.argv.index("--allow-dir") + 1])])
    backend = Backend(Loading(lambda: FakeSegmenter(answers), "fake"), lambda: Desks(Pictures(access)))
    anyio.run(serve_stdio, build_server(backend))


if __name__ == "__main__":
    main()
