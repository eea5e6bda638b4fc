"""Held-out readings of training: a quick one on the way; the figures that count come from `benchmarks/tiny`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sam3_agent.scenes.concepts import concepts_of
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import generate_scene
from sam3_agent.training.batch import Batch, collate, scene_targets
from sam3_agent.training.forward import answer, draw_masks
from sam3_agent.training.losses import assign
from sam3_agent.training.prompts import HELD_OUT_PAIRS, TrainingPrompt, sample_prompts
from sam3_agent.training.steps import Learner, ground_batch

HELD_OUT_SEED = 900_000


@dataclass(slots=True)
class Accumulator:
    """Counts of one kind of prompt at score 0.5 and mask IoU 0.5 (on the mask grid)."""

    hit: int = 0
    extra: int = 0
    missed: int = 0
    right_presence: int = 0
    prompts: int = 0

    @property
    def f1(self) -> float:
        """Micro F1 over all prompts of the kind."""
        return 2 * self.hit / max(1, 2 * self.hit + self.extra + self.missed)


@torch.inference_mode()
def quick_evaluation(learner: Learner, image_size: int, scenes: int = 40, prompts: int = 8) -> dict[str, str]:
    """F1 and the share of prompts whose presence is right, per kind of prompt."""
    learner.model.eval()
    tallies: dict[str, Accumulator] = {}
    options = SceneOptions(min_side=256, max_side=512, excluded_pairs=HELD_OUT_PAIRS)
    for index in range(scenes):
        rng = np.random.default_rng(HELD_OUT_SEED + index)
        scene = scene_targets(generate_scene(HELD_OUT_SEED + index, options), image_size)
        batch = collate([scene], [sample_prompts(scene.objects, prompts, rng)], learner.tokenizer, rng)
        masks, objects, presence = _answers(learner, batch)
        scores = objects.sigmoid() * presence.sigmoid()[:, None]
        for row, prompt in enumerate(batch.prompts):
            found = masks[row][scores[row] > 0.5] > 0
            truth = scene.masks[list(prompt.targets)] > 0.5
            for kind in (prompt.kind, "all"):
                _count(tallies.setdefault(kind, Accumulator()), found, truth)
    learner.model.train()
    return {
        k: f"f1 {t.f1:.3f} presence {t.right_presence / t.prompts:.3f} n {t.prompts}"
        for k, t in sorted(tallies.items())
    }


def _answers(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(P, Q, S/2, S/2) mask logits on the grid of the truth, (P, Q) object and (P,) presence logits, on the CPU."""
    _, each, grounding = ground_batch(learner, batch)
    outputs = answer(learner.model, grounding)
    masks, _ = draw_masks(
        learner.model, each, grounding, outputs, torch.arange(len(batch.prompts), device=learner.model.device)
    )
    masks = functional.interpolate(masks.cpu(), scale_factor=2, mode="bilinear")  # (P, Q, S/2, S/2)
    return masks, outputs.logits[-1].cpu(), outputs.presence[-1].cpu()


CALIBRATION_SEED = 950_000
BIASES = tuple(i / 4 for i in range(-8, 13))
"""Shifts of the presence logit that are tried."""
CANDIDATE = 0.4
"""An object score under this one is never kept, whatever presence says."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One prompt's candidates beside the truth."""

    presence: float
    """Logit."""
    scores: NDArray[np.float64]
    """(N,) object scores"""
    iou: NDArray[np.float64]
    """(N, T) of the candidates' masks with the targets"""


@torch.inference_mode()
def fitted_presence_bias(learner: Learner, image_size: int, scenes: int = 60, prompts: int = 10) -> float:
    """Smallest shift of the presence logit that gives about the most cgF1 at IoU 0.5 on held-out scenes.

    Presence learns on prompts of which a quarter is absent, so it says no too often where a half is. The phrases are
    those of `scenes.concepts`, half of which hold for nothing.
    """
    learner.model.eval()
    judged: list[Judged] = []
    options = SceneOptions(min_side=256, max_side=512)
    for seed in range(CALIBRATION_SEED, CALIBRATION_SEED + scenes):
        scene, rng = generate_scene(seed, options), np.random.default_rng(seed)
        targets, numbers = scene_targets(scene, image_size), [o.id for o in scene.objects]
        asked = [
            TrainingPrompt(c.phrase, (), tuple(numbers.index(i) for i in c.target_ids), c.kind)
            for c in concepts_of(scene, rng, limit=prompts)
        ]
        batch = collate([targets], [asked], learner.tokenizer, rng)
        masks, objects, presence = _answers(learner, batch)
        scores = objects.sigmoid()
        for row, prompt in enumerate(asked):
            near = scores[row] > CANDIDATE
            iou = _iou(masks[row][near] > 0, targets.masks[list(prompt.targets)] > 0.5)
            judged.append(Judged(float(presence[row]), scores[row][near].double().numpy(), iou))
    return best_bias(judged)


def best_bias(judged: Sequence[Judged], biases: Sequence[float] = BIASES) -> float:
    """The smallest shift whose F1 times Matthews correlation is within 0.5 % of the best.

    The best itself lies on a plateau: taken to its end, presence would say yes to everything that has candidates.
    """
    worth = [_cgf1(judged, bias) for bias in biases]
    good = [bias for bias, value in zip(biases, worth, strict=True) if value >= 0.995 * max(worth)]
    return min(good, key=abs)


def _cgf1(judged: Sequence[Judged], bias: float) -> float:
    """Positive micro F1 at IoU 0.5 times the image-level Matthews correlation, at score 0.5."""
    hits = kept = wanted = 0
    said: list[tuple[bool, bool]] = []
    for each in judged:
        chosen = each.scores / (1 + np.exp(-each.presence - bias)) > 0.5
        said.append((bool(chosen.any()), each.iou.shape[1] > 0))
        if each.iou.shape[1]:
            table = each.iou[chosen]
            hits += int((table[assign(-table.astype(np.float32))] >= 0.5).sum())
            kept += int(chosen.sum())
            wanted += table.shape[1]
    right, extra = said.count((True, True)), said.count((True, False))
    missed, silent = said.count((False, True)), said.count((False, False))
    margins = (right + extra) * (right + missed) * (silent + extra) * (silent + missed)
    matthews = (right * silent - extra * missed) / max(1.0, math.sqrt(margins))
    return matthews * 2 * hits / max(1, kept + wanted)


def _iou(found: Tensor, truth: Tensor) -> NDArray[np.float64]:
    """(N, T) of (N, h, w) and (T, h, w) masks."""
    inter = torch.einsum("phw,thw->pt", found.float(), truth.float())
    union = found.flatten(1).sum(1)[:, None] + truth.flatten(1).sum(1)[None] - inter
    return (inter / union.clamp(min=1)).double().numpy()


def _count(tally: Accumulator, found: Tensor, truth: Tensor) -> None:
    iou = _iou(found, truth).astype(np.float32)
    rows, columns = assign(-iou)
    hits = int((iou[rows, columns] >= 0.5).sum())
    tally.hit += hits
    tally.extra += len(found) - hits
    tally.missed += len(truth) - hits
    tally.right_presence += int((len(found) > 0) == (len(truth) > 0))
    tally.prompts += 1
