"""Forecast of a fine-tuning: what it will learn from, how long it takes and what memory, from one step of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from sam3_agent.model.adapters.low_rank import PARTS, WHOLE, fresh, shapes_of, view_of
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import EXEMPLAR_PHRASE, clean
from sam3_agent.training.finetuning.adapter_steps import TOKENS, LabeledView, own_loss
from sam3_agent.training.finetuning.figures import THRESHOLD, f1, own_counts, refusal
from sam3_agent.training.finetuning.finetune import FinetuneOptions, labeled_view
from sam3_agent.training.finetuning.looks import look
from sam3_agent.training.teaching.teach import check_images
from sam3_agent.training.teaching.views import TeachingImage, view
from sam3_agent.types import ConceptPrompt

REPLAYED = 1.4
"""Cost of a replayed word, in views: the base is asked too, and no masks are drawn."""
SCENE_WORDS = 14
"""Asked of each procedural scene."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a fine-tuning."""

    having: int
    lacking: int
    objects: int
    lookalikes: int
    views: int
    numbers: dict[str, int]
    """Trained, by part of the model."""
    adapter_bytes: int
    seconds: float
    cached_bytes: int
    """Of features in the host's memory."""
    device_bytes: int | None
    """Of the GPU at the peak of a step, weights included; None on a CPU."""
    base_f1: float | None
    """Of the phrase, as the model is."""
    base_refusal: float | None

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "images_with": self.having, "images_without": self.lacking, "objects": self.objects,
            "lookalikes": self.lookalikes, "views": self.views, "trained_numbers": self.numbers,
            "adapter_bytes": self.adapter_bytes, "seconds": round(self.seconds), "cached_bytes": self.cached_bytes,
            "device_bytes": self.device_bytes, "base": {"f1": self.base_f1, "refusal": self.base_refusal},
        }  # fmt: skip


def forecast(
    segmenter: Sam3, name: str, images: Sequence[TeachingImage], word: str, recipe: FinetuneOptions
) -> Forecast:
    """Ask the base for the phrase, run one step, and reckon; raises InputError as `finetune` does."""
    check_images(name, images)
    having = [image for image in images if image.objects]
    lacking = [image for image in images if not image.objects]
    began = time.monotonic()
    counts = own_counts([look(segmenter, image, ConceptPrompt(clean(word)), THRESHOLD) for image in images]).sum(axis=0)
    asked = (time.monotonic() - began) / len(images)  # an encode, a prompt and its masks
    rich, lean = _view(segmenter, having[0]), _view(segmenter, lacking[0])
    step, device_bytes = _step(segmenter, [rich, lean], recipe)
    lookalikes = sum(len(image.lookalikes) for image in images)
    with_it, without = len(having) * recipe.views, len(lacking) * recipe.absent_views + lookalikes
    numbers = _numbers(segmenter, recipe)
    return Forecast(
        len(having), len(lacking), sum(len(image.objects) for image in images), lookalikes, with_it + without, numbers,
        2 * sum(numbers.values()), _seconds(recipe, len(images), with_it + without, asked, step),
        with_it * _bytes(rich) + without * _bytes(lean), device_bytes, f1(counts), refusal(counts),
    )  # fmt: skip


def _view(segmenter: Sam3, image: TeachingImage) -> LabeledView:
    height, width = image.pixels.shape[:2]
    features = segmenter.encode(image.pixels)
    prefix = segmenter.prompt_tokens(features, EXEMPLAR_PHRASE)
    return labeled_view(view(image, (0, 0, width, height), shapes=True), features, prefix, 0, 0, whole=True)


def _step(segmenter: Sam3, views: Sequence[LabeledView], recipe: FinetuneOptions) -> tuple[float, int | None]:
    """Seconds of one view of a step, and the GPU's peak for a whole batch."""
    network, options = segmenter.network, recipe.steps
    network.requires_grad_(False)
    trained = {name: value.to(network.device) for name, value in fresh(network, options.rank, 0).items()}
    if options.tokens:
        trained[TOKENS] = torch.zeros(options.tokens, views[0].prefix.shape[1], device=network.device)
    for value in trained.values():
        value.requires_grad_()
    batch = [views[place % len(views)] for place in range(options.batch)]
    on_gpu = network.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(network.device)
    began = 0.0
    for _ in range(2):  # the first one warms up
        began = time.monotonic()
        loss, _beliefs = own_loss(view_of(network, trained), batch, trained.get(TOKENS), shapes=True)
        cast(Any, loss).backward()
        loss.item()
    seconds = (time.monotonic() - began) / len(batch)
    return seconds, int(torch.cuda.max_memory_allocated(network.device)) if on_gpu else None


def _seconds(recipe: FinetuneOptions, images: int, views: int, asked: float, step: float) -> float:
    """Every step of every fold, though they may end earlier; the rest is encoding and asking."""
    options = recipe.steps
    steps = options.folds * options.steps * options.batch * step * (1 + REPLAYED * options.others)
    whole = steps + asked * (views + 3 * images)
    if recipe.always_on:
        whole += 0.5 * asked * (2 * images * len(recipe.words) + 2 * recipe.scenes * SCENE_WORDS)
    return whole


def _numbers(segmenter: Sam3, recipe: FinetuneOptions) -> dict[str, int]:
    """Numbers of the adapter by part, the ranks of all folds together."""
    numbers: dict[str, int] = {part: 0 for part in (*PARTS, WHOLE.rstrip("."))}
    for name, shape in shapes_of(segmenter.network, recipe.steps.rank * recipe.steps.folds).items():
        part = WHOLE.rstrip(".") if name.startswith(WHOLE) else name.partition(".")[0]
        numbers[part] += int(np.prod(shape))
    return numbers


def _bytes(seen: LabeledView) -> int:
    return sum(level.nbytes for level in seen.levels) + seen.shapes.nbytes
