"""Clicks and boxes: the bookkeeping around the tracker half, on random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError
from sam3_agent.model.click_prompts import mask_logits, to_clicks, without_holes
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.types import ClickPrompt, ModelInfo
from tests.model.conftest import SIDE, small_model, small_tracker

CLICK = ClickPrompt(((60.0, 40.0),))
BOX = ClickPrompt(box=(20.0, 10.0, 120.0, 90.0))


def test_three_readings_come_best_first_at_the_size_of_the_image(
    clicking_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    seen = clicking_segmenter.encode(picture)
    for prompt in (CLICK, BOX, replace(BOX, points=((30.0, 30.0),), labels=(False,))):
        found = clicking_segmenter.segment_at(seen, prompt)
        assert len(found) == 3
        expected = [answer.predicted_iou for answer in found]
        assert expected == sorted(expected, reverse=True)
        assert all(0 <= value <= 1 for value in expected)
        for answer in found:
            assert answer.rle.size == (120, 180)
            assert masks.area(answer.rle) > 0
            assert answer.box == masks.box(answer.rle)


def test_every_part_of_a_prompt_changes_the_answer(clicking_segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = clicking_segmenter.encode(picture)
    mask = masks.encode(np.indices((120, 180)).sum(0) < 120)
    prompts = [
        CLICK,
        ClickPrompt(CLICK.points, (False,)),
        ClickPrompt(((150.0, 100.0),)),
        ClickPrompt(((150.0, 100.0), *CLICK.points)),
        BOX,
        replace(BOX, points=CLICK.points, labels=(True,)),
        ClickPrompt(mask=mask),
        replace(CLICK, mask=mask),
    ]
    found = [
        tuple(round(answer.predicted_iou, 6) for answer in clicking_segmenter.segment_at(seen, p)) for p in prompts
    ]
    assert len(set(found)) == len(prompts)


def test_clicks_phrases_and_exemplars_share_one_encoding_and_its_memory(
    clicking_segmenter: Sam3, segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    seen = clicking_segmenter.encode(picture)
    hidden = 4 * 32 * (SIDE // 8) ** 2  # the small ViT has 32 channels
    assert seen.nbytes == segmenter.encode(picture).nbytes + hidden
    first = clicking_segmenter.segment_at(seen, CLICK)
    # 4, 8 and 32 channels on 4, 2 and 1 times the grid; at full size both states have the same bytes
    assert seen.nbytes == segmenter.encode(picture).nbytes + hidden * (4 * 16 + 8 * 4 + 32) // 32
    assert clicking_segmenter.segment_at(seen, CLICK) == first


def test_a_model_without_a_tracker_half_says_so_and_what_else_to_do(
    segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    with pytest.raises(ToolError, match="no tracker half for clicks and boxes; use segment_concepts"):
        segmenter.segment_at(segmenter.encode(picture), CLICK)


def test_x_and_y_are_scaled_each_by_itself_and_a_box_is_clipped() -> None:
    tracker = small_tracker()
    prompt = ClickPrompt(((90.0, 30.0), (180.0, 120.0)), (True, False), (-5.0, 60.0, 45.0, 300.0))
    clicks = to_clicks(prompt, 180, 120, tracker)
    assert clicks.points.tolist() == [[[48.0, 24.0], [96.0, 96.0]]]
    assert clicks.labels.tolist() == [[1, 0]]
    assert clicks.boxes is not None
    assert clicks.boxes.tolist() == [[0.0, 48.0, 24.0, 96.0]]
    assert clicks.masks is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (ClickPrompt(((181.0, 3.0),)), r"point \[181.0, 3.0\] lies outside the 180x120 image"),
        (ClickPrompt(((3.0, -0.5),)), "outside the 180x120 image"),
        (ClickPrompt(box=(200.0, 0.0, 220.0, 9.0)), "outside the 180x120 image"),
        (ClickPrompt(mask=masks.encode(np.ones((9, 9), dtype=bool))), "of a 9x9 image, not of this one"),
    ],
)
def test_what_lies_outside_the_image_is_refused(
    clicking_segmenter: Sam3, picture: NDArray[np.uint8], prompt: ClickPrompt, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        clicking_segmenter.segment_at(clicking_segmenter.encode(picture), prompt)


def test_a_mask_becomes_logits_by_the_share_of_each_cell() -> None:
    mask = np.zeros((40, 80), dtype=bool)
    mask[:, :50] = True
    logits = mask_logits(masks.encode(mask), (4, 8))
    assert logits.shape == (4, 8)
    assert logits.dtype == np.float32
    assert np.allclose(logits[0], [10, 10, 10, 10, 10, -10, -10, -10])
    mask[:, 50:55] = True
    assert np.allclose(mask_logits(masks.encode(mask), (4, 8))[2, 5], 0, atol=1e-5)


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    logits = np.full((20, 20), 3.0, dtype=np.float32)
    logits[2:4, 2:4] = -5
    logits[8:14, 8:14] = -5
    filled = without_holes(logits, 4)
    assert (filled[2:4, 2:4] == 10).all()
    assert (filled[8:14, 8:14] == -5).all()
    assert (filled != logits).sum() == 4
    assert without_holes(logits, 0) is logits


def test_holes_that_touch_by_a_corner_are_one() -> None:
    logits = np.full((20, 20), 3.0, dtype=np.float32)
    logits[2:4, 2:4] = logits[4:6, 4:6] = 0  # zero is not inside
    assert np.array_equal(without_holes(logits, 7), logits)
    assert (without_holes(logits, 8) > 0).all()


def test_the_hole_area_is_metas_at_full_size_and_in_proportion_below() -> None:
    assert small_tracker().hole_area == 256 * 48 * 48 // 288**2


def test_bfloat16_keeps_positions_exact_and_stays_near_float32(
    clicking_segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    tracker = small_tracker()
    for name, parameter in tracker.named_parameters():
        if "positional_embedding" not in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    half = Sam3(small_model().to(torch.bfloat16), tokenizer, ModelInfo("small", "cpu", "bfloat16"), tracker)
    mask = masks.encode(np.indices((120, 180)).sum(0) < 120)
    for prompt in (CLICK, BOX, ClickPrompt(mask=mask)):
        near = [answer.predicted_iou for answer in half.segment_at(half.encode(picture), prompt)]
        exact = [
            answer.predicted_iou for answer in clicking_segmenter.segment_at(clicking_segmenter.encode(picture), prompt)
        ]
        assert near == pytest.approx(exact, abs=0.05)


def test_a_scheduler_answers_clicks_as_the_model_itself_does(
    clicking_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    expected = clicking_segmenter.segment_at(clicking_segmenter.encode(picture), CLICK)
    with Scheduler([clicking_segmenter]) as scheduler:
        assert scheduler.segment_at(scheduler.encode(picture), CLICK) == expected
        outside = ClickPrompt(((500.0, 5.0),))
        with pytest.raises(InputError, match="outside the 180x120 image"):
            scheduler.segment_at(scheduler.encode(picture), outside)


def test_images_that_were_encoded_together_are_clicked_each_by_itself(
    clicking_segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    plans = [clicking_segmenter.plan_encode(image) for image in (picture, picture[::-1])]
    together = list(plans[0].work.answers([plan.items[0] for plan in plans]))
    for seen, image in zip(together, (picture, picture[::-1]), strict=True):
        alone = clicking_segmenter.segment_at(clicking_segmenter.encode(image), CLICK)
        found = clicking_segmenter.segment_at(seen, CLICK)
        assert [a.predicted_iou for a in found] == pytest.approx([a.predicted_iou for a in alone], abs=1e-5)
