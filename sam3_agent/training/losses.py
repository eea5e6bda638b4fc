"""The loss that transformers' SAM 3 lacks.

Terms and default weights follow DETR (Carion et al. 2020), focal loss (Lin et al. 2017), Dice (Milletari et al. 2016)
and the training recipe of the SAM 3 paper (arXiv 2511.16719, appendix on training): Hungarian matching on every decoder
layer, classification with presence apart, L1 and GIoU on boxes, focal and Dice on masks, a semantic map. Unlike SAM 3,
object scores of prompts without a target are trained too (at `absent_weight`), because a tiny model profits from both
scores saying no.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.training.forward import Outputs, to_xyxy

Match = tuple[Tensor, Tensor]
"""Query indices and target indices of one prompt, paired."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the loss terms; the `cost_` ones steer the matching only."""

    cost_class: float = 2.0
    cost_l1: float = 5.0
    cost_giou: float = 2.0
    classification: float = 4.0
    absent_weight: float = 0.4
    l1: float = 5.0
    giou: float = 2.0
    presence: float = 1.0
    mask_focal: float = 5.0
    mask_dice: float = 2.0
    sibling: float = 3.0
    """Extra weight of a pixel of another object of the same noun in the focal term of a mask."""
    semantic: float = 2.0


def pairwise_giou(first: Tensor, second: Tensor) -> Tensor:
    """(..., N, M) GIoU of (..., N, 4) and (..., M, 4) xyxy boxes (Rezatofighi et al. 2019)."""
    return _giou(first[..., :, None, :], second[..., None, :, :])


def assign(cost: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the cheapest pairing of an (N, M) table, min(N, M) of each (the Hungarian method)."""
    return cast(Any, linear_sum_assignment)(cost)


def match(logits: Tensor, boxes: Tensor, targets: Sequence[Tensor], weights: LossWeights) -> list[Match]:
    """Hungarian matching of P prompts: (P, Q) logits and (P, Q, 4) cxcywh boxes against each prompt's (T, 4) boxes."""
    empty = torch.zeros(0, dtype=torch.long)
    rows = [i for i, t in enumerate(targets) if len(t)]
    matches: list[Match] = [(empty, empty)] * len(targets)
    if not rows:
        return matches
    probability = logits.detach().float().sigmoid()
    # focal cost of the DETR family: how much the loss would gain from calling this query positive
    cost_class = 0.25 * (1 - probability) ** 2 * -(probability + 1e-8).log()
    cost_class -= 0.75 * probability**2 * -(1 - probability + 1e-8).log()
    flat_boxes = boxes.detach().float()
    padded = nn.utils.rnn.pad_sequence(list(targets), batch_first=True, padding_value=0.5)  # (P, T, 4)
    cost = (
        weights.cost_class * cost_class[:, :, None]
        + weights.cost_l1 * torch.cdist(flat_boxes, padded, p=1)
        - weights.cost_giou * pairwise_giou(to_xyxy(flat_boxes), to_xyxy(padded))
    )  # (P, Q, T)
    table = cost.cpu().numpy()
    for row in rows:
        query, index = assign(table[row, :, : len(targets[row])])
        matches[row] = (torch.as_tensor(query), torch.as_tensor(index))
    return matches


def focal(logits: Tensor, targets: Tensor, alpha: float = 0.5, gamma: float = 2.0) -> Tensor:
    """Elementwise sigmoid focal loss; targets may be soft."""
    logits = logits.float()
    probability = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    distance = (probability - targets).abs()
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return 2.0 * balance * cross_entropy * distance**gamma


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    """(N,) Dice loss of (N, h, w) logits against soft targets."""
    probability = logits.float().sigmoid().flatten(1)
    truth = targets.flatten(1)
    return 1 - (2 * (probability * truth).sum(1) + 1) / (probability.sum(1) + truth.sum(1) + 1)


def detection_loss(
    outputs: Outputs, targets: Sequence[Tensor], weights: LossWeights
) -> tuple[dict[str, Tensor], list[Match]]:
    """Classification, box and presence terms summed over decoder layers, and the last layer's matches."""
    count = max(1, sum(len(t) for t in targets))
    present = torch.tensor([float(len(t) > 0) for t in targets], device=outputs.logits.device)
    prompt_weight = present + (1 - present) * weights.absent_weight
    terms: dict[str, Tensor] = {}
    matches: list[Match] = []
    for layer in range(len(outputs.logits)):
        matches = match(outputs.logits[layer], outputs.boxes[layer], targets, weights)
        labels = torch.zeros_like(outputs.logits[layer], dtype=torch.float32)
        for row, (query, _) in enumerate(matches):
            labels[row, query] = 1.0
        classified = (focal(outputs.logits[layer], labels) * prompt_weight[:, None]).sum() / count
        l1, giou = _box_terms(outputs.boxes[layer].float(), targets, matches, count)
        presence = F.binary_cross_entropy_with_logits(outputs.presence[layer].float(), present)
        for name, value in (
            ("classification", weights.classification * classified),
            ("l1", weights.l1 * l1),
            ("giou", weights.giou * giou),
            ("presence", weights.presence * presence),
        ):
            terms[name] = terms[name] + value if name in terms else value
    return terms, matches


@dataclass(frozen=True, slots=True)
class MaskTruth:
    """Truth of one prompt's T masks; its cells are as fine as those of the logits, or finer by a whole number."""

    cover: Tensor
    """(T, H, W) share of each cell that the object covers"""
    siblings: Tensor
    """(T, H, W) the same of all other objects of its noun together"""


def mask_loss(
    masks: Tensor, semantic: Tensor, truths: Sequence[MaskTruth], matches: Sequence[Match], weights: LossWeights
) -> dict[str, Tensor]:
    """Mask and semantic terms of R prompts that have targets.

    `masks` is (R, Q, h, w) logits, `semantic` (R, h, w) logits. Logits are enlarged to the grid of the truth as they
    are in use: bilinearly, before the cut at 0. So they learn to put that cut where the object ends, within a cell.
    The focal term is divided by the object's area (at least 4 cells of the logits), so that small objects count as much
    as big ones.
    """
    chosen = torch.cat([masks[row, query] for row, (query, _) in enumerate(matches)])  # (M, h, w)
    truth = torch.cat([t.cover[index] for t, (_, index) in zip(truths, matches, strict=True)])  # (M, H, W)
    others = torch.cat([t.siblings[index] for t, (_, index) in zip(truths, matches, strict=True)])  # (M, H, W)
    finer = truth.shape[-1] // chosen.shape[-1]
    chosen = F.interpolate(chosen[:, None].float(), scale_factor=finer, mode="bilinear")[:, 0]  # (M, H, W)
    area = truth.flatten(1).sum(1).clamp(min=4.0 * finer**2)
    per_mask = (focal(chosen, truth, gamma=1.0) * (1 + weights.sibling * others)).flatten(1).sum(1) / area
    whole = torch.stack([F.avg_pool2d(t.cover.sum(0)[None], finer)[0].clamp(max=1.0) for t in truths])  # (R, h, w)
    semantic_terms = dice(semantic, whole).mean() + F.binary_cross_entropy_with_logits(semantic.float(), whole)
    return {
        "mask_focal": weights.mask_focal * 0.2 * per_mask.mean(),
        "mask_dice": weights.mask_dice * dice(chosen, truth).mean(),
        "semantic": weights.semantic * 0.5 * semantic_terms,
    }


def _box_terms(boxes: Tensor, targets: Sequence[Tensor], matches: Sequence[Match], count: int) -> tuple[Tensor, Tensor]:
    if not any(len(query) for query, _ in matches):
        zero = boxes.sum() * 0
        return zero, zero
    chosen = torch.cat([boxes[row, query] for row, (query, _) in enumerate(matches)])  # (M, 4)
    truth = torch.cat([targets[row][index] for row, (_, index) in enumerate(matches)])  # (M, 4)
    giou = _giou(to_xyxy(chosen), to_xyxy(truth))
    return (chosen - truth).abs().sum() / count, (1 - giou).sum() / count


def _giou(first: Tensor, second: Tensor) -> Tensor:
    """GIoU of xyxy boxes whose leading shapes broadcast."""
    area1 = (first[..., 2:] - first[..., :2]).prod(-1)
    area2 = (second[..., 2:] - second[..., :2]).prod(-1)
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    union = area1 + area2 - inter
    spread = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    hull = spread.clamp(min=0).prod(-1)
    return inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
