"""One training step of each kind: scenes in, loss terms out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer, Sam3Model

from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import Scene, SceneObject, generate_scene
from sam3_agent.scenes.unnamed_shapes import KINDS, unnamed_noun
from sam3_agent.scenes.vocabulary import COLORS, NOUNS, PATTERNS, PLURAL, SUPERCATEGORIES
from sam3_agent.training.batch import Batch, SceneTargets, collate, scene_targets
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.forward import (
    Exemplars,
    Grounding,
    PooledExamples,
    Vision,
    answer,
    draw_masks,
    encode_images,
    ground,
)
from sam3_agent.training.grounding_loss import Alignment, DenseTruth, WordTable, dense_loss, prompt_loss
from sam3_agent.training.losses import LossWeights, MaskTruth, detection_loss, mask_loss
from sam3_agent.training.optimizer_step import mixed_precision
from sam3_agent.training.prompts import HELD_OUT_PAIRS, lend_exemplars, sample_prompts
from sam3_agent.training.stills import draw_part, draw_still


def word_matches(word: str, thing: SceneObject) -> bool | None:
    """Whether a single word describes the object; None for words that describe nothing ("the")."""
    return _WORD_TESTS[word](thing) if word in _WORD_TESTS else None


def describing_words() -> tuple[str, ...]:
    """Every word that holds of some objects and not of others (or of all: "thing")."""
    return tuple(_WORD_TESTS)


def _word_tests() -> dict[str, Callable[[SceneObject], bool]]:
    tests: dict[str, Callable[[SceneObject], bool]] = {}
    for color in COLORS:
        tests[color] = lambda o, c=color: o.color == c
    for pattern in PATTERNS:
        tests[pattern] = lambda o, p=pattern: o.pattern == p
    for noun in NOUNS:
        for form in (noun, PLURAL[noun]):
            tests[form] = lambda o, n=noun: o.noun == n
    for name in SUPERCATEGORIES:
        if name != "object":
            for form in (name, PLURAL[name]):
                tests[form] = lambda o, s=name: o.supercategory == s
    tests["household"] = lambda o: o.supercategory == "object"
    for word in ("object", "objects", "thing", "things"):
        tests[word] = lambda o: True
    return tests


_WORD_TESTS = _word_tests()


FIRST_TRAINING_SEED = 1 << 40
"""Scene seeds below this one are never trained on; tests and benchmarks use those."""

COVERED_SHARE = 3.0
"""Weight of "this patch belongs to what is asked for"."""
UNNAMED_KINDS = 2
"""Kinds of unnamed shapes that the scenes of a batch share, so that examples of one can be lent to the others."""
OWNED = 0.3
"""Share of a patch that makes it belong to an object."""
WORDS = describing_words()
GROUPS: dict[str, tuple[str, ...]] = {"noun": NOUNS, "color": tuple(COLORS), "pattern": PATTERNS}


@dataclass(frozen=True, slots=True)
class Learner:
    """Modules that are trained."""

    model: Sam3Model
    heads: Alignment
    tokenizer: CLIPTokenizer


def draw_scenes(config: TrainConfig, stage: Stage, rng: np.random.Generator) -> list[SceneTargets]:
    """Fresh training scenes, squashed to the stage's input size."""
    options = SceneOptions(
        min_side=config.min_side,
        max_side=config.max_side,
        excluded_pairs=HELD_OUT_PAIRS,
        plain_objects=stage.plain_objects,
        min_objects=stage.least_objects,
    )
    kinds = [unnamed_noun(int(kind)) for kind in rng.integers(KINDS, size=UNNAMED_KINDS)] if stage.unnamed else []
    scenes: list[SceneTargets] = []
    while len(scenes) < stage.images:
        unnamed = tuple(kind for kind in kinds if rng.random() < stage.unnamed)
        scene = _draw_scene(replace(options, unnamed=unnamed), stage, rng)
        if scene is not None and scene.objects:
            scenes.append(scene_targets(scene, stage.image_size))
    return scenes


def _draw_scene(options: SceneOptions, stage: Stage, rng: np.random.Generator) -> Scene | None:
    """A scene, a part of one, or a still of a clip; None for one that shows too little of something."""
    if stage.stills and rng.random() < stage.stills:
        return draw_still(options, rng)
    scene = generate_scene(int(rng.integers(FIRST_TRAINING_SEED, 1 << 62)), options)
    return draw_part(scene, rng) if stage.parts and rng.random() < stage.parts else scene


@dataclass(frozen=True, slots=True)
class StepDraw:
    """Draws what the steps of a stage learn from; picklable, for workers."""

    tokenizer: CLIPTokenizer
    config: TrainConfig
    number: int
    """Of the stage."""

    def __call__(self, step: int, rank: int) -> list[SceneTargets] | Batch:
        """Scenes for a dense stage, else scenes with prompts."""
        stage = self.config.stages[self.number]
        rng = np.random.default_rng([self.config.seed, self.number, step, rank])
        if stage.kind == "dense":
            return [_without_pixels(scene) for scene in draw_scenes(self.config, stage, rng)]
        batch = draw_batch(self.tokenizer, self.config, stage, rng)
        return replace(batch, scenes=tuple(_without_pixels(scene) for scene in batch.scenes))


def _without_pixels(scene: SceneTargets) -> SceneTargets:
    """The scene without its objects' masks at full size, which nothing reads any more: a megabyte each to send."""
    nothing = np.zeros((0, 0), dtype=np.bool_)
    return replace(scene, objects=tuple(replace(each, mask=nothing) for each in scene.objects))


def dense_step(learner: Learner, config: TrainConfig, stage: Stage, scenes: list[SceneTargets]) -> dict[str, Tensor]:
    """Every vocabulary word against every patch."""
    with mixed_precision(config.device):
        vision = encode_images(learner.model, _pixels(learner, scenes))
        return _dense_terms(learner, vision, scenes)


def ground_step(learner: Learner, config: TrainConfig, stage: Stage, batch: Batch) -> dict[str, Tensor]:
    """Prompts up to the DETR encoder: does each patch belong to what is asked for?"""
    with mixed_precision(config.device):
        return _grounded(learner, batch)[0]


def prompt_step(learner: Learner, config: TrainConfig, stage: Stage, batch: Batch) -> dict[str, Tensor]:
    """Prompts on scenes with the whole detector."""
    plain = LossWeights()
    share = stage.mask_share
    weights = replace(plain, mask_focal=share * plain.mask_focal, mask_dice=share * plain.mask_dice)
    with mixed_precision(config.device):
        return prompt_terms(learner, batch, weights)


def draw_batch(tokenizer: CLIPTokenizer, config: TrainConfig, stage: Stage, rng: np.random.Generator) -> Batch:
    """Fresh scenes with prompts about each."""
    scenes = draw_scenes(config, stage, rng)
    prompts = [sample_prompts(s.objects, stage.prompts, rng, stage.worn) for s in scenes]
    prompts = lend_exemplars([s.objects for s in scenes], prompts, rng, stage)
    return collate(scenes, prompts, tokenizer, rng)


def prompt_terms(learner: Learner, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """All loss terms of one batch of prompts."""
    terms, each, grounding = _grounded(learner, batch)
    outputs = answer(learner.model, grounding)
    device = learner.model.device
    owners = batch.owners()
    chosen = [list(p.targets) for p in batch.prompts]
    boxes = [s.boxes[t].to(device) for s, t in zip(owners, chosen, strict=True)]
    found, matches = detection_loss(outputs, boxes, weights)
    terms |= found
    rows = [i for i, t in enumerate(chosen) if len(t)]
    if rows:
        masks, semantic = draw_masks(learner.model, each, grounding, outputs, torch.tensor(rows, device=device))
        truths = [_mask_truth(owners[i], chosen[i], device) for i in rows]
        terms |= mask_loss(masks, semantic, truths, [matches[i] for i in rows], weights)
    return terms


def _mask_truth(scene: SceneTargets, chosen: list[int], device: torch.device) -> MaskTruth:
    return MaskTruth(scene.masks[chosen].to(device), scene.siblings()[chosen].to(device))


def ground_batch(learner: Learner, batch: Batch) -> tuple[Vision, Vision, Grounding]:
    """Features of the batch's images, the same for each prompt, and what the DETR encoder makes of the prompts."""
    device = learner.model.device
    vision = encode_images(learner.model, _pixels(learner, batch.scenes))
    each = vision.select(batch.image_index.to(device))
    pooled = PooledExamples(
        batch.pooled_rows.to(device), batch.pooled_sources.to(device), batch.pooled_boxes.to(device)
    )
    exemplars = Exemplars(
        vision, batch.source_index.to(device), batch.exemplar_boxes.to(device), batch.exemplar_labels.to(device), pooled
    )
    grounding = ground(
        learner.model,
        each,
        batch.image_index.to(device),
        batch.input_ids.to(device),
        batch.attention_mask.to(device),
        exemplars,
    )
    return vision, each, grounding


def _grounded(learner: Learner, batch: Batch) -> tuple[dict[str, Tensor], Vision, Grounding]:
    """The terms that do not need the decoder, if what they teach learns at all, and what the decoder goes on from."""
    vision, each, grounding = ground_batch(learner, batch)
    heads_learn = any(parameter.requires_grad for parameter in learner.heads.parameters())
    if not heads_learn or not grounding.encoded.requires_grad:
        return {}, each, grounding
    wanted = [s.cover[list(p.targets)].sum(0) for s, p in zip(batch.owners(), batch.prompts, strict=True)]
    covered = prompt_loss(learner.heads, grounding.encoded, torch.stack(wanted).to(learner.model.device))
    return {"covered": COVERED_SHARE * covered} | _dense_terms(learner, vision, batch.scenes), each, grounding


def _pixels(learner: Learner, scenes: Sequence[SceneTargets]) -> Tensor:
    return torch.stack([s.pixels for s in scenes]).to(learner.model.device)


def _dense_terms(learner: Learner, vision: Vision, scenes: Sequence[SceneTargets]) -> dict[str, Tensor]:
    device = learner.model.device
    words, truth = word_table(learner.tokenizer), dense_truth(scenes)
    words = WordTable(words.input_ids.to(device), words.groups)
    truth = DenseTruth(
        truth.cover.to(device), {name: rows.to(device) for name, rows in truth.labels.items()}, truth.boxes.to(device)
    )
    return dense_loss(learner.model, learner.heads, vision.levels[-1], words, truth)


def word_table(tokenizer: CLIPTokenizer) -> WordTable:
    """All describing words; nouns, colors and patterns as groups whose members exclude each other."""
    ids: Tensor = cast(Any, tokenizer)(list(WORDS), padding=True, return_tensors="pt")["input_ids"]
    return WordTable(ids, {name: [WORDS.index(w) for w in words] for name, words in GROUPS.items()})


def dense_truth(scenes: Sequence[SceneTargets]) -> DenseTruth:
    """Label each patch with what it shows; a patch belongs to the object that covers most of it, if that is at least
    30 %.
    """
    owners = [scene.cover.max(0) for scene in scenes]
    labels = {
        name: torch.stack(
            [_labels(scene, best, owner, name) for scene, (best, owner) in zip(scenes, owners, strict=True)]
        )
        for name in GROUPS
    }
    boxes = torch.stack([_patch_boxes(scene, best, owner) for scene, (best, owner) in zip(scenes, owners, strict=True)])
    return DenseTruth(torch.stack([_cover_of_words(scene) for scene in scenes]), labels, boxes)


def _labels(scene: SceneTargets, best: Tensor, owner: Tensor, group: str) -> Tensor:
    words = {word: number for number, word in enumerate(GROUPS[group])}
    indices = torch.tensor([words.get(getattr(o, group), -1) for o in scene.objects])  # -1: an unnamed shape
    return torch.where(best >= OWNED, indices[owner], -1)


def _cover_of_words(scene: SceneTargets) -> Tensor:
    flags = torch.tensor([[bool(word_matches(w, o)) for o in scene.objects] for w in WORDS], dtype=torch.float32)
    return torch.einsum("wn,nhv->whv", flags, scene.cover)


def _patch_boxes(scene: SceneTargets, best: Tensor, owner: Tensor) -> Tensor:
    """(4, h, w) xyxy of the patch's object relative to the patch center, in quarters of the image."""
    grid = scene.cover.shape[-1]
    boxes = scene.boxes[owner]  # (h, w, 4) cxcywh
    corners = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], dim=-1)
    center = (torch.arange(grid) + 0.5) / grid
    own = torch.stack([center[None, :].expand(grid, grid), center[:, None].expand(grid, grid)], dim=-1)
    relative = (corners - own.repeat(1, 1, 2)) * 4.0
    relative[best < OWNED] = float("nan")
    return relative.permute(2, 0, 1)
