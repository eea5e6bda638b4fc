"""A forward pass of the tracker half that keeps all four masks.

`Sam3TrackerMaskDecoder.forward` returns either the one mask for a clear prompt or the three for an ambiguous one, while
both kinds are trained at once. This pass calls the same modules.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from sam3_agent.model.tracker import MASK_LIMIT, ClickFeatures, Clicks, Tracker


@dataclass(frozen=True, slots=True)
class ClickAnswers:
    """Answers to P prompts: mask 0 is the one for a clear prompt, 1 to 3 those for an ambiguous one."""

    masks: Tensor
    """(P, 4, G, G) logits"""
    quality: Tensor
    """(P, 4) predicted IoU"""
    present: Tensor
    """(P,) logits: is there an object at all?"""
    places: Tensor
    """(P, g * g, C) the image after it has met the prompt."""

    def best(self) -> Tensor:
        """(P, G, G) detached logits of the ambiguous answer with the best predicted IoU: what the model puts first."""
        choice = self.quality[:, 1:].argmax(1) + 1
        rows = torch.arange(len(choice), device=choice.device)
        return self.masks[rows, choice].detach().float().clamp(-MASK_LIMIT, MASK_LIMIT)


def answer_clicks(tracker: Tracker, features: ClickFeatures, clicks: Clicks) -> ClickAnswers:
    """Decode P prompts; `features` has one row a prompt."""
    decoder = cast(Any, tracker.tracker_model.mask_decoder)
    sparse, dense = tracker.embed(clicks)
    own = torch.cat([decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight])  # (6, C)
    tokens = torch.cat([own.expand(len(sparse), 1, -1, -1), sparse], dim=2)  # (P, 1, 6 + L, C)
    tokens, keys = decoder.transformer(
        point_embeddings=tokens,
        image_embeddings=features.embedding + dense,
        image_positional_embeddings=tracker.positions(len(sparse)),
        attention_similarity=None,
    )
    tokens, keys = tokens[:, 0], keys[:, 0]  # (P, 6 + L, C), (P, g * g, C)
    planes = keys.transpose(1, 2).unflatten(2, features.coarse.shape[-2:])  # (P, C, g, g)
    planes = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(planes) + features.finer))
    planes = decoder.activation(decoder.upscale_conv2(planes) + features.finest)  # (P, C / 8, G, G)
    kernels = [mlp(tokens[:, 2 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = torch.einsum("pkc,pchw->pkhw", torch.stack(kernels, dim=1), planes)
    present = decoder.pred_obj_score_head(tokens[:, 0]).squeeze(-1)
    return ClickAnswers(masks, decoder.iou_prediction_head(tokens[:, 1]), present, keys)
