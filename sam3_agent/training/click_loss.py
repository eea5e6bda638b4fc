"""The loss on clicked masks.

SAM (arXiv 2304.02643, section 3 and appendix A): focal and Dice on the mask, of the three answers to an ambiguous
prompt only the best one pays, and the predicted IoU learns the actual one. SAM 2 (2408.00714, appendix on training):
that IoU term is L1 and supervises all masks, and a further output says whether there is an object. Unlike theirs, the
focal term is divided by the object's area, so that small objects count as much as big ones, and a tenth of the
ambiguous term is the mean of the three, so that none of them is left untrained. A head that exists during training
only reads off each place of the grid whether it belongs to the object: a shorter way to learn what a prompt means.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.training.click_forward import ClickAnswers
from sam3_agent.training.losses import dice, focal

EDGE = 0.3
DICE = 2.0
COVERED = 1.0
QUALITY = 1.0
PRESENT = 0.1
OF_ALL = 0.1
"""Share of the mean of the three ambiguous answers; the rest is the best one's."""


def click_loss(answers: ClickAnswers, head: nn.Linear, cover: Tensor) -> dict[str, Tensor]:
    """Terms of P answers against the (P, G, G) share of each cell that the object covers; `head` reads the places."""
    each = _mask_cost(answers.masks, cover)  # (P, 4)
    ambiguous = (1 - OF_ALL) * each[:, 1:].min(1).values + OF_ALL * each[:, 1:].mean(1)
    quality = (answers.quality.float() - mask_iou(answers.masks.detach(), cover)).abs()
    present = answers.present.float()
    return {
        "clear": each[:, 0].mean(),
        "ambiguous": ambiguous.mean(),
        "quality": QUALITY * quality.mean(),
        "present": PRESENT * F.binary_cross_entropy_with_logits(present, torch.ones_like(present)),
        "covered": COVERED * _covered(head(answers.places).squeeze(-1), cover),
    }


def mask_iou(masks: Tensor, cover: Tensor) -> Tensor:
    """(P, K) IoU of (P, K, G, G) logits > 0 with the cells that are more than half covered."""
    found, truth = masks > 0, (cover > 0.5)[:, None]
    shared = (found & truth).flatten(2).sum(2)
    return shared / (found | truth).flatten(2).sum(2).clamp(min=1)


def _covered(logits: Tensor, cover: Tensor) -> Tensor:
    """Focal loss by area of (P, g * g) logits: does the place belong to the object?"""
    side = round(logits.shape[1] ** 0.5)
    share = F.adaptive_avg_pool2d(cover[:, None], side).flatten(1)  # (P, g * g)
    return (focal(logits, share).sum(1) / share.sum(1).clamp(min=1.0)).mean()


def _mask_cost(masks: Tensor, cover: Tensor) -> Tensor:
    """(P, K) focal by area + Dice of (P, K, G, G) logits."""
    truth = cover[:, None].expand_as(masks)
    area = cover.flatten(1).sum(1).clamp(min=16.0)[:, None]
    edge = focal(masks, truth, gamma=1.0).flatten(2).sum(2) / area
    return EDGE * edge + DICE * dice(masks.flatten(0, 1), truth.flatten(0, 1)).view(masks.shape[:2])
