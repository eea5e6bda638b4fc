"""Labels on a map: what other readers make of them is the mask again, to the pixel."""

import json
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.geo.features import Feature, write_geo_coco, write_geojson, write_geopackage
from sam3_agent.formats.geo.geotiff import GeoReference
from tests.formats.geo.fixtures_rasters import TRANSFORM, UTM, rasterio

SIZE = (40, 60)
TURNED = (8.0, 3.0, 500_000.0, 3.0, -8.0, 5_300_000.0)
"""A raster that does not lie north up."""


def ring_and_islands() -> Any:
    """A ring with an island in its hole, a pixel apart diagonally, and one at the border."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[5:20, 5:25] = True
    mask[8:17, 8:22] = False
    mask[11:13, 12:16] = True
    mask[20, 25] = True
    mask[39, 59] = True
    return mask


def features(transform: tuple[float, ...] = TRANSFORM) -> list[Feature]:
    a, b, c, d, e, f = transform
    reference = GeoReference(UTM, (a, b, c, d, e, f))
    block = np.zeros(SIZE, dtype=bool)
    block[30:35, 2:9] = True
    return [
        Feature("r1", "ring", 0.9, masks.encode(ring_and_islands()), "a.tif", reference),
        Feature("b1", "block", 0.8, masks.encode(block), "a.tif", reference),
    ]


def painted(geometry: Any, transform: tuple[float, ...]) -> Any:
    affine = rasterio().Affine(*transform)
    return rasterio("rasterio.features").rasterize([geometry], out_shape=SIZE, transform=affine) > 0


@pytest.mark.parametrize("transform", [TRANSFORM, TURNED])
def test_coco_in_map_coordinates_paints_the_mask_again(tmp_path: Path, transform: tuple[float, ...]) -> None:
    rasterio()
    write_geo_coco(features(transform), {"a.tif": SIZE, "empty.tif": SIZE}, tmp_path / "coco.json")
    document = json.loads((tmp_path / "coco.json").read_text())
    geo = document["annotations"][0]["geo"]
    assert geo["crs"] == UTM
    assert np.array_equal(painted(geo["geometry"], transform), ring_and_islands())
    assert document["images"][0]["geo"]["transform"] == list(transform)
    read = read_coco(tmp_path / "coco.json")
    assert read.annotations[0].rle is not None
    assert np.array_equal(masks.decode(read.annotations[0].rle), ring_and_islands())


def test_geojson_is_in_degrees_and_comes_back_to_the_mask(tmp_path: Path) -> None:
    warp = rasterio("rasterio.warp")
    write_geojson(features(), tmp_path / "labels.geojson")
    document = json.loads((tmp_path / "labels.geojson").read_text())
    first, second = document["features"]
    assert first["properties"]["concept"] == "ring"
    assert second["properties"] | {"map_area": 3500.0, "pixels": 35} == second["properties"]
    (longitude, latitude) = second["geometry"]["coordinates"][0][0]
    assert 14.9 < longitude < 15.1
    assert 47.7 < latitude < 48
    back = warp.transform_geom("EPSG:4326", UTM, first["geometry"])
    assert np.array_equal(painted(back, TRANSFORM), ring_and_islands())
    ring = second["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) > 0  # counterclockwise


def test_a_geopackage_has_the_tables_of_the_standard(tmp_path: Path) -> None:
    rasterio()
    write_geopackage(features(), tmp_path / "labels.gpkg")
    connection = sqlite3.connect(tmp_path / "labels.gpkg")
    try:
        assert connection.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"GPKG"
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (row,) = connection.execute("SELECT table_name, srs_id, min_x, max_y FROM gpkg_contents").fetchall()
        assert row == ("labels", 32633, 500_020.0, 5_299_950.0)
        assert connection.execute("SELECT concept, pixels FROM labels").fetchall() == [("ring", 184), ("block", 35)]
    finally:
        connection.close()


def test_an_empty_layer_and_a_system_without_a_code_are_written(tmp_path: Path) -> None:
    crs = rasterio("rasterio.crs").CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84").to_wkt()
    write_geopackage([], tmp_path / "none.gpkg")
    own = [Feature(f.id, f.concept, f.score, f.rle, f.image, GeoReference(crs, TRANSFORM)) for f in features()]
    write_geopackage(own, tmp_path / "own.gpkg")
    write_geojson([], tmp_path / "none.geojson")
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []
    with pytest.raises(ValueError, match="one coordinate system"):
        write_geopackage([own[0], features()[0]], tmp_path / "both.gpkg")


def test_gdal_s_own_vector_readers_read_what_is_written(tmp_path: Path) -> None:
    rasterio()
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not installed")
    write_geopackage(features(), tmp_path / "labels.gpkg")
    write_geojson(features(), tmp_path / "labels.geojson")
    frame = geopandas.read_file(tmp_path / "labels.gpkg")
    assert frame.crs.to_epsg() == 32633
    assert frame["concept"].tolist() == ["ring", "block"]
    assert frame.geometry.area.tolist() == [18400.0, 3500.0]
    assert all(frame.geometry.is_valid)
    assert np.array_equal(painted(frame.geometry[0].__geo_interface__, TRANSFORM), ring_and_islands())
    degrees = geopandas.read_file(tmp_path / "labels.geojson")
    assert degrees.crs.to_epsg() == 4326
    assert np.allclose(degrees.to_crs(UTM).geometry.area, [18400.0, 3500.0], atol=0.5)
