"""Scenes whose objects are cut off or hidden: what is told of them is what is to be seen."""

from dataclasses import replace

import numpy as np

from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.scene import Scene
from sam3_agent.scenes.video import plan_clip
from sam3_agent.training.config import CUT_OFF
from sam3_agent.training.prompts import HELD_OUT_PAIRS
from sam3_agent.training.steps import draw_scenes
from sam3_agent.training.stills import LEAST_PART, LEAST_SHARE, draw_part, draw_still, part_of, still_of

SMALL = replace(CUT_OFF.stages[0], image_size=64)
LIMITS = SceneOptions(min_side=128, max_side=200, min_objects=4, excluded_pairs=HELD_OUT_PAIRS)


def _consistent(scene: Scene) -> None:
    taken = np.zeros(scene.image.shape[:2], bool)
    for thing in scene.objects:
        assert thing.mask.shape == taken.shape
        assert not (thing.mask & taken).any()  # nothing is seen at two depths at once
        taken |= thing.mask
        x0, y0, x1, y1 = (int(v) for v in thing.box)
        assert np.count_nonzero(thing.mask) == np.count_nonzero(thing.mask[y0:y1, x0:x1]) == thing.area > 0
        assert thing.mask[y0].any()
        assert thing.mask[y1 - 1].any()
        assert thing.mask[:, x0].any()
        assert thing.mask[:, x1 - 1].any()
        assert 0 < thing.visible_fraction <= 1


def test_a_still_is_the_frame_with_the_colors_of_that_frame() -> None:
    changing = 0
    for seed in range(20):
        plan = plan_clip(seed, 24)
        for index in (0, 23):
            scene, frame = still_of(plan, index), plan.frame(index)
            assert np.array_equal(scene.image, frame.image)
            assert {thing.id for thing in scene.objects} == set(np.unique(frame.owner).tolist()) - {0}
            for thing in scene.objects:
                assert thing.color == plan.objects[thing.id - 1].colors[index]
                assert thing.noun == plan.objects[thing.id - 1].noun
            _consistent(scene)
        changing += any(thing.colors[0] != thing.colors[-1] for thing in plan.objects)
    assert changing  # else no color was ever put to the test


def test_a_part_shows_what_lies_in_its_window() -> None:
    scene = generate_scene(3, SceneOptions(min_objects=6))
    half = scene.width // 2
    left, right = (
        part_of(scene, window) for window in ((0, 0, half, scene.height), (half, 0, scene.width, scene.height))
    )
    for part in (left, right):
        _consistent(part)
    assert np.array_equal(np.concatenate([left.image, right.image], axis=1), scene.image)
    for thing in scene.objects:
        halves = [each for part in (left, right) for each in part.objects if each.id == thing.id]
        assert sum(each.area for each in halves) == thing.area
        assert np.isclose(sum(each.visible_fraction for each in halves), thing.visible_fraction)
    assert any(each.visible_fraction < 0.9 for each in left.objects)


def test_nothing_that_nobody_could_name_is_asked_about() -> None:
    rng = np.random.default_rng(0)
    stills = [draw_still(LIMITS, rng) for _ in range(20)]
    parts = [draw_part(generate_scene(seed, LIMITS), rng) for seed in range(20)]
    for drawn in (stills, parts):
        scenes = [scene for scene in drawn if scene is not None]
        assert len(scenes) > 10
        assert any(thing.visible_fraction < 0.9 for scene in scenes for thing in scene.objects)
        for scene in scenes:
            assert scene.objects
            for thing in scene.objects:
                assert thing.visible_fraction >= LEAST_SHARE
                assert thing.area >= LEAST_PART * scene.width * scene.height
                assert (thing.noun, thing.color) not in HELD_OUT_PAIRS


def test_the_run_is_drawn_from_a_seed_alone() -> None:
    one, other = (draw_scenes(CUT_OFF, SMALL, np.random.default_rng(4)) for _ in range(2))
    assert len(one) == CUT_OFF.stages[0].images
    for a, b in zip(one, other, strict=True):
        assert a.pixels.equal(b.pixels)
        assert a.masks.equal(b.masks)
