"""GeoTIFFs: bands and stretches as stated, windows with their own transform, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.geo.geotiff import GeoTiff
from tests.formats.geo.fixtures_rasters import TRANSFORM, UTM, ramp, rasterio, write_raster


def test_sixteen_bits_and_many_bands_are_stretched_as_it_is_stated(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", ramp(5))
    with GeoTiff(path) as raster:
        assert (raster.width, raster.height, raster.bands, raster.dtype) == (60, 40, 5, "uint16")
        stretch = raster.stretch((5, 3, 1), "minmax")
        assert stretch.low == (5000, 3000, 1000)
        assert stretch.high == (5449, 3449, 1449)
        assert stretch.words() == (
            "bands 5, 3, 1; lowest and highest value: 5000..5449, 3000..3449, 1000..1449 become 0..255"
        )
        pixels, valid = raster.read(stretch)
        assert pixels.shape == (40, 60, 3)
        assert valid.all()
        assert (pixels[0, 0].tolist(), pixels[-1, -1].tolist()) == ([0, 0, 0], [255, 255, 255])
        cut = raster.stretch()
        assert cut.bands == (1, 2, 3)
        assert "2-98 % of the values" in cut.words()
        assert 1000 < cut.low[0] < cut.high[0] < 1449


def test_eight_bits_stay_as_they_are_and_named_colors_are_taken(tmp_path: Path) -> None:
    bands = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
    path = write_raster(tmp_path / "a.tif", bands)
    colors = rasterio("rasterio.enums").ColorInterp
    with rasterio().open(path, "r+") as raster:
        raster.colorinterp = [colors.undefined, colors.blue, colors.green, colors.red]
    with GeoTiff(path) as raster:
        stretch = raster.stretch()
        assert stretch.bands == (4, 3, 2)
        assert np.array_equal(raster.read(stretch)[0], np.moveaxis(bands[[3, 2, 1]], 0, -1))


def test_pixels_without_data_are_told_and_do_not_shift_the_stretch(tmp_path: Path) -> None:
    bands = ramp(3)
    bands[:, :10] = 65535
    path = write_raster(tmp_path / "a.tif", bands, nodata=65535)
    with GeoTiff(path) as raster:
        stretch = raster.stretch(mode="minmax")
        assert max(stretch.high) < 4000
        pixels, valid = raster.read(stretch)
        assert not valid[:10].any()
        assert valid[10:].all()
        assert not pixels[:10].any()


def test_windows_cover_the_raster_and_know_their_place(tmp_path: Path) -> None:
    with GeoTiff(write_raster(tmp_path / "a.tif", ramp(3))) as raster:
        windows = list(raster.windows(32, 8))
        assert windows == [(0, 0, 32, 32), (24, 0, 32, 32), (28, 0, 32, 32), (0, 8, 32, 32), (24, 8, 32, 32),
                           (28, 8, 32, 32)]  # fmt: skip
        stretch = raster.stretch()
        whole, _ = raster.read(stretch)
        for x, y, width, height in windows:
            part, _ = raster.read(stretch, (x, y, width, height))
            assert np.array_equal(part, whole[y : y + height, x : x + width])
            own = raster.reference.window((x, y, width, height))
            assert own.at(3, 4) == raster.reference.at(x + 3, y + 4)
        assert raster.reference.crs == UTM
        assert raster.reference.transform == TRANSFORM
        assert raster.reference.pixel_area == 100
        with pytest.raises(InputError, match="cannot overlap by 32"):
            list(raster.windows(32, 32))


def test_what_is_no_geotiff_or_has_no_place_is_named(tmp_path: Path) -> None:
    rasterio()
    (tmp_path / "text.tif").write_text("no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.tif")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"text\.tif: not a GeoTIFF"):
        GeoTiff(tmp_path / "text.tif")
    with pytest.raises(InputError, match=r"a\.png: not a GeoTIFF"):
        GeoTiff(tmp_path / "a.png")
    with pytest.warns(rasterio("rasterio.errors").NotGeoreferencedWarning), pytest.raises(InputError, match="no place"):
        GeoTiff(tmp_path / "plain.tif")
    with GeoTiff(write_raster(tmp_path / "a.tif", ramp(2))) as raster:
        assert raster.default_bands() == (1, 1, 1)
        with pytest.raises(InputError, match="three bands of 1 to 2"):
            raster.stretch((1, 2, 3))
        with pytest.raises(InputError, match="uint16 values: they need a stretch"):
            raster.stretch(mode="none")
