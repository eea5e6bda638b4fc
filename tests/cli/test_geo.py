"""`sam3-agent geo`: a raster goes around, from file to map, and so do the labels of its tiles."""

import json
from pathlib import Path

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.scenes import Scene
from tests.cli.conftest import Run
from tests.formats.geo.fixtures_rasters import TRANSFORM, ramp, rasterio, write_raster
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

SIDE = 192


@pytest.fixture
def raster(scene: Scene, tmp_path: Path) -> tuple[Path, str]:
    """A part of a drawn scene as four bands of 16 bits, its colors in bands 4, 3 and 2; and a noun that is in it."""
    rasterio()
    largest = max(scene.objects, key=lambda thing: thing.area)
    x = min(max(0, int(largest.box[0]) - 20), scene.width - SIDE)
    y = min(max(0, int(largest.box[1]) - 20), scene.height - SIDE)
    pixels = scene.image[y : y + SIDE, x : x + SIDE]
    deep = np.moveaxis(pixels.astype(np.uint16) * 16 + 100, -1, 0)
    bands = np.stack([np.zeros_like(deep[0]), deep[2], deep[1], deep[0]])
    return write_raster(tmp_path / "scene.tif", bands), largest.noun


@pytest.mark.usefixtures("tiny")
def test_a_raster_of_sixteen_bits_is_segmented_onto_the_map(run: Run, raster: tuple[Path, str], tmp_path: Path) -> None:
    path, noun = raster
    how = ("--bands", "4,3,2", "--stretch", "minmax", "--tiles", "never", "--threshold", "0.05")
    report = run("geo", "segment", path, noun, "--out", tmp_path / "out", *how, "--json").json()
    assert report["crs"] == "EPSG:32633"
    assert "bands 4, 3, 2; lowest and highest value" in report["stretch"]
    assert report["counts"][noun] >= 1
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    affine = rasterio().Affine(*TRANSFORM)
    for annotation in coco["annotations"]:
        pixels = masks.from_json(annotation["segmentation"], (SIDE, SIDE))
        painted = rasterio("rasterio.features").rasterize(
            [annotation["geo"]["geometry"]], out_shape=(SIDE, SIDE), transform=affine
        )
        assert np.array_equal(painted > 0, masks.decode(pixels))
    written = json.loads((tmp_path / "out" / "labels.geojson").read_text())
    assert len(written["features"]) == report["counts"][noun] == len(coco["annotations"])


def test_a_raster_is_cut_into_tiles_that_know_their_place(run: Run, tmp_path: Path) -> None:
    bands = ramp(3)
    bands[:, :, 40:] = 0
    path = write_raster(tmp_path / "a.tif", bands, nodata=0)
    report = run("geo", "tiles", path, "--out", tmp_path / "tiles", "--tile", 20, "--json").json()
    document = json.loads((tmp_path / "tiles" / "tiles.json").read_text())
    assert report["counts"]["tiles"] == len(document["tiles"]) == 4  # the right third has no data
    place = document["tiles"]["a_000020_000020.png"]
    assert place["window"] == [20, 20, 20, 20]
    assert place["transform"] == [10, 0, 500_200, 0, -10, 5_299_800]
    assert document["stretch"]["bands"] == [1, 2, 3]
    assert "holds tiles already" in run("geo", "tiles", path, "--out", tmp_path / "tiles").error()


def test_labels_of_tiles_are_put_on_the_map(run: Run, tmp_path: Path) -> None:
    rasterio()
    write_scenes(tmp_path / "tiles", 3)
    label(tmp_path / "tiles", tmp_path / "run", knowing_segmenter(3)).close()
    assert "tiles.json: missing" in run("geo", "export", tmp_path / "run", "--out", tmp_path / "map").error()
    names = sorted(path.name for path in (tmp_path / "tiles").iterdir())
    places = {name: {"transform": [10, 0, 1000 * n, 0, -10, 9000]} for n, name in enumerate(names)}
    (tmp_path / "tiles" / "tiles.json").write_text(json.dumps({"crs": "EPSG:32633", "tiles": places}))
    written = run("geo", "export", tmp_path / "run", "--out", tmp_path / "map", "--with-review", "--json").json()
    coco = json.loads((tmp_path / "map" / "coco.json").read_text())
    assert len(coco["annotations"]) == sum(written["counts"].values()) > 0
    images = {image["id"]: image["file_name"] for image in coco["images"]}
    for annotation in coco["annotations"]:
        left = places[images[annotation["image_id"]]]["transform"][2] + 10 * annotation["bbox"][0]
        assert annotation["geo"]["bbox"][0] == pytest.approx(left)
    del places[names[0]]
    (tmp_path / "tiles" / "tiles.json").write_text(json.dumps({"crs": "EPSG:32633", "tiles": places}))
    again = run("geo", "export", tmp_path / "run", "--out", tmp_path / "map", "--with-review")
    assert f"no tile '{names[0]}'" in again.error()


def test_wrong_arguments_are_named(run: Run, tmp_path: Path) -> None:
    rasterio()
    assert "no such file" in run("geo", "tiles", tmp_path / "none.tif", "--out", tmp_path / "o").error()
    assert "three numbers such as 4,3,2" in run("geo", "tiles", "a.tif", "--out", "o", "--bands", "red").err
    assert "takes no concepts" in run("geo", "tiles", "a.tif", "cup", "--out", "o").err
    assert "at least one concept" in run("geo", "segment", "a.tif", "--out", tmp_path / "o").error()
    assert not (tmp_path / "o").exists()
