"""The loss of a clip that is followed.

SAM 2 (arXiv 2408.00714, appendix on training) and SAM 3 (2511.16719, C.3): of the three masks only the best one pays,
the predicted IoU is L1, a further output says whether the object is there, and absent objects have no mask loss. Unlike
theirs presence weighs 1.5: it decides a loop over video more than masks do (a track that goes on where nothing is makes
false positives in every frame). A head that exists during training only reads off the conditioned features whether a
place belongs to the object, so that the memory is read at all; it fades out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.losses import dice, focal
from sam3_agent.training.track_clips import VISIBLE
from sam3_agent.training.track_forward import Followed

EDGE = 0.3
DICE = 2.0
PRESENT = 1.5
QUALITY = 0.5
OF_ALL = 0.1
"""Share of the mean of the three masks; the rest is the best one's."""


def follow_loss(found: Followed, head: nn.Linear, cover: Tensor, covered: float) -> dict[str, Tensor]:
    """Terms of P objects on one frame against their (P, G, G) cover; `covered` weighs the training head."""
    there = (cover > VISIBLE).flatten(1).any(1)
    score = found.score.float()
    terms = {
        "present": PRESENT * F.binary_cross_entropy_with_logits(score, there.float()),
        "covered": covered * _covered(head(found.places).squeeze(-1), cover),
    }
    if there.any():
        masks, truth = found.masks[there].float(), cover[there]
        cost = _mask_cost(masks, truth)  # (P, 3)
        terms["mask"] = ((1 - OF_ALL) * cost.min(1).values + OF_ALL * cost.mean(1)).mean()
        actual = mask_iou(masks.detach(), truth)
        terms["quality"] = QUALITY * (found.quality[there].float() - actual).abs().mean()
    return terms


def _mask_cost(masks: Tensor, cover: Tensor) -> Tensor:
    """(P, K) focal by area + Dice of (P, K, G, G) logits."""
    truth = cover[:, None].expand_as(masks)
    area = cover.flatten(1).sum(1).clamp(min=16.0)[:, None]
    edge = focal(masks, truth, gamma=1.0).flatten(2).sum(2) / area
    return EDGE * edge + DICE * dice(masks.flatten(0, 1), truth.flatten(0, 1)).view(masks.shape[:2])


def _covered(logits: Tensor, cover: Tensor) -> Tensor:
    """Focal loss by area of (P, g * g) logits."""
    side = round(logits.shape[1] ** 0.5)
    share = F.adaptive_avg_pool2d(cover[:, None], side).flatten(1)
    return (focal(logits, share).sum(1) / share.sum(1).clamp(min=4.0)).mean()


def mean_terms(frames: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the frames that have it."""
    names = sorted({name for terms in frames for name in terms})
    return {name: torch.stack([terms[name] for terms in frames if name in terms]).mean() for name in names}
