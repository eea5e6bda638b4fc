"""Training-only terms that make text grounding appear: words meet patches, and the encoder says where the prompt holds.

Without them boxes and masks are learned early while text stays stuck. The extra parameters live beside the model and
are not shipped.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam3Model

from sam3_agent.training.forward import encode_text
from sam3_agent.training.losses import focal

GROUP_WEIGHT = {"pattern": 4.0}
"""Patterns are learned last: they need the most resolution, and most objects have none."""


@dataclass(frozen=True, slots=True)
class WordTable:
    """The vocabulary as prompts of one word."""

    input_ids: Tensor
    """(W, T)"""
    groups: dict[str, list[int]]
    """Rows that exclude each other: nouns, colors, patterns."""


@dataclass(frozen=True, slots=True)
class DenseTruth:
    """Labels of the patches of B images."""

    cover: Tensor
    """(B, W, h, w) share of the patch that each word describes"""
    labels: dict[str, Tensor]
    """group -> (B, h, w) index into the group's rows, -1 on background"""
    boxes: Tensor
    """(B, 4, h, w) xyxy of the patch's object relative to the patch center, NaN on background"""


class Alignment(nn.Module):
    """Heads that exist during training only."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.word_scale = nn.Parameter(torch.tensor(1.0))
        self.word_bias = nn.Parameter(torch.tensor(-2.0))
        self.word = nn.Linear(hidden, hidden)
        self.patch = nn.Linear(hidden, hidden)
        self.covered = nn.Linear(hidden, 1)
        self.box = nn.Linear(hidden, 4)

    def words_on_patches(self, text: Tensor, features: Tensor) -> Tensor:
        """(B, W, h, w) logits of (B, W, C) words on (B, C, h, w) features: does the word describe the patch?"""
        words = self.word(text)  # (B, W, C)
        patches = self.patch(features.flatten(2).transpose(1, 2))  # (B, N, C)
        logits = torch.einsum("bwc,bnc->bwn", words, patches) / words.shape[-1] ** 0.5
        return (logits * self.word_scale + self.word_bias).unflatten(2, features.shape[-2:])


def word_loss(logits: Tensor, cover: Tensor) -> Tensor:
    """Focal loss of (B, W, h, w) logits; border patches (10-50 % covered) are left out."""
    known = (cover < 0.1) | (cover > 0.5)
    return focal(logits[known], (cover[known] > 0.5).float()).sum() / known.sum().clamp(min=1) * 10


def prompt_loss(heads: Alignment, encoded: Tensor, wanted: Tensor) -> Tensor:
    """Focal loss of "this patch belongs to what is asked for".

    `encoded` is the (P, N, C) output of the DETR encoder, `wanted` the (P, h, w) share of each patch that is meant.
    """
    logits = heads.covered(encoded).squeeze(-1)  # (P, N)
    truth = wanted.flatten(1)
    known = (truth < 0.1) | (truth > 0.5)
    return focal(logits[known], (truth[known] > 0.5).float()).sum() / known.sum().clamp(min=1) * 10


def dense_loss(
    model: Sam3Model, heads: Alignment, features: Tensor, words: WordTable, truth: DenseTruth
) -> dict[str, Tensor]:
    """Every word of the vocabulary against every patch of every image; `features` is (B, C, h, w).

    Words of one group (nouns, colors, patterns) compete for a patch by cross-entropy, which teaches the backbone to
    tell them apart; the focal term says whether a word holds at all; the box term says where the patch's object ends.
    """
    text = encode_text(model, words.input_ids)  # (W, T, C)
    each = text[torch.arange(len(text)), 1][None].expand(len(features), -1, -1)  # (B, W, C), the token after the start
    logits = heads.words_on_patches(each, features).float()  # (B, W, h, w)
    terms = {"words": word_loss(logits, truth.cover)}
    for name, members in words.groups.items():
        labels = truth.labels[name]  # (B, h, w), -1 on background
        terms[name] = GROUP_WEIGHT.get(name, 1.0) * F.cross_entropy(logits[:, members] * 4.0, labels, ignore_index=-1)
    regressed = heads.box(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).float()  # (B, 4, h, w)
    known = ~truth.boxes.isnan()
    terms["patch_boxes"] = 2.0 * (regressed[known] - truth.boxes[known]).abs().mean()
    return terms


def start_heads(model: Sam3Model, heads: Alignment) -> None:
    """The way back of `start_grounding`: fresh heads for a trained model begin with its first cross-attention."""
    with torch.no_grad():
        attention = cast(Any, model.detr_encoder).layers[0].cross_attn
        for projection, target in ((attention.q_proj, heads.patch), (attention.k_proj, heads.word)):
            target.weight.copy_(projection.weight)
            target.bias.copy_(projection.bias)


def start_grounding(model: Sam3Model, heads: Alignment) -> None:
    """Let the DETR encoder's cross-attention begin with the alignment that the dense stage has found.

    Its queries are patches and its keys are words, so the two alignment projections are the natural first values.
    """
    with torch.no_grad():
        for layer in cast(Any, model.detr_encoder).layers:
            for projection, source in ((layer.cross_attn.q_proj, heads.patch), (layer.cross_attn.k_proj, heads.word)):
                projection.weight.copy_(source.weight)
                projection.bias.copy_(source.bias)
