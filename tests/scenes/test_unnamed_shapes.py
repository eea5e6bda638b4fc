"""Shapes without a name."""

import numpy as np
import pytest

from sam3_agent.scenes import COLORS, NOUNS, SceneOptions, generate_scene
from sam3_agent.scenes.silhouettes import draw_silhouette
from sam3_agent.scenes.sprite import Coat, paint_sprite
from sam3_agent.scenes.unnamed_shapes import KINDS, SLIMMEST, is_unnamed, unnamed_noun, unnamed_parts

KINDS_TRIED = [unnamed_noun(int(kind)) for kind in np.random.default_rng(5).integers(KINDS, size=120)]
COAT = Coat(COLORS["red"], COLORS["white"], "plain", COLORS["black"])


def _mask(noun: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return paint_sprite(draw_silhouette(noun, rng), 60, COAT, rng).mask


def test_unnamed_shapes_are_no_nouns_of_the_vocabulary() -> None:
    assert not any(is_unnamed(noun) for noun in NOUNS)
    assert all(is_unnamed(noun) for noun in KINDS_TRIED)


def test_one_kind_gives_the_same_parts_every_time_and_its_second_drawing_is_bent() -> None:
    for noun in KINDS_TRIED[:10]:
        again = unnamed_parts.__wrapped__(noun, 0)
        assert all(np.array_equal(a.points, b.points) for a, b in zip(unnamed_parts(noun, 0), again, strict=True))
        bent = unnamed_parts(noun, 1)
        assert [part.role for part in bent] == [part.role for part in unnamed_parts(noun, 0)]
        assert not all(np.array_equal(a.points, b.points) for a, b in zip(unnamed_parts(noun, 0), bent, strict=True))


@pytest.mark.parametrize("noun", KINDS_TRIED)
def test_an_unnamed_shape_is_large_enough_to_be_seen_and_no_line(noun: str) -> None:
    points = np.concatenate([part.points for part in unnamed_parts(noun, 0)])
    width, height = points.max(axis=0) - points.min(axis=0)
    assert max(width, height) == pytest.approx(1.0)
    assert min(width, height) >= 0.9 * SLIMMEST
    assert _mask(noun, 1).mean() > 0.12


def test_kinds_differ_from_each_other() -> None:
    masks = [_mask(noun, 1) for noun in KINDS_TRIED[:40]]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_a_scene_shows_unnamed_shapes_beside_nouns_and_without_them_is_what_it_was() -> None:
    kinds = (unnamed_noun(1), unnamed_noun(2))
    nouns = {thing.noun for seed in range(8) for thing in generate_scene(seed, SceneOptions(unnamed=kinds)).objects}
    assert set(kinds) <= nouns
    assert nouns & set(NOUNS)
    shapes = [o for o in generate_scene(3, SceneOptions(unnamed=kinds, unnamed_share=1.0)).objects]
    assert all(is_unnamed(thing.noun) and thing.supercategory == "" and thing.color in COLORS for thing in shapes)
    assert not [o for o in generate_scene(3).objects if is_unnamed(o.noun)]
