"""The pieces against transformers' own forward pass, and against each other."""

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent.model import sam3_forward, text_prompts
from sam3_agent.model.exemplars import box_tensors
from sam3_agent.model.preprocess import to_pixels
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ModelInfo
from tests.model.conftest import SIDE, small_model

WORDS = ["cat", "a red 'boat'!", "house"]
BOXES = [((0.4, 0.5, 0.3, 0.2),), ((0.2, 0.2, 0.2, 0.3), (0.7, 0.6, 0.1, 0.5)), ()]
LABELS = [(1,), (1, 0), ()]


def ids_of(tokenizer: CLIPTokenizer, words: list[str]) -> list[tuple[int, ...]]:
    return [text_prompts.token_ids(tokenizer, word) for word in words]


def test_the_pieces_equal_the_whole_forward_pass_of_transformers(
    segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    ids = ids_of(tokenizer, WORDS)
    boxes, labels = box_tensors(list(zip(BOXES, LABELS, strict=True)))
    with torch.inference_mode():
        whole = segmenter._model(
            pixel_values=to_pixels(picture, SIDE).expand(3, -1, -1, -1),
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(ids) != 0,
            input_boxes=boxes,
            input_boxes_labels=labels,
        )
    seen = segmenter.encode(picture)
    grounded = segmenter.ground(seen, ids, boxes, labels)
    assert torch.allclose(grounded.logits, whole.pred_logits, atol=1e-5)
    assert torch.allclose(grounded.presence, whole.presence_logits[:, 0], atol=1e-5)
    assert torch.allclose(grounded.boxes, whole.pred_boxes, atol=1e-6)
    for row in range(3):
        chosen = [11, 0, 5]
        planes = torch.from_numpy(segmenter.masks(seen, grounded, row, chosen))
        assert torch.allclose(planes, whole.pred_masks[row, chosen], atol=1e-4)


def test_a_prompt_in_a_batch_equals_the_prompt_alone(
    segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    seen = segmenter.encode(picture)
    ids = ids_of(tokenizer, WORDS)
    rows = list(zip(BOXES, LABELS, strict=True))
    together = segmenter.ground(seen, ids, *box_tensors(rows))
    for row in range(3):
        alone = segmenter.ground(seen, ids[row : row + 1], *box_tensors(rows[row : row + 1]))
        assert torch.allclose(together.logits[row], alone.logits[0], atol=1e-4)
        assert torch.allclose(together.boxes[row], alone.boxes[0], atol=1e-4)
        assert torch.allclose(together.presence[row], alone.presence[0], atol=1e-4)
        first, second = segmenter.masks(seen, together, row, [3, 4]), segmenter.masks(seen, alone, 0, [3, 4])
        assert np.allclose(first, second, atol=1e-4)


def test_prompts_differ_from_each_other(segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]) -> None:
    grounded = segmenter.ground(segmenter.encode(picture), ids_of(tokenizer, WORDS), *box_tensors([((), ())] * 3))
    assert (grounded.logits[0] - grounded.logits[1]).abs().max() > 1e-2
    assert (grounded.logits[0] - grounded.logits[2]).abs().max() > 1e-2


def test_bfloat16_keeps_positions_in_float32_and_stays_near_float32(
    segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    half = Sam3(small_model().to(torch.bfloat16), tokenizer, ModelInfo("small", "cpu", "bfloat16"))
    for layer in half._model.vision_encoder.backbone.layers:
        assert layer.position_ids.dtype == layer.rotary_emb.inv_freq.dtype == torch.float32
    ids = ids_of(tokenizer, WORDS)
    rows = box_tensors(list(zip(BOXES, LABELS, strict=True)))
    exact, near = (one.ground(one.encode(picture), ids, *rows) for one in (segmenter, half))
    assert near.logits.dtype == near.boxes.dtype == torch.float32
    assert near.queries.dtype == torch.bfloat16
    assert (exact.boxes - near.boxes).abs().median() < 0.02
    assert (exact.logits - near.logits).abs().median() < 0.2


def test_preparing_sets_eval_mode_and_metas_layer_norm_eps() -> None:
    model = small_model().train()
    sam3_forward.prepare(model)
    norms = [m for m in model.vision_encoder.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert not model.training
    assert {norm.eps for norm in norms} == {1e-5}
    assert model.config.vision_config.backbone_config.layer_norm_eps == 1e-5


def test_gradients_are_not_kept(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    assert not any(level.requires_grad for level in segmenter.encode(picture).levels)
