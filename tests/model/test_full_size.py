"""The architecture of facebook/sam3 at full size, with random weights, on one photograph."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate
from transformers import CLIPTokenizer, Sam3Config, Sam3Model

from sam3_agent import masks
from sam3_agent.model.exemplars import box_tensors
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import token_ids
from sam3_agent.types import ConceptPrompt, DetectOptions, Exemplar, ModelInfo
from tests.model.conftest import SHARED

TRUCK = SHARED / "sam_images" / "truck.jpg"


@pytest.fixture(scope="module")
def photograph() -> NDArray[np.uint8]:
    if not TRUCK.is_file():
        pytest.skip("the photograph ../shared/data/sam_images/truck.jpg is not here")
    return np.array(Image.open(TRUCK).convert("RGB"))


@pytest.fixture(scope="module")
def full_model(photograph: NDArray[np.uint8], tokenizer: CLIPTokenizer) -> Sam3:
    torch.manual_seed(0)
    model = Sam3Model(Sam3Config())
    with torch.no_grad():
        model.detr_decoder.reference_points.weight.normal_()  # else all 200 boxes are the same one
    return Sam3(model, tokenizer, ModelInfo("random weights", "cpu", "float32"))


@pytest.mark.slow
@pytest.mark.timeout(1800)  # about 2 minutes on two idle cores
def test_full_size_answers_a_phrase_and_an_exemplar_with_the_right_shapes_and_geometry(
    full_model: Sam3, photograph: NDArray[np.uint8], tokenizer: CLIPTokenizer
) -> None:
    assert sum(weight.numel() for weight in full_model._model.parameters()) == pytest.approx(840.4e6, rel=0.001)
    seen = full_model.encode(photograph)
    assert (seen.height, seen.width) == (1200, 1800)
    assert [tuple(level.shape) for level in seen.levels] == [(1, 256, side, side) for side in (288, 144, 72)]
    assert seen.nbytes == 4 * 256 * (288**2 + 144**2 + 72**2)
    prompt = ConceptPrompt("truck", (Exemplar((80, 280, 1700, 850)),))
    (found,) = full_model.detect(seen, [prompt], DetectOptions(threshold=0.99, near_misses=3))
    assert 0 < found.presence < 1
    assert found.kept == ()
    assert len(found.near_misses) == 3
    for miss in found.near_misses:
        x0, y0, x1, y1 = miss.box
        assert 0 <= x0 < x1 <= 1800
        assert 0 <= y0 < y1 <= 1200
        assert miss.rle.size == (1200, 1800)
        assert 0 < masks.area(miss.rle) == masks.decode(miss.rle).sum()
    boxes = box_tensors([(((890 / 1800, 565 / 1200, 1620 / 1800, 570 / 1200),), (1,))])
    grounded = full_model.ground(seen, [token_ids(tokenizer, "truck")], *boxes)
    assert tuple(grounded.logits.shape) == (1, 200)
    assert tuple(grounded.boxes.shape) == (1, 200, 4)
    best = int(grounded.logits[0].argmax())
    assert float(grounded.logits[0, best].sigmoid()) == pytest.approx(found.near_misses[0].object_score, abs=1e-4)
    (plane,) = full_model.masks(seen, grounded, 0, [best])
    assert plane.shape == (288, 288)
    full = interpolate(torch.from_numpy(plane)[None, None], size=(1200, 1800), mode="bilinear", align_corners=False)
    wrong = (full[0, 0] > 0).numpy() != masks.decode(found.near_misses[0].rle)
    assert wrong.mean() < 1e-3
