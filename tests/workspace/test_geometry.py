"""Geometry follows its stated rules."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.workspace import MeasurementTable, OrderBy, Workspace
from tests.fixtures_workspace import HEIGHT, WIDTH, disc, make_workspace, square


def measured(*shapes: NDArray[np.bool_], order_by: OrderBy = "left") -> MeasurementTable:
    """A table of shapes whose ids are m1, m2, ... in the order given."""
    scores = [0.99 - 0.01 * index for index in range(len(shapes))]
    workspace = Workspace(FakeSegmenter({"thing": detection(shapes, scores, presence=1.0)}))
    workspace.open(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    workspace.segment("img1", ["thing"])
    return workspace.measure("img1", order_by=order_by)


SMALL_RIGHT, LARGE_LEFT, MIDDLE_LOW = square(280, 10, 290, 20), square(10, 20, 100, 110), square(150, 150, 170, 190)


@pytest.mark.parametrize(
    ("order_by", "ids"),
    [
        ("left", ["m2", "m3", "m1"]),
        ("right", ["m1", "m3", "m2"]),
        ("top", ["m1", "m2", "m3"]),
        ("bottom", ["m3", "m2", "m1"]),
        ("largest", ["m2", "m3", "m1"]),
        ("smallest", ["m1", "m3", "m2"]),
        ("score", ["m1", "m2", "m3"]),
    ],
)
def test_masks_come_in_the_asked_order(order_by: OrderBy, ids: list[str]) -> None:
    table = measured(SMALL_RIGHT, LARGE_LEFT, MIDDLE_LOW, order_by=order_by)
    assert [row.instance.id for row in table.rows] == ids


def test_ranks_count_from_one_whatever_the_order() -> None:
    rows = {row.instance.id: row.ranks for row in measured(SMALL_RIGHT, LARGE_LEFT, MIDDLE_LOW, order_by="score").rows}
    ranks = {name: (r.left_to_right, r.top_to_bottom, r.largest_first) for name, r in rows.items()}
    assert ranks == {"m1": (3, 1, 3), "m2": (1, 2, 1), "m3": (2, 3, 2)}


def test_an_unknown_order_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="left, right, top, bottom, largest, smallest, score; got 'wide'"):
        measured(SMALL_RIGHT, order_by="wide")  # pyright: ignore[reportArgumentType]


def test_a_part_is_inside_its_whole() -> None:
    rows = {row.instance.id: row for row in measured(LARGE_LEFT, square(30, 40, 50, 60)).rows}
    assert rows["m1"].contains == ("m2",)
    assert rows["m2"].inside == ("m1",)
    assert rows["m1"].inside == rows["m2"].contains == ()


def test_a_thing_in_the_hole_of_a_ring_is_inside_the_ring() -> None:
    ring = disc(100, 100, 80) & ~disc(100, 100, 60)
    rows = {row.instance.id: row for row in measured(ring, disc(95, 105, 55)).rows}
    assert rows["m2"].inside == ("m1",)


def test_a_thing_in_the_corner_of_a_box_is_not_inside_the_diamond_in_it() -> None:
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    diamond = np.abs(columns - 100) + np.abs(rows - 100) < 80
    table = measured(diamond, square(25, 25, 40, 40))
    assert all(row.inside == () for row in table.rows)


def test_the_nearest_neighbor_is_by_centers() -> None:
    rows = {row.instance.id: row.nearest for row in measured(SMALL_RIGHT, LARGE_LEFT, MIDDLE_LOW).rows}
    nearest = rows["m2"]
    assert nearest is not None
    assert (nearest.id, nearest.distance) == ("m3", pytest.approx(np.hypot(105, 105)))


def test_one_object_found_twice_is_neither_inside_nor_near_itself() -> None:
    table = measured(disc(100, 100, 50), disc(100, 100, 48), disc(250, 100, 20))
    rows = {row.instance.id: row for row in table.rows}
    assert all(row.inside == row.contains == () for row in table.rows)
    nearest = rows["m1"].nearest
    assert nearest is not None
    assert nearest.id == "m3"


def test_without_ids_near_misses_stay_out_and_with_ids_they_are_measured() -> None:
    workspace = make_workspace()
    found = workspace.segment("img1", ["circle"])[0]
    assert len(workspace.measure("img1").rows) == 3
    missed = found.near_misses[0].id
    assert [row.instance.id for row in workspace.measure("img1", [missed]).rows] == [missed]


def test_an_image_without_masks_measures_to_nothing() -> None:
    assert make_workspace().measure("img1").rows == ()


def test_the_rules_are_stated() -> None:
    rules = measured(SMALL_RIGHT).rules
    assert "center lies right of" in rules["right of"]
    assert set(rules) >= {"left of", "above", "below", "inside", "nearest"}


@pytest.mark.parametrize("seed", range(7100, 7106))
def test_objects_in_the_rings_of_scenes_are_inside_them(seed: int) -> None:
    scene = generate_scene(seed, SceneOptions(min_objects=10, max_side=640))
    workspace = Workspace(FakeSegmenter({"thing": detection([o.mask for o in scene.objects], presence=1.0)}))
    workspace.open(scene.image)
    workspace.segment("img1", ["thing"])
    order = {id(o): f"m{index + 1}" for index, o in enumerate(scene.objects)}
    rows = {row.instance.id: row for row in workspace.measure("img1").rows}
    for ring in (o for o in scene.objects if o.noun == "ring"):
        for other in scene.objects:
            if other is not ring and _box_inside(other.box, ring.box):
                assert order[id(ring)] in rows[order[id(other)]].inside


def _box_inside(inner: tuple[float, ...], outer: tuple[float, ...]) -> bool:
    return inner[0] > outer[0] and inner[1] > outer[1] and inner[2] < outer[2] and inner[3] < outer[3]
