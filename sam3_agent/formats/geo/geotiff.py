"""GeoTIFF: windows of a raster as 8-bit RGB by a stretch that is stated, with the map coordinates of their pixels.

Read by rasterio (extra `[geo]`), which brings GDAL. Bounded: a window has at most `image_loading.MAX_PIXELS`, a sample
for the stretch `_SAMPLE`. Only TIFF is opened: GDAL's other drivers reach into archives, databases and the network.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError

StretchMode = Literal["auto", "none", "percent", "minmax"]
PERCENT = (2.0, 98.0)
"""Cumulative cut of QGIS and of most viewers: a few bright roofs do not make all else black."""
_SAMPLE = 4_000_000
"""Pixels of a band, thinned out evenly, that limits are taken from."""
MOST_PIXELS = 200_000_000
"""Of one window."""

Window = tuple[int, int, int, int]
"""x0, y0, width, height in pixels of the raster."""


@dataclass(frozen=True, slots=True)
class GeoReference:
    """Map coordinates of pixels: x = a col + b row + c, y = d col + e row + f, of pixel corners (GDAL's order is c a b
    f d e).
    """

    crs: str
    """"EPSG:32633", or WKT where there is no code."""
    transform: tuple[float, float, float, float, float, float]
    """a, b, c, d, e, f."""

    def at(self, column: float, row: float) -> tuple[float, float]:
        """The map coordinates of a point in pixels."""
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f

    def window(self, window: Window) -> "GeoReference":
        """The same for a part of the raster, whose pixels count from its own corner."""
        a, b, _, d, e, _ = self.transform
        c, f = self.at(window[0], window[1])
        return GeoReference(self.crs, (a, b, c, d, e, f))

    @property
    def pixel_area(self) -> float:
        """Of one pixel, in square units of the map."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return {"crs": self.crs, "transform": list(self.transform)}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bands shown as red, green and blue, and the values that become 0 and 255."""

    bands: tuple[int, int, int]
    """From 1."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    mode: str
    """Origin of the limits, in words."""

    def words(self) -> str:
        """Such as "bands 4, 3, 2; 2-98 % of the values: 412..3120, 388..2950, 301..2411 become 0..255"."""
        limits = ", ".join(f"{low:g}..{high:g}" for low, high in zip(self.low, self.high, strict=True))
        return f"bands {', '.join(map(str, self.bands))}; {self.mode}: {limits} become 0..255"

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return asdict(self)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """(3, H, W) of any numbers as (H, W, 3) uint8; what is no number becomes 0."""
        low = np.asarray(self.low, dtype=np.float64)[:, None, None]
        high = np.asarray(self.high, dtype=np.float64)[:, None, None]
        scaled = (values.astype(np.float64) - low) * (255.0 / np.maximum(high - low, 1e-12))
        bounded = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0.0, 255.0)
        return np.ascontiguousarray(np.moveaxis(np.rint(bounded).astype(np.uint8), 0, -1))


class GeoTiff:
    """Open raster; close it, or use it in a `with`."""

    def __init__(self, path: Path) -> None:
        """Open a file; raises InputError where it is no TIFF with a place on a map."""
        rasterio = library("rasterio")
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        try:
            self._raster: Any = rasterio.open(path, driver="GTiff")
        except (OSError, ValueError) as error:  # rasterio's errors are OSErrors
            raise InputError(f"{path}: not a GeoTIFF ({' '.join(str(error).split()):.200})") from error
        try:
            self.reference = _reference(path, self._raster)
        except InputError:
            self._raster.close()
            raise
        self.width, self.height, self.bands = int(self._raster.width), int(self._raster.height), int(self._raster.count)
        self.dtype = str(self._raster.dtypes[0])

    def __enter__(self) -> "GeoTiff":
        return self

    def __exit__(self, *_: object) -> None:
        self._raster.close()

    def default_bands(self) -> tuple[int, int, int]:
        """The bands that say they are red, green and blue; else the first three, or the first alone."""
        named = {str(kind.name): number for number, kind in enumerate(self._raster.colorinterp, start=1)}
        if {"red", "green", "blue"} <= named.keys():
            return named["red"], named["green"], named["blue"]
        return (1, 2, 3) if self.bands >= 3 else (1, 1, 1)

    def stretch(self, bands: Sequence[int] | None = None, mode: StretchMode = "auto") -> Stretch:
        """Find the limits: "none" leaves 8 bits as they are (auto does), "percent" cuts 2 % at both ends (auto else).

        Raises:
            InputError: there is no such band, or "none" for more than 8 bits.
        """
        chosen = tuple(bands) if bands else self.default_bands()
        if len(chosen) != 3 or not all(1 <= band <= self.bands for band in chosen):
            raise InputError(f"three bands of 1 to {self.bands}, not {', '.join(map(str, chosen))}")
        three = (chosen[0], chosen[1], chosen[2])
        if mode == "none" and self.dtype != "uint8":
            raise InputError(f"{self.path} has {self.dtype} values: they need a stretch (percent or minmax)")
        if mode == "none" or (mode == "auto" and self.dtype == "uint8"):
            return Stretch(three, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "as they are")
        ends = (0.0, 100.0) if mode == "minmax" else PERCENT
        limits = {band: self._limits(band, ends) for band in set(three)}
        low, high = (tuple(limits[band][end] for band in three) for end in (0, 1))
        words = "lowest and highest value" if mode == "minmax" else f"{PERCENT[0]:g}-{PERCENT[1]:g} % of the values"
        return Stretch(three, (low[0], low[1], low[2]), (high[0], high[1], high[2]), words)

    def read(self, stretch: Stretch, window: Window | None = None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(H, W, 3) RGB of a window (or all), and (H, W) where there is data at all.

        Raises:
            InputError: the window is too large, or the file is damaged.
        """
        x, y, width, height = window or (0, 0, self.width, self.height)
        if width * height > MOST_PIXELS:
            raise InputError(f"{self.path}: {width}x{height} pixels at once; cut it: sam3-agent geo tiles")
        box: Any = library("rasterio.windows").Window(x, y, width, height)
        values = self._read(list(stretch.bands), window=box)  # (3, H, W)
        try:
            valid = self._raster.dataset_mask(window=box) > 0
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: cannot be read ({' '.join(str(error).split()):.200})") from error
        pixels = stretch.apply(values)
        pixels[~valid] = 0
        return pixels, valid

    def windows(self, size: int, overlap: int = 0) -> Iterator[Window]:
        """Cut the raster into windows of `size`, row by row; those at the right and lower border lie within it."""
        step = size - overlap
        if size < 1 or step < 1:
            raise InputError(f"tiles of {size} pixels cannot overlap by {overlap}")
        for y in _starts(self.height, size, step):
            for x in _starts(self.width, size, step):
                yield x, y, min(size, self.width - x), min(size, self.height - y)

    def _limits(self, band: int, ends: tuple[float, float]) -> tuple[float, float]:
        factor = max(1.0, math.sqrt(self.width * self.height / _SAMPLE))
        shape = (max(1, int(self.height / factor)), max(1, int(self.width / factor)))
        values = self._read(band, out_shape=shape, masked=True).compressed()
        values = values[np.isfinite(values)]
        if not values.size:
            raise InputError(f"{self.path}: band {band} has no data")
        low, high = (float(value) for value in np.percentile(values, ends))
        return (low, high) if high > low else (low, low + 1.0)

    def _read(self, bands: Any, **options: Any) -> Any:
        try:
            return self._raster.read(bands, **options)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: cannot be read ({' '.join(str(error).split()):.200})") from error


def _starts(length: int, size: int, step: int) -> list[int]:
    if length <= size:
        return [0]
    starts = list(range(0, length - size, step))
    return [*starts, length - size]


def _reference(path: Path, raster: Any) -> GeoReference:
    if raster.crs is None or raster.transform.is_identity:
        raise InputError(f"{path}: no place on a map (no coordinate system or transform); use sam3-agent segment")
    code = raster.crs.to_epsg()
    name = f"EPSG:{code}" if code is not None else str(raster.crs.to_wkt())
    t = raster.transform
    return GeoReference(name, (float(t.a), float(t.b), float(t.c), float(t.d), float(t.e), float(t.f)))


def library(name: str) -> Any:
    """Import a part of rasterio; raises InputError where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError("georeferenced images are read by rasterio: pip install 'sam3-agent[geo]'") from error
