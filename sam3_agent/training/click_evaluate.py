"""A quick held-out reading of a clicks run; the figures that count come from `benchmarks/clicks`."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sam3_agent.model.tracker import ClickFeatures, Clicks
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import generate_scene
from sam3_agent.training.click_batch import ObjectBatch, object_batch
from sam3_agent.training.click_forward import ClickAnswers, answer_clicks
from sam3_agent.training.click_loss import mask_iou
from sam3_agent.training.click_prompts import correction, interior_point
from sam3_agent.training.click_steps import ClickLearner, clicks_of, encode_grid
from sam3_agent.training.evaluate import HELD_OUT_SEED


@torch.inference_mode()
def quick_click_evaluation(learner: ClickLearner, image_size: int, scenes: int = 20) -> dict[str, str]:
    """Mean IoU on the mask grid from a centre click, from a box, and after one correction of the click."""
    learner.tracker.eval()
    options = SceneOptions(min_side=256, max_side=512)
    ious: dict[str, list[float]] = {}
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + scenes):
        scene = generate_scene(seed, options)
        batch = object_batch([scene], [list(range(len(scene.objects)))], image_size, learner.tracker.mask_size[0])
        features = learner.tracker.features(encode_grid(learner, batch.pixels)).select(batch.index)
        for name, values in _readings(learner, features, batch, np.random.default_rng(seed)).items():
            ious.setdefault(name, []).extend(values)
    learner.tracker.train()
    return {name: f"mIoU {np.mean(values):.3f} n {len(values)}" for name, values in ious.items()}


def _readings(
    learner: ClickLearner, features: ClickFeatures, batch: ObjectBatch, rng: np.random.Generator
) -> dict[str, list[float]]:
    def ask(clicks: Clicks) -> ClickAnswers:
        return answer_clicks(learner.tracker, features, clicks.on(features.coarse.device))

    def best(answers: ClickAnswers) -> list[float]:
        return _list(mask_iou(answers.best()[:, None].cpu(), batch.cover)[:, 0])

    return _ask_all(ask, best, batch, rng)


def _ask_all(
    ask: Callable[[Clicks], ClickAnswers],
    best: Callable[[ClickAnswers], list[float]],
    batch: ObjectBatch,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    centres = [(*interior_point(solid), 1) for solid in batch.solid]
    click = ask(clicks_of([[centre] for centre in centres], batch.cell))
    boxes = torch.from_numpy(batch.boxes * batch.cell)  # pyright: ignore[reportUnknownMemberType]
    nothing = clicks_of([[] for _ in centres], batch.cell)
    box = ask(Clicks(nothing.points, nothing.labels, boxes))
    logits: Tensor = click.best()
    found = (logits > 0).cpu().numpy()
    rows = [[c, correction(s, f, rng)] for c, s, f in zip(centres, batch.solid, found, strict=True)]
    more = clicks_of(rows, batch.cell)
    after = ask(Clicks(more.points, more.labels, masks=logits[:, None]))
    oracle = _list(mask_iou(click.masks[:, 1:].cpu(), batch.cover).max(1).values)
    return {"click": best(click), "click, oracle of 3": oracle, "box": best(box), "click + correction": best(after)}


def _list(values: Tensor) -> list[float]:
    return cast(list[float], cast(Any, values).tolist())
