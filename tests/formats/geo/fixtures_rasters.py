"""Small rasters with a place on a map, made in the test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


def rasterio(part: str = "rasterio") -> Any:
    return pytest.importorskip(part, reason="rasterio is not installed: pip install 'sam3-agent[geo]'")


UTM = "EPSG:32633"
TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)
"""10 m a pixel, north up."""


def write_raster(path: Path, bands: NDArray[Any], **more: Any) -> Path:
    """`bands` is (N, H, W)."""
    library = rasterio()
    options = {"crs": UTM, "transform": library.Affine(*TRANSFORM), **more}
    count, height, width = bands.shape
    with library.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **options
    ) as raster:
        raster.write(bands)
    return path


def ramp(count: int = 4, height: int = 40, width: int = 60) -> NDArray[np.uint16]:
    """Bands that differ: number, row and column show in every value."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([1000 * (n + 1) + 10 * rows + columns for n in range(count)]).astype(np.uint16)
