"""The embedded model: loaded by the code that loads the real one, small, named, and not blind."""

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.model import loading
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ClickPrompt, ConceptPrompt, Exemplar


@pytest.fixture(scope="module")
def tiny() -> Sam3:
    if not (loading.TINY_FOLDER / "model.safetensors").is_file():
        pytest.skip("the embedded weights have not been trained yet (sam3_agent/model/weights/tiny)")
    return Sam3.load(device="cpu")


def test_the_embedded_model_says_that_it_is_tiny(tiny: Sam3) -> None:
    assert (tiny.info.name, tiny.info.device, tiny.info.dtype) == ("tiny", "cpu", "float32")


def test_the_embedded_weights_stay_under_fifteen_megabytes(tiny: Sam3) -> None:
    assert sum(file.stat().st_size for file in loading.TINY_FOLDER.iterdir()) <= 15e6


def test_the_embedded_model_finds_a_red_circle_by_word_and_by_example(tiny: Sam3) -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    disc = np.hypot(rows - 120, columns - 200) < 55
    image = np.where(disc[..., None], [205, 40, 40], [225, 225, 220]).astype(np.uint8)
    prompts = [ConceptPrompt("red circle"), ConceptPrompt(None, (Exemplar((145, 65, 255, 175)),))]
    for found in tiny.detect(tiny.encode(image), prompts):
        assert found.presence > 0.5
        assert len(found.kept) == 1
        assert masks.iou([found.kept[0].rle], [masks.encode(disc)])[0, 0] > 0.7


def test_the_embedded_model_outlines_one_object_from_a_click_or_a_box_and_mends_it(tiny: Sam3) -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    disc = np.hypot(rows - 120, columns - 220) < 40
    square = (np.abs(rows - 120) < 35) & (np.abs(columns - 90) < 35)
    image = np.full((240, 320, 3), (225, 225, 220), dtype=np.uint8)
    image[disc], image[square] = (205, 40, 40), (40, 70, 205)
    seen = tiny.encode(image)
    for thing, point, box in ((disc, (220, 120), (180, 80, 260, 160)), (square, (90, 120), (55, 85, 125, 155))):
        for prompt in (ClickPrompt((point,)), ClickPrompt(box=box), ClickPrompt((point,), mask=masks.encode(thing))):
            best = tiny.segment_at(seen, prompt)[0]
            assert masks.iou([best.rle], [masks.encode(thing)])[0, 0] > 0.7, prompt.label
