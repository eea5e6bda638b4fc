"""Colors get the names that people give them."""

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.types import Instance
from sam3_agent.workspace.mask_facts import colors_of, dominant_colors


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("red", [(255, 0, 0), (220, 20, 60), (178, 34, 34), (139, 0, 0)]),
        ("orange", [(255, 165, 0), (255, 127, 80), (255, 99, 20)]),
        ("yellow", [(255, 255, 0), (255, 215, 0), (240, 230, 100)]),
        ("green", [(0, 255, 0), (34, 139, 34), (154, 205, 50), (0, 80, 0), (60, 179, 113)]),
        ("cyan", [(0, 255, 255), (64, 224, 208), (0, 139, 139)]),
        ("blue", [(0, 0, 255), (135, 206, 235), (0, 0, 128), (65, 105, 225)]),
        ("purple", [(128, 0, 128), (75, 0, 130), (148, 0, 211), (147, 112, 219)]),
        ("pink", [(255, 192, 203), (255, 105, 180), (250, 128, 114), (255, 20, 147)]),
        ("brown", [(139, 69, 19), (160, 82, 45), (101, 67, 33), (210, 180, 140)]),
        ("white", [(255, 255, 255), (245, 245, 245), (255, 250, 240)]),
        ("grey", [(128, 128, 128), (169, 169, 169), (90, 92, 95)]),
        ("black", [(0, 0, 0), (25, 25, 28), (40, 20, 10)]),
    ],
)
def test_well_known_colors_have_their_names(name: str, examples: list[tuple[int, int, int]]) -> None:
    for example in examples:
        assert dominant_colors(np.array([example], np.uint8))[0].name == name, example


def test_shares_come_largest_first_without_traces() -> None:
    pixels = np.array([(255, 0, 0)] * 70 + [(0, 0, 255)] * 27 + [(0, 255, 0)] * 3, np.uint8)
    assert [(c.name, c.share) for c in dominant_colors(pixels)] == [("red", 0.7), ("blue", 0.27)]


def test_no_pixels_have_no_color() -> None:
    assert dominant_colors(np.zeros((0, 3), np.uint8)) == ()


def test_the_edge_of_a_mask_does_not_count() -> None:
    pixels = np.full((40, 40, 3), 255, np.uint8)
    pixels[11:29, 11:29] = (0, 0, 255)
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 10:30] = True  # one pixel too wide
    found = colors_of(pixels, Instance("m1", masks.encode(mask), (10, 10, 30, 30), 1, 1))
    assert [(c.name, c.share) for c in found] == [("blue", 1.0)]


def test_a_hair_thin_mask_still_has_a_color() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[10] = True
    pixels = np.full((20, 20, 3), (255, 0, 0), np.uint8)
    assert colors_of(pixels, Instance("m1", masks.encode(mask), (0, 10, 20, 11), 1, 1))[0].name == "red"


def test_an_empty_mask_has_none() -> None:
    assert colors_of(np.zeros((5, 5, 3), np.uint8), Instance("m1", masks.empty(5, 5), (0, 0, 1, 1), 1, 1)) == ()


def test_the_colors_of_objects_in_scenes_are_named_as_in_their_truth() -> None:
    right: list[bool] = []
    for seed in range(8200, 8212):
        scene = generate_scene(seed, SceneOptions(max_side=512))
        for thing in (o for o in scene.objects if o.area > 100):
            found = colors_of(scene.image, Instance("m", masks.encode(thing.mask), thing.box, 1, 1))
            right.append(thing.color in [c.name for c in found if c.share >= 0.15])
    assert np.mean(right) >= 0.97
