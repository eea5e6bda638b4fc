"""The benchmark of clicks, on a model that knows every scene."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.clicks import FIRST_SEED, PER_SCENE, Reading, figures_of, read, table
from sam3_agent.model.fake import Answers, FakeSegmenter, detection
from sam3_agent.scenes import SceneOptions, generate_scene

OPTIONS = SceneOptions(min_objects=4, max_objects=6, max_side=300)
SCENES = [generate_scene(seed, OPTIONS) for seed in range(FIRST_SEED, FIRST_SEED + 2)]


def fake_segmenter(blind_to: int = -1) -> FakeSegmenter:
    """Knows the objects of both scenes, but not those of one number."""

    def answers(image: NDArray[np.uint8]) -> Answers:
        scene = next(scene for scene in SCENES if np.array_equal(scene.image, image))
        return {"thing": detection([o.mask for number, o in enumerate(scene.objects) if number != blind_to])}

    return FakeSegmenter(answers)


def readings(segmenter: FakeSegmenter) -> list[Reading]:
    return [reading for _, reading in zip(range(2 * PER_SCENE), read(segmenter, OPTIONS), strict=False)]


def test_a_model_that_knows_everything_reaches_every_bar() -> None:
    segmenter = fake_segmenter()
    figures = figures_of(readings(segmenter))
    assert segmenter.encodes == 2
    assert all(row["mean_iou"] == row["over_half"] == row["smallest_third"] == 1.0 for row in figures.values())
    assert figures["1 center click"]["expected_iou_off"] == pytest.approx(0.1)
    assert "missed" not in table(figures)
    assert table(figures).count("reached") == 2


def test_what_is_not_found_counts_as_nothing() -> None:
    number = int(np.random.default_rng(FIRST_SEED).permutation(len(SCENES[0].objects))[0])
    found = readings(fake_segmenter(blind_to=number))
    assert found[0].ious["1 center click"] == 0
    assert found[0].expected == 0
    assert 0 < figures_of(found)["1 center click"]["mean_iou"] < 1
