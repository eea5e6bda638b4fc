"""One image at a time: how long each step takes, by the plain network and by the fast path."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.mask_runs import planes
from sam3_agent.masks import Rle
from sam3_agent.model import exemplars
from sam3_agent.model.cuda.mask_counts import MaskCoder, in_torch
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ClickPrompt, ConceptPrompt, Detection, DetectOptions, Exemplar

WORDS = ("red circle", "house", "striped cup", "boat", "yellow star", "animal", "key", "plain umbrella")
FIRST = ConceptPrompt(WORDS[0])
KEPT = 20
"""Masks of a concept."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Images and logits that every step works on."""

    image: NDArray[np.uint8]
    large: NDArray[np.uint8]
    logits: torch.Tensor
    """(100, h, w) of smooth blobs: what a trained mask head says, which random weights do not."""
    rounds: int


def scene_for(device: str, rounds: int, *, small: bool) -> Scene:
    """1800 x 1200 and 4000 x 3000 of noise; a tenth of that for a small model."""
    rng = np.random.default_rng(0)
    sizes = ((120, 180), (300, 400)) if small else ((1200, 1800), (3000, 4000))
    image, large = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)
    logits = torch.from_numpy(planes(100)).to(device)  # pyright: ignore[reportUnknownMemberType]
    return Scene(image, large, logits, rounds)


def steps(segmenter: Sam3, code: MaskCoder, scene: Scene) -> dict[str, Callable[[], object]]:
    """Every step by the name that `reference.REFERENCES` knows it by."""
    runner = segmenter._runner  # pyright: ignore[reportPrivateUsage]
    seen = segmenter.encode(scene.image)
    (prepared,) = segmenter.plan_encode(scene.image).items
    prompts = [ConceptPrompt(word) for word in WORDS]
    ids = [segmenter._token_ids(word) for word in WORDS]  # pyright: ignore[reportPrivateUsage]
    grounded = _ground(segmenter, seen, ids[:1])
    queries = list(range(min(100, grounded.logits.shape[1])))
    threshold = threshold_for(segmenter, seen)
    h, w = scene.image.shape[:2]
    large = scene.large.shape[:2]

    def detect(count: int) -> object:
        return segmenter.detect(
            seen, prompts[:count], DetectOptions(threshold=threshold, near_misses=0, assume_present=True)
        )

    def whole() -> object:
        features = segmenter.encode(scene.image)
        found = _ground(segmenter, features, ids[:1])
        found.logits.cpu()
        runner.masks(features, found, 0, queries)
        return code(scene.logits, h, w)

    return {
        "prepare 1800 x 1200": lambda: runner.prepare(scene.image),
        "prepare 4000 x 3000": lambda: runner.prepare(scene.large),
        "vision": lambda: runner.encode([prepared]),
        "encode (prepare, vision)": lambda: segmenter.encode(scene.image),
        "ground 1": lambda: _ground(segmenter, seen, ids[:1]),
        "ground 8": lambda: _ground(segmenter, seen, ids),
        "100 mask logits": lambda: _masks(segmenter, seen, grounded, queries),
        "100 masks to COCO, 1800 x 1200": lambda: code(scene.logits, h, w),
        "100 masks to COCO, 4000 x 3000": lambda: code(scene.logits, *large),
        "one concept, 20 masks": lambda: detect(1),
        "8 concepts, 20 masks each": lambda: detect(len(prompts)),
        "image, concept and 100 masks to COCO": lambda: _alone(segmenter, whole),
        **_without_words(segmenter, seen),
    }


def threshold_for(segmenter: Sam3, seen: ImageFeatures, prompt: ConceptPrompt = FIRST) -> float:
    """The object score that about KEPT queries of a prompt exceed: random weights know no other line."""
    (row,) = segmenter.plan_detect(seen, [prompt]).items
    boxes = exemplars.box_tensors([(row.boxes, row.labels)])
    grounded = segmenter.ground(seen, [row.ids], *boxes)
    scores = np.sort(grounded.logits.sigmoid().double().cpu().numpy()[0])[::-1]
    return float(scores[min(KEPT, len(scores) - 1)])


def same_bytes(code: MaskCoder, scene: Scene) -> dict[str, str]:
    """Count the masks, of 100 and of 8 of noise, that have the bytes that the CPU gives."""
    noise = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(0))
    found: dict[str, str] = {}
    for name, logits, size in (
        ("masks", scene.logits, scene.image.shape[:2]),
        ("masks at the larger size", scene.logits, scene.large.shape[:2]),
        ("noise", noise.to(scene.logits.device), (200, 300)),
    ):
        wanted: list[Rle] = [to_rle(plane, *size) for plane in logits.cpu().numpy()]
        equal = sum(a == b for a, b in zip(code(logits, *size), wanted, strict=True))
        found[name] = f"{equal} of {len(wanted)}"
    return found


def kept(answer: object) -> int | None:
    """Masks that a step has answered with; None for a step that answers something else."""
    if not isinstance(answer, list) or not all(isinstance(each, Detection) for each in cast(list[object], answer)):
        return None
    return sum(len(each.kept) for each in cast(list[Detection], answer))


def milliseconds(step: Callable[[], object], rounds: int, device: str, seconds: float = 4.0) -> float:
    """The median, the GPU waited for before and after; fewer rounds where they would take longer than `seconds`."""
    step()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < rounds and (not times or time.perf_counter() - began < seconds):
        wait(device)
        start = time.perf_counter()
        step()
        wait(device)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def wait(device: str) -> None:
    """For the GPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def plain_coder(device: str) -> MaskCoder:
    """Code masks without the fast path: changes found on the GPU, or all of it on the CPU."""
    if device.startswith("cuda"):
        return in_torch
    return lambda logits, height, width: [to_rle(plane, height, width) for plane in logits.numpy()]


def _without_words(segmenter: Sam3, seen: ImageFeatures) -> dict[str, Callable[[], object]]:
    """Steps whose prompt is an example box or a click."""
    x, y = 0.3 * seen.width, 0.3 * seen.height
    like, click = ConceptPrompt(None, (Exemplar((x, y, 1.5 * x, 1.5 * y)),)), ClickPrompt(((x, y),), (True,))
    asked = DetectOptions(threshold=threshold_for(segmenter, seen, like), near_misses=0, assume_present=True)
    return {
        "one example box, 20 masks": lambda: segmenter.detect(seen, [like], asked),
        "one click, 3 masks": lambda: segmenter.segment_at(seen, click),
    }


def _ground(segmenter: Sam3, seen: ImageFeatures, ids: Any) -> Any:
    return segmenter.ground(seen, ids, *exemplars.box_tensors([((), ())] * len(ids)))


def _masks(segmenter: Sam3, seen: ImageFeatures, grounded: Any, queries: list[int]) -> object:
    return _alone(segmenter, lambda: cast(Any, segmenter)._runner.masks(seen, grounded, 0, queries))


def _alone(segmenter: Sam3, act: Callable[[], object]) -> object:
    with segmenter._runner.alone():  # pyright: ignore[reportPrivateUsage]
        return act()
