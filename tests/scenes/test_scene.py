from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from sam3_agent.scenes import COLORS, NOUNS, PATTERNS, SUPERCATEGORY, Scene, SceneOptions, generate_scene
from sam3_agent.scenes.palette import draw_tint
from sam3_agent.scenes.silhouettes import draw_silhouette
from sam3_agent.scenes.sprite import Coat, paint_sprite


def test_one_seed_gives_the_same_bytes_every_time() -> None:
    for seed in range(6):
        first, second = generate_scene(seed), generate_scene(seed)
        assert np.array_equal(first.image, second.image)
        assert len(first.objects) == len(second.objects)
        for one, other in zip(first.objects, second.objects, strict=True):
            assert np.array_equal(one.mask, other.mask)
            assert (one.id, one.noun, one.color, one.box) == (other.id, other.noun, other.color, other.box)


def test_two_seeds_give_two_pictures() -> None:
    options = SceneOptions(min_side=256, max_side=256, max_aspect=1.0)
    assert not np.array_equal(generate_scene(1, options).image, generate_scene(2, options).image)


def test_the_picture_is_rgb_bytes_at_the_size_it_says(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.dtype == np.uint8
        assert scene.image.shape == (scene.height, scene.width, 3)
        assert all(obj.mask.dtype == np.bool_ for obj in scene.objects)
        assert all(obj.mask.shape == (scene.height, scene.width) for obj in scene.objects)


def test_masks_never_overlap(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.sum([obj.mask for obj in scene.objects], axis=0).max() <= 1


def test_box_and_area_are_those_of_the_mask(scenes: list[Scene]) -> None:
    for scene in scenes:
        for obj in scene.objects:
            rows, columns = np.nonzero(obj.mask)
            assert obj.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert obj.area == len(rows)
            assert obj.cx == (obj.box[0] + obj.box[2]) / 2
            assert obj.cy == (obj.box[1] + obj.box[3]) / 2


def test_every_object_stays_visible_and_ids_and_depths_are_unique(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert all(0.45 <= obj.visible_fraction <= 1.0 for obj in scene.objects)
        assert [obj.id for obj in scene.objects] == list(range(1, len(scene.objects) + 1))
        assert sorted(obj.depth for obj in scene.objects) == list(range(len(scene.objects)))
        assert all(obj.supercategory == SUPERCATEGORY[obj.noun] for obj in scene.objects)


def test_the_mask_is_what_is_visible() -> None:
    """In a flat scene, the pixels of a mask differ from the background, and those outside every mask do not."""
    options = SceneOptions(max_side=256, style="flat", excluded_pairs=frozenset((noun, "white") for noun in NOUNS))
    for seed in range(20):
        scene = generate_scene(seed, options)
        covered = np.any([obj.mask for obj in scene.objects], axis=0)
        paper = np.median(scene.image[~covered], axis=0)
        painted = np.abs(scene.image.astype(float) - paper).max(axis=-1) > 24
        edge = _near_edge(covered)
        assert not (painted & ~covered & ~edge).any()
        for obj in scene.objects:
            assert painted[obj.mask].mean() > 0.85


def _near_edge(
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The pixels within two of the edge of `mask`."""
    near = np.zeros_like(mask)
    for down in range(-2, 3):
        for right in range(-2, 3):
            near |= np.roll(mask, (down, right), axis=(0, 1)) != mask
    return near


def test_of_two_objects_that_overlap_the_front_one_hides_the_other(scenes: list[Scene]) -> None:
    hidden = [obj for scene in scenes for obj in scene.objects if obj.visible_fraction < 0.97]
    total = sum(len(scene.objects) for scene in scenes)
    assert 0.05 < len(hidden) / total < 0.3
    for scene in scenes:
        front = next(obj for obj in scene.objects if obj.depth == 0)
        inside = front.box[0] > 0 and front.box[1] > 0 and front.box[2] < scene.width and front.box[3] < scene.height
        assert front.visible_fraction == 1.0 or not inside


def test_sides_and_aspect_stay_in_their_ranges_and_fill_them() -> None:
    options = SceneOptions(max_objects=2, min_side=128, max_side=512, max_aspect=1.5)
    sizes = [(scene.width, scene.height) for scene in (generate_scene(seed, options) for seed in range(60))]
    longer = [max(size) for size in sizes]
    aspects = [width / height for width, height in sizes]
    assert min(longer) >= 128
    assert max(longer) <= 512
    assert max(longer) > 400
    assert min(longer) < 160
    assert all(1 / 1.5 - 0.01 <= aspect <= 1.5 + 0.01 for aspect in aspects)
    assert min(aspects) < 0.8
    assert max(aspects) > 1.25


def test_the_number_of_objects_stays_in_its_range() -> None:
    options = SceneOptions(min_objects=3, max_objects=6, max_side=256)
    counts = {len(generate_scene(seed, options).objects) for seed in range(60)}
    assert counts == {3, 4, 5, 6}


def test_no_object_is_too_small_to_be_recognized(scenes: list[Scene]) -> None:
    for scene in scenes:
        for obj in scene.objects:
            if obj.visible_fraction == 1.0:
                width, height = obj.box[2] - obj.box[0], obj.box[3] - obj.box[1]
                assert max(width, height) >= max(24.0, 0.105 * min(scene.width, scene.height))
                assert min(width, height) >= 22.0


def test_every_noun_color_and_pattern_can_appear(scenes: list[Scene]) -> None:
    objects = [obj for scene in scenes for obj in scene.objects]
    assert {obj.noun for obj in objects} == set(NOUNS)
    assert {obj.color for obj in objects} == set(COLORS)
    assert {obj.pattern for obj in objects} == set(PATTERNS)


def test_excluded_pairs_never_appear() -> None:
    excluded = frozenset((noun, color) for noun in NOUNS for color in COLORS if (len(noun) + len(color)) % 2)
    options = SceneOptions(max_side=256, excluded_pairs=excluded)
    for seed in range(60):
        assert not excluded & {(obj.noun, obj.color) for obj in generate_scene(seed, options).objects}


@pytest.mark.parametrize(("share", "patterns"), [(0.0, {"striped", "dotted", "checkered"}), (1.0, {"plain"})])
def test_the_share_of_plain_objects_can_be_chosen(share: float, patterns: set[str]) -> None:
    options = SceneOptions(min_objects=8, max_objects=12, max_side=256, plain_objects=share)
    assert {o.pattern for seed in range(4) for o in generate_scene(seed, options).objects} == patterns


def test_one_to_three_objects_are_of_the_required_pairs() -> None:
    required = (("cat", "purple"), ("key", "pink"))
    others = frozenset((noun, color) for noun in ("cat", "key") for color in COLORS) - set(required)
    options = SceneOptions(min_objects=4, max_objects=8, max_side=256, required_pairs=required, excluded_pairs=others)
    counts = [
        sum((obj.noun, obj.color) in required for obj in generate_scene(seed, options).objects) for seed in range(60)
    ]
    assert min(counts) >= 1
    assert sorted(counts)[len(counts) // 2] <= 3


def test_flat_scenes_have_a_near_white_ground_of_one_tone() -> None:
    for seed in range(12):
        scene = generate_scene(seed, SceneOptions(max_side=256, style="flat"))
        tones, counts = np.unique(scene.image.reshape(-1, 3), axis=0, return_counts=True)
        assert tones[counts.argmax()].min() >= 245
        assert counts.max() > 0.2 * scene.width * scene.height


def test_some_objects_lie_inside_a_ring(scenes: list[Scene]) -> None:
    inside = 0
    for scene in scenes:
        for ring in (obj for obj in scene.objects if obj.noun == "ring"):
            reach = 0.15 * (ring.box[2] - ring.box[0])
            inside += any(
                math.hypot(obj.cx - ring.cx, obj.cy - ring.cy) < reach and obj.area < ring.area
                for obj in scene.objects
                if obj is not ring
            )
    assert inside >= 4


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_main_color_covers_most_of_every_object(noun: str, pattern: str) -> None:
    rng = np.random.default_rng(5)
    shares: list[float] = []
    for _ in range(4):
        sprite = paint_sprite(
            draw_silhouette(noun, rng), 120.0, Coat((212, 34, 38), (20, 200, 40), pattern, (30, 30, 30)), rng
        )
        pixels = np.asarray(sprite.patch)[sprite.mask][:, :3].astype(float)
        red = (pixels[:, 0] > 120) & (pixels[:, 1] < 120)
        green = (pixels[:, 1] > 120) & (pixels[:, 0] < 120)
        shares.append(float(red.sum() / max(1, (red | green).sum())))
    assert float(np.mean(shares)) >= 0.55
    assert (float(np.mean(shares)) <= 0.9) == (pattern != "plain")


def test_tints_are_nearest_to_the_name_they_have() -> None:
    rng = np.random.default_rng(0)
    table = np.array(list(COLORS.values()), dtype=float)
    for number, color in enumerate(COLORS):
        for _ in range(50):
            assert np.linalg.norm(table - np.array(draw_tint(color, rng)), axis=1).argmin() == number


def test_objects_stand_out_from_what_is_around_them(scenes: list[Scene]) -> None:
    faint = 0
    for scene in scenes:
        for obj in scene.objects:
            x0, y0, x1, y1 = (int(value) for value in obj.box)
            patch = scene.image[y0:y1, x0:x1].astype(float)
            mask = obj.mask[y0:y1, x0:x1]
            rim = np.asarray(Image.fromarray(mask).convert("L").resize(mask.shape[::-1])) > 0
            outside = patch[~rim]
            contrast = np.linalg.norm(patch[mask] - outside.mean(axis=0), axis=1) if len(outside) else np.array([255.0])
            faint += float(np.percentile(contrast, 80)) < 35
    assert faint <= 0.01 * sum(len(scene.objects) for scene in scenes)
