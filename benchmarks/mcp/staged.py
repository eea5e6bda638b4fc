"""`python -m benchmarks.mcp.staged`: `sam3-mcp` on stdio with the deterministic model: the server alone."""

import argparse
from pathlib import Path

import anyio
import numpy as np
from numpy.typing import NDArray
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.malloc_tuning import keep_memory_flat
from sam3_mcp.model_loader import Loading
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.server import build_server
from sam3_mcp.sessions import Sessions
from sam3_mcp.stdio_server import serve_stdio
from sam3_mcp.tool_handler import Backend

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
    """Serve the pictures of the folder that follows --allow-dir; write under the one that follows --out-dir."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.staged", description=__doc__)
    parser.add_argument("--allow-dir", type=Path, required=True)
    parser.add_argument("--out-dir", type=Path)
    options = parser.parse_args()
    keep_memory_flat()
    pictures = ImageAccess(PathAllowlist.of([options.allow_dir]))
    loading = Loading(lambda: FakeSegmenter(answers), "fake")
    backend = Backend(loading, lambda: Sessions(pictures, out_dir=options.out_dir))
    anyio.run(serve_stdio, build_server(backend))


if __name__ == "__main__":
    main()
