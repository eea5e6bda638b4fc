"""`sam3-agent segment-at`: its JSON, its table, its picture, its mistakes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.scenes import Scene, SceneObject
from tests.cli.conftest import Run


@pytest.fixture
def largest(scene: Scene) -> SceneObject:
    return max(scene.objects, key=lambda thing: int(thing.mask.sum()))


def inside(thing: SceneObject) -> str:
    """A point on it, far from its edge: where most of its pixels are around."""
    ys, xs = np.nonzero(thing.mask)
    best = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return f"{xs[best]},{ys[best]}"


def test_a_click_gives_that_object_and_other_readings(
    run: Run, picture: Path, largest: SceneObject, tmp_path: Path
) -> None:
    marked = tmp_path / "marked.png"
    ran = run("segment-at", picture, "--on", inside(largest), "--json", "--out", marked)
    document = ran.json()
    assert ran.status == 0
    assert list(document) == ["image", "model", "results", "hints", "asked", "instances", "near_misses", "seconds"]
    (result,) = document["results"]
    assert result == {"concept": "click", "presence": None, "instances": document["instances"], "near_misses": 2}
    assert document["asked"] == "click"
    (best,) = document["instances"]
    assert len(document["near_misses"]) == 2
    assert masks.iou([masks.from_json(best["mask"])], [masks.encode(largest.mask)])[0, 0] > 0.5
    with Image.open(marked) as drawn:
        assert drawn.size == (document["image"]["width"], document["image"]["height"])


def test_the_table_tells_the_best_from_the_others(run: Run, picture: Path, largest: SceneObject) -> None:
    x0, y0, x1, y1 = masks.box(masks.encode(largest.mask))
    ran = run("segment-at", picture, "--box", f"{x0},{y0},{x1},{y1}")
    assert ran.status == 0
    assert "best" in ran.out
    assert "tiny: the embedded demonstration model" in ran.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say which object"),
        (["--beside", "3,4"], "say which object"),
        (["--on", "3"], "is no X,Y in pixels"),
        (["--on", "3,x"], "is no X,Y in pixels"),
        (["--box", "9,9,3,3"], "X0 < X1"),
    ],
)
def test_a_mistyped_place_is_a_usage_error(run: Run, picture: Path, arguments: list[str], complaint: str) -> None:
    ran = run("segment-at", picture, *arguments)
    assert ran.status == 2
    assert complaint in ran.err


@pytest.mark.parametrize("point", ["99999,5", "nan,5"])
def test_a_point_outside_is_one_clear_line(run: Run, picture: Path, point: str) -> None:
    ran = run("segment-at", picture, "--on", point)
    assert ran.status == 1
    assert "point" in ran.error()
