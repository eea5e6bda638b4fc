"""A second look at what a learned concept finds."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.masks import Box, Window
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.types import CloseUps, Concept, ExemplarTokens
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.close_ups import (
    LEAST_IMAGES,
    Likeness,
    Seen,
    belief,
    calibrated,
    likeness_left_out,
    square_around,
    turned,
    without_unmarked,
)

STARS = SceneOptions(max_side=400, required_pairs=(("star", "red"), ("star", "blue")))
RNG = np.random.default_rng(4)
AXES = np.eye(8, dtype=np.float32)


def _rows(axis: int, count: int, noise: float = 0.05) -> NDArray[np.float32]:
    """(count, 8) tokens about one direction, of any length."""
    rows = AXES[axis] + noise * RNG.normal(size=(count, 8)).astype(np.float32)
    return rows * RNG.uniform(0.5, 3, size=(count, 1)).astype(np.float32)


def _seen(rows: NDArray[np.float32], images: int = 5) -> Seen:
    return Seen(rows, tuple(f"i{place % images}" for place in range(len(rows))), "w")


@pytest.mark.parametrize(
    ("box", "window", "inside"),
    [
        ((40, 40, 60, 50), (34, 29, 66, 61), (6, 11, 26, 21)),
        ((0, 0, 20, 10), (0, 0, 26, 21), (0, 0, 20, 10)),
        ((95.5, 79.5, 100, 80), (94, 76, 100, 80), (1.5, 3.5, 6, 4)),
        ((0, 0, 100, 80), (0, 0, 100, 80), (0, 0, 100, 80)),
        ((99.9, 79.9, 100, 80), (99, 79, 100, 80), (0.9, 0.9, 1, 1)),
    ],
)
def test_a_close_up_is_a_square_around_the_box_inside_the_image(box: Box, window: Window, inside: Box) -> None:
    got, where = square_around(box, 100, 80)
    assert got == window
    assert where == pytest.approx(inside)


def test_likeness_is_that_to_the_nearest_example_and_falls_with_other_things() -> None:
    examples, others = np.concatenate([_rows(0, 6), _rows(1, 6)]), _rows(2, 6)
    like = Likeness(examples, others).of(np.stack([AXES[0], 7 * AXES[1], AXES[2], AXES[3]]))
    assert like[0] == pytest.approx(like[1], abs=0.1)
    assert min(like[:2]) > 0.7
    assert like[2] < like[3] < 0.3
    assert Likeness(AXES[:1], AXES[:0]).of(AXES[:2]) == pytest.approx([1, 0], abs=1e-6)


def test_calibration_keeps_most_examples_and_refuses_other_things() -> None:
    examples, others = _seen(_rows(0, 20)), _seen(_rows(1, 20))
    known = calibrated(examples, others)
    assert known is not None
    assert (likeness_left_out(examples, examples, others) >= known.least).mean() >= 0.85
    assert (likeness_left_out(others, examples, others) < known.least).all()
    assert calibrated(examples, _seen(_rows(1, 0))) is not None


def _read(axes: list[int], images: int = 1, noise: float = 0.05) -> Seen:
    """Two readings of a box for each axis."""
    rows = np.concatenate([_rows(axis, 2, noise) for axis in axes])
    return Seen(rows, tuple(f"i{place % images}" for place in range(len(axes))), "w", versions=2)


def test_readings_of_a_box_stay_together() -> None:
    seen = _read([0, 1, 2, 3], images=2)
    assert np.array_equal(seen.plain, seen.rows[[0, 2, 4, 6]])
    assert np.array_equal(seen.only([1, 3]).rows, seen.rows[[2, 3, 6, 7]])
    assert seen.only([1, 3]).owners == ("i1", "i1")
    assert np.array_equal(seen.without("i0"), seen.rows[[2, 3, 6, 7]])
    assert np.array_equal(seen.without_box(1), seen.rows[[0, 1, 4, 5, 6, 7]])
    assert likeness_left_out(seen, _read([0, 1], 2), _read([2, 3], 2)).shape == (4,)


@pytest.mark.parametrize("images", range(1, LEAST_IMAGES))
def test_with_few_images_a_finding_must_be_more_alike_than_each_other_thing(images: int) -> None:
    examples, others = _read([0] * images, images), _read([1, 2, 3], images)
    known = calibrated(examples, others)
    assert known is not None
    alike = Likeness(examples.rows, others.rows).of(np.concatenate([_rows(0, 9), _rows(1, 9), _rows(2, 9)]))
    assert (alike[:9] >= known.least).all()
    assert (alike[9:] < known.least).all()
    assert calibrated(examples, others.only([])) is None  # nothing says how unlike is unlike


def test_a_turned_box_holds_the_same_pixels() -> None:
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[4:9, 20:47] = (10, 20, 30)
    for version in range(9):
        part, box = turned(pixels, (20, 4, 47, 9), version)
        x0, y0, x1, y1 = (int(v) for v in box)
        assert part.shape[:2] == ((30, 50) if version % 2 == 0 else (50, 30))
        assert (part[y0:y1, x0:x1] == np.roll([10, 20, 30], version)).all()
        assert np.count_nonzero(part) == 5 * 27 * 3


def test_belief_is_half_at_the_least_likeness_and_a_step_in_older_files() -> None:
    known = CloseUps(ExemplarTokens.of(AXES[:1], "w"), None, 0.5, 0.1)
    likeness = np.array([-1.0, 0.4, 0.5, 0.6, 2.0])
    assert belief(known, likeness) == pytest.approx([0, 0.269, 0.5, 0.731, 1], abs=1e-3)
    assert belief(replace(known, spread=0.0), likeness).tolist() == [0, 0, 1, 1, 1]
    assert np.isfinite(belief(replace(known, spread=1e-9), likeness)).all()


def test_too_few_examples_or_things_just_like_it_give_none() -> None:
    assert calibrated(_seen(_rows(0, 0)), _seen(_rows(1, 20))) is None
    assert calibrated(_seen(_rows(0, 20), LEAST_IMAGES - 1), _seen(_rows(1, 20))) is None  # of one reading each
    assert calibrated(_seen(_rows(0, LEAST_IMAGES)), _seen(_rows(1, 20))) is None
    assert calibrated(_seen(_rows(0, 20)), _seen(_rows(0, 20))) is None


def test_what_looks_like_an_example_is_taken_for_one_that_nobody_marked() -> None:
    examples = _seen(_rows(0, 20))
    mixed = _seen(np.concatenate([_rows(0, 6, 0.001), _rows(1, 9)]))
    left = without_unmarked(mixed, examples)
    assert len(left.rows) == len(left.owners) == 9


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return Workspace(Sam3.load("tiny", device="cpu"))


@pytest.fixture(scope="module")
def taught(workspace: Workspace) -> Concept:
    boxes = []
    for seed in range(20, 26):
        scene = generate_scene(seed, STARS)
        image = workspace.open(scene.image)
        boxes += [(image.id, thing.box) for thing in scene.objects if thing.noun == "star"]
    return workspace.learn("seen", None, positive_boxes=boxes)


def _asked(workspace: Workspace, image_id: str, taught: Concept, least: float) -> tuple[int, int]:
    assert taught.close_ups is not None
    workspace.add_concept(replace(taught, close_ups=replace(taught.close_ups, least=least)))
    (found,) = workspace.segment(image_id, ["@seen"], tiles="never")
    assert all(not workspace.is_near_miss(each.id) for each in found.instances)
    assert all(workspace.is_near_miss(each.id) for each in found.near_misses)
    assert all(each.score == pytest.approx(found.presence * each.object_score) for each in found.instances)
    kept = [each.score for each in found.instances]
    assert kept == sorted(kept, reverse=True)
    scores = [each.score for each in found.near_misses]
    assert scores == sorted(scores, reverse=True)
    return len(found.instances), len(found.near_misses)


def test_what_is_unlike_the_examples_becomes_a_near_miss(workspace: Workspace, taught: Concept) -> None:
    image = workspace.open(generate_scene(31, STARS).image)
    workspace.add_concept(replace(taught, close_ups=None))
    (plain,) = workspace.segment(image.id, ["@seen"], tiles="never")
    assert plain.instances
    assert _asked(workspace, image.id, taught, -1.9) == (len(plain.instances), len(plain.near_misses))
    assert _asked(workspace, image.id, taught, 1.9) == (0, len(plain.instances) + len(plain.near_misses))


def test_true_findings_stay_at_the_calibrated_likeness(workspace: Workspace, taught: Concept) -> None:
    assert taught.close_ups is not None
    scenes = [generate_scene(seed, STARS) for seed in (31, 32, 33, 34)]
    stars = sum(thing.noun == "star" for scene in scenes for thing in scene.objects)
    ids = [workspace.open(scene.image).id for scene in scenes]
    found = sum(_asked(workspace, image_id, taught, taught.close_ups.least)[0] for image_id in ids)
    assert found >= stars / 2


def test_a_box_on_the_image_itself_is_believed(workspace: Workspace, taught: Concept) -> None:
    assert taught.close_ups is not None
    scene = generate_scene(31, STARS)
    image = workspace.open(scene.image)
    star = next(thing for thing in scene.objects if thing.noun == "star")
    workspace.add_concept(replace(taught, close_ups=replace(taught.close_ups, least=1.9)))
    assert workspace.refine(image.id, "@seen", positive_boxes=[star.box]).instances


def test_a_file_keeps_them_and_one_without_asks_as_before(taught: Concept, tmp_path: Path) -> None:
    path = tmp_path / "seen.concept.json"
    write_concept(taught, path)
    assert read_concept(path).close_ups == taught.close_ups
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({k: v for k, v in document.items() if k != "close_ups"}), encoding="utf-8")
    assert read_concept(path).close_ups is None


def test_damaged_close_ups_are_refused(taught: Concept, tmp_path: Path) -> None:
    assert taught.close_ups is not None
    path = tmp_path / "bad.concept.json"
    narrow = ExemplarTokens.of(AXES[:3], taught.tokens.segmenter)
    wild = ExemplarTokens.of(taught.tokens.array * np.float32(1e9), taught.tokens.segmenter)
    for examples, others in ((narrow, None), (taught.tokens, narrow), (wild, None)):
        write_concept(replace(taught, close_ups=CloseUps(examples, others, 0.5)), path)
        with pytest.raises(InputError):
            read_concept(path)
    write_concept(taught, path)
    document = json.loads(path.read_text(encoding="utf-8"))
    for key, wrong in product(("least", "spread"), (5, -5, "much", None)):
        bad = {**document, "close_ups": {**document["close_ups"], key: wrong}}
        path.write_text(json.dumps(bad), encoding="utf-8")
        with pytest.raises(InputError):
            read_concept(path)
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_concept(path).close_ups == taught.close_ups
