"""Two models' trackers on the same videos, and where they share a detector on the same detections.

Videos differ more than trackers do, so the difference is read video by video. Each video that is done is kept in a
folder, and the same command goes on from there.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from benchmarks.video.card import figures_of
from benchmarks.video.readings import FIRST_SEED, Masklets, Reading, Seen, look_at, read_clip
from sam3_agent import masks
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.video import draw_clip
from sam3_agent.training.export import PREFIX, WEIGHTS
from sam3_agent.workspace.tracking.profiles import TINY

NAMES = ("old", "new")
Pair = tuple[Reading, Reading]


def compare(old: Path, new: Path, folder: Path, videos: int, frames: int) -> list[Pair]:
    """Readings of every video by both models; those that the folder holds are not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [Sam3.load(str(each), device="cpu") for each in (old, new)]
    shared = same_detector(old, new)
    pairs: list[Pair] = []
    for number in range(videos):
        path = folder / f"{number}-{frames}.json"
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(json.dumps([reading_json(each) for each in _read(models, number, frames, shared)]))
            part.replace(path)
            print(f"video {number + 1} of {videos}", file=sys.stderr, flush=True)
        one, other = json.loads(path.read_text(encoding="utf-8"))
        pairs.append((reading_of(one), reading_of(other)))
    return pairs


def same_detector(old: Path, new: Path) -> bool:
    """Whether all tensors of the detector are equal, so that one look serves both models."""
    one, other = (
        {name: value for name, value in load_file(each / WEIGHTS).items() if name.startswith(PREFIX)}
        for each in (old, new)
    )
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def compared(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """Figures of both, of detection alone, and the mean difference a video with its standard error."""
    found = {name: figures_of([pair[place] for pair in pairs]) for place, name in enumerate(NAMES)}
    single = [[figures_of([each])["tracker"] for each in pair] for pair in pairs]
    differences: dict[str, float] = {}
    for name in ("HOTA@.5", "J"):
        each = np.array([new[name] - old[name] for old, new in single])
        differences |= {
            name: float(each.mean()),
            f"{name} standard error": float(each.std(ddof=1) / len(each) ** 0.5) if len(each) > 1 else float("nan"),
            f"{name} better in": float((each > 0).mean()),
        }
    ways = {name: figures["tracker"] for name, figures in found.items()}
    return ways | {"by detection": found["old"]["by detection"], "new - old": differences}


def _read(models: Sequence[Sam3], number: int, frames: int, shared: bool) -> list[Reading]:
    clip = draw_clip(FIRST_SEED + number, frames)
    readings: list[Reading] = []
    seen: Seen | None = None
    for model in models:
        seen = seen if seen and shared else look_at(model, clip)
        readings.append(read_clip(model, clip, seen, {"tracker": TINY}))
    return readings


def reading_json(reading: Reading) -> dict[str, Any]:
    """Plain values, of which `reading_of` makes the reading again."""
    return {
        "frames": reading.frames,
        "truth": {noun: _plain(masklets) for noun, masklets in reading.truth.items()},
        "said": {
            way: {noun: _plain(masklets) for noun, masklets in nouns.items()} for way, nouns in reading.said.items()
        },
        "followed": reading.followed,
    }


def reading_of(value: dict[str, Any]) -> Reading:
    """The reading that `reading_json` wrote."""
    return Reading(
        value["frames"],
        {noun: _masklets(each) for noun, each in value["truth"].items()},
        {way: {noun: _masklets(each) for noun, each in nouns.items()} for way, nouns in value["said"].items()},
        [(present, iou) for present, iou in value["followed"]],
    )


def _plain(masklets: Masklets) -> dict[str, Any]:
    return {name: {str(index): rle.to_json() for index, rle in each.items()} for name, each in masklets.items()}


def _masklets(value: dict[str, Any]) -> Masklets:
    return {name: {int(i): masks.from_json(rle) for i, rle in each.items()} for name, each in value.items()}
