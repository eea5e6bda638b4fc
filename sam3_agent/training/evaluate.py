"""A quick held-out reading during training; the figures that count come from `benchmarks/tiny`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import generate_scene
from sam3_agent.training.batch import Batch, collate, scene_targets
from sam3_agent.training.forward import answer, draw_masks
from sam3_agent.training.losses import assign
from sam3_agent.training.prompts import HELD_OUT_PAIRS, sample_prompts
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
        masks, scores = _answers(learner, batch)
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


def _answers(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor]:
    """(P, Q, S/2, S/2) mask logits on the grid of the truth and (P, Q) scores, on the CPU."""
    _, each, grounding = ground_batch(learner, batch)
    outputs = answer(learner.model, grounding)
    masks, _ = draw_masks(
        learner.model, each, grounding, outputs, torch.arange(len(batch.prompts), device=learner.model.device)
    )
    scores = outputs.logits[-1].sigmoid() * outputs.presence[-1].sigmoid()[:, None]
    masks = functional.interpolate(masks.cpu(), scale_factor=2, mode="bilinear")  # (P, Q, S/2, S/2)
    return masks, scores.cpu()


def _count(tally: Accumulator, found: Tensor, truth: Tensor) -> None:
    inter = torch.einsum("phw,thw->pt", found.float(), truth.float())
    union = found.flatten(1).sum(1)[:, None] + truth.flatten(1).sum(1)[None] - inter
    iou = (inter / union.clamp(min=1)).numpy()
    rows, columns = assign(-iou)
    hits = int((iou[rows, columns] >= 0.5).sum())
    tally.hit += hits
    tally.extra += len(found) - hits
    tally.missed += len(truth) - hits
    tally.right_presence += int((len(found) > 0) == (len(truth) > 0))
    tally.prompts += 1
