"""The embedded eye: loaded by the code that loads the real one, small, named, and not blind."""

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.model import loading
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ConceptPrompt, Exemplar


@pytest.fixture(scope="module")
def tiny() -> Sam3:
    if not (loading.TINY_FOLDER / "model.safetensors").is_file():
        pytest.skip("the embedded weights have not been trained yet (sam3_agent/model/weights/tiny)")
    return Sam3.load(device="cpu")


def test_the_embedded_eye_says_that_it_is_tiny(tiny: Sam3) -> None:
    assert (tiny.info.name, tiny.info.device, tiny.info.dtype) == ("tiny", "cpu", "float32")


def test_the_embedded_weights_stay_under_fifteen_megabytes(tiny: Sam3) -> None:
    assert sum(file.stat().st_size for file in loading.TINY_FOLDER.iterdir()) <= 15e6


def test_the_embedded_eye_finds_a_red_circle_by_word_and_by_example(tiny: Sam3) -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    disc = np.hypot(rows - 120, columns - 200) < 55
    image = np.where(disc[..., None], [205, 40, 40], [225, 225, 220]).astype(np.uint8)
    prompts = [ConceptPrompt("red circle"), ConceptPrompt(None, (Exemplar((145, 65, 255, 175)),))]
    for found in tiny.detect(tiny.encode(image), prompts):
        assert found.presence > 0.5
        assert len(found.kept) == 1
        assert masks.iou([found.kept[0].rle], [masks.encode(disc)])[0, 0] > 0.7
