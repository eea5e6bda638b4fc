"""Scenes as images with some of their objects, for the clicks run."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import Scene, generate_scene
from sam3_agent.training.batch import picture_tensor, shrink
from sam3_agent.training.config import Stage, TrainConfig
from sam3_agent.training.prompts import HELD_OUT_PAIRS
from sam3_agent.training.steps import FIRST_TRAINING_SEED


@dataclass(frozen=True, slots=True)
class ObjectBatch:
    """P objects on B images of side S; masks on a grid of G cells a side."""

    pixels: Tensor
    """(B, 3, S, S) in [-1, 1]"""
    index: Tensor
    """(P,) which image each object is on."""
    cover: Tensor
    """(P, G, G) share of each cell that the visible object covers."""
    solid: NDArray[np.bool_]
    """(P, G, G) more than half covered; never empty."""
    boxes: NDArray[np.float32]
    """(P, 4) xyxy in cells."""

    @property
    def cell(self) -> float:
        """Input pixels a cell."""
        return self.pixels.shape[-1] / self.cover.shape[-1]


def draw_objects(config: TrainConfig, stage: Stage, grid: int, rng: np.random.Generator) -> ObjectBatch:
    """Fresh training scenes, each with up to `stage.prompts` of its objects."""
    options = SceneOptions(min_side=config.min_side, max_side=config.max_side, excluded_pairs=HELD_OUT_PAIRS)
    scenes: list[Scene] = []
    while len(scenes) < stage.images:
        scene = generate_scene(int(rng.integers(FIRST_TRAINING_SEED, 1 << 62)), options)
        if scene.objects:
            scenes.append(scene)
    chosen = [rng.permutation(len(scene.objects))[: stage.prompts].tolist() for scene in scenes]
    return object_batch(scenes, chosen, stage.image_size, grid)


def object_batch(scenes: list[Scene], chosen: list[list[int]], image_size: int, grid: int) -> ObjectBatch:
    """The chosen objects (indices) of each scene."""
    cover: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float32]] = []
    for scene, indices in zip(scenes, chosen, strict=True):
        scale = np.array([scene.width, scene.height] * 2, dtype=np.float32) / grid
        cover += [shrink(scene.objects[i].mask, grid) for i in indices]
        boxes += [(np.array(scene.objects[i].box) / scale).astype(np.float32) for i in indices]
    stacked = np.stack(cover)  # (P, G, G)
    solid = stacked > np.minimum(0.5, 0.999 * stacked.max((1, 2)))[:, None, None]
    return ObjectBatch(
        torch.stack([picture_tensor(scene, image_size) for scene in scenes]),
        torch.tensor([number for number, indices in enumerate(chosen) for _ in indices]),
        torch.from_numpy(stacked),  # pyright: ignore[reportUnknownMemberType]
        solid,
        np.stack(boxes),
    )
