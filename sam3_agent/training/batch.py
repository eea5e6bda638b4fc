"""Scenes and prompts as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from sam3_agent.scenes.scene import Scene, SceneObject
from sam3_agent.training.prompts import TrainingPrompt
from sam3_agent.training.tiny import PATCH

NO_BOX = -10.0
"""Coordinate and label of a padded exemplar box in transformers' Sam3 classes."""
TEXT_TOKENS = 12
"""Every text is padded or cut to this length in training, so that shapes stay the same from step to step."""
EXEMPLARS = 3
"""Exemplar slots of a training prompt."""


@dataclass(frozen=True, slots=True)
class SceneTargets:
    """One scene at the input size: pixels and what is where."""

    pixels: Tensor
    """(3, S, S) in [-1, 1]"""
    boxes: Tensor
    """(N, 4) cxcywh in [0, 1]"""
    masks: Tensor
    """(N, S/2, S/2) share of each cell that the object covers; twice as fine as the model's masks"""
    cover: Tensor
    """(N, S/8, S/8) the same at patch size"""
    objects: tuple[SceneObject, ...]

    def siblings(self) -> Tensor:
        """(N, S/2, S/2) share of each cell that other objects of the same noun cover."""
        nouns = [o.noun for o in self.objects]
        same = torch.tensor([[a == b and i != j for j, b in enumerate(nouns)] for i, a in enumerate(nouns)])
        return torch.einsum("nm,mhw->nhw", same.float(), self.masks)


@dataclass(frozen=True, slots=True)
class Batch:
    """P prompts on B images."""

    scenes: tuple[SceneTargets, ...]
    prompts: tuple[TrainingPrompt, ...]
    image_index: Tensor
    """(P,) which image each prompt is about"""
    source_index: Tensor
    """(P,) which image its exemplars are from, most often the same"""
    input_ids: Tensor
    """(P, L)"""
    attention_mask: Tensor
    """(P, L) bool"""
    exemplar_boxes: Tensor
    """(P, EXEMPLARS, 4) cxcywh in [0, 1], NO_BOX where padded"""
    exemplar_labels: Tensor
    """(P, EXEMPLARS) 1 positive, 0 negative, -10 padded"""
    pooled_rows: Tensor
    """(K,) prompt whose first exemplar is the mean of this and other examples"""
    pooled_sources: Tensor
    """(K,) which image the example is from"""
    pooled_boxes: Tensor
    """(K, 4) cxcywh in [0, 1]"""

    def owners(self) -> list[SceneTargets]:
        """The scene of each prompt."""
        return [self.scenes[int(i)] for i in self.image_index]


def scene_targets(scene: Scene, image_size: int) -> SceneTargets:
    """Squash a scene to the (square) input size, as SAM 3's preprocessing does."""
    pixels = picture_tensor(scene, image_size)
    scale = np.array([scene.width, scene.height, scene.width, scene.height], dtype=np.float32)
    xyxy = np.array([o.box for o in scene.objects], dtype=np.float32).reshape(-1, 4) / scale
    boxes = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    side, patches = image_size // 2, image_size // PATCH
    masks = np.stack([shrink(o.mask, side) for o in scene.objects])  # (N, S/2, S/2)
    cover = masks.reshape(len(masks), patches, PATCH // 2, patches, PATCH // 2).mean((2, 4))  # (N, S/8, S/8)
    return SceneTargets(pixels, _tensor(boxes), _tensor(masks), _tensor(cover), scene.objects)


def collate(
    scenes: Sequence[SceneTargets],
    prompts: Sequence[Sequence[TrainingPrompt]],
    tokenizer: CLIPTokenizer,
    rng: np.random.Generator,
) -> Batch:
    """Put the prompts of several scenes into one batch; exemplar boxes are shaken by up to 6 % of their side."""
    flat = [p for group in prompts for p in group]
    index = [i for i, group in enumerate(prompts) for _ in group]
    sources = [i if p.source is None else p.source for i, p in zip(index, flat, strict=True)]
    phrases = [p.phrase if p.phrase is not None else "visual" for p in flat]
    tokens: dict[str, Tensor] = cast(Any, tokenizer)(
        phrases, padding="max_length", truncation=True, max_length=TEXT_TOKENS, return_tensors="pt"
    )
    boxes, labels = _exemplars(flat, [scenes[i] for i in sources], rng)
    mask = tokens["attention_mask"].bool()
    ids = torch.where(mask, tokens["input_ids"], 0)
    examples = [(row, *example) for row, prompt in enumerate(flat) for example in prompt.pooled]
    return Batch(
        tuple(scenes),
        tuple(flat),
        torch.tensor(index),
        torch.tensor(sources),
        ids,
        mask,
        boxes,
        labels,
        torch.tensor([row for row, _, _ in examples], dtype=torch.long),
        torch.tensor([source for _, source, _ in examples], dtype=torch.long),
        torch.stack([_shaken(scenes[s].boxes[i], rng) for _, s, i in examples]) if examples else torch.zeros(0, 4),
    )


def _tensor(array: NDArray[np.floating[Any]]) -> Tensor:
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType]


def picture_tensor(scene: Scene, image_size: int) -> Tensor:
    """(3, S, S) in [-1, 1], squashed to the square as SAM 3's preprocessing does."""
    image = Image.fromarray(scene.image).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return _tensor(np.asarray(image, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1.0  # (3, S, S)


def shrink(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(side, side) share of each cell that a (H, W) mask covers."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize((side, side), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32) / 255.0


def _exemplars(
    prompts: Sequence[TrainingPrompt], scenes: Sequence[SceneTargets], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    boxes = torch.full((len(prompts), EXEMPLARS, 4), NO_BOX)
    labels = torch.full((len(prompts), EXEMPLARS), int(NO_BOX))
    for row, (prompt, scene) in enumerate(zip(prompts, scenes, strict=True)):
        for column, (index, positive) in enumerate(prompt.exemplars):
            boxes[row, column] = _shaken(scene.boxes[index], rng)
            labels[row, column] = int(positive)
    return boxes, labels


def _shaken(box: Tensor, rng: np.random.Generator) -> Tensor:
    """(4,) box, cxcywh, moved and stretched by up to 6 % of its sides."""
    cx, cy, w, h = cast(Any, box).tolist()
    shake = rng.uniform(-0.06, 0.06, size=4)
    moved = [cx + shake[0] * w, cy + shake[1] * h, w * (1 + shake[2]), h * (1 + shake[3])]
    return torch.tensor(moved, dtype=torch.float32)
