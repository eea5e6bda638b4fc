"""`python -m benchmarks.clicks`: mean IoU of one object from a click, a box and a correction, on unseen scenes.

Objects are drawn evenly: at most three of a scene, seeds under 2^40, pictures of 256 to 2048 px, compared at full
resolution through `Sam3.segment_at`, always the first answer. The correction is one click on the worse of the first
answer's faults, at its most interior point, with that answer as the mask to refine.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine_words
from sam3_agent import masks
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.scene import SceneObject
from sam3_agent.training.click_prompts import interior_point
from sam3_agent.types import ClickedMask, ClickPrompt

FIRST_SEED = 70_000
PER_SCENE = 3
BARS = {"1 center click": 0.75, "box": 0.80}
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reading:
    """IoU of each question about one object, and what the model expected of its answer to the click."""

    side: float
    """Square root of the object's share of the picture."""
    ious: dict[str, float]
    expected: float


def main() -> int:
    """Ask, print a table, optionally write JSON; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clicks", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    segmenter = Sam3.load(options.model, device="cpu")
    start = time.monotonic()
    readings = [reading for _, reading in zip(range(options.objects), read(segmenter), strict=False)]
    info = segmenter.info
    machine = f"{machine_words()} ({info.device}, {info.dtype}, {time.monotonic() - start:.0f} s)"
    figures = figures_of(readings)
    print(table(figures))
    print(f"\n{len(readings)} objects, {info.name}, {machine}")
    if options.out:
        document = {"objects": len(readings), "model": info.to_json(), "machine": machine, "figures": figures}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(any(figures[name]["mean_iou"] < bar for name, bar in BARS.items()))


def read(segmenter: Segmenter, options: SceneOptions = SceneOptions()) -> Iterator[Reading]:  # noqa: B008 (frozen)
    """One reading an object, without end."""
    seed = FIRST_SEED
    while True:
        scene = generate_scene(seed, options)
        chosen = np.random.default_rng(seed).permutation(len(scene.objects))[:PER_SCENE]
        seen = segmenter.encode(scene.image)
        for number in chosen:
            yield _ask(segmenter, seen, scene.objects[int(number)])
        seed += 1


def _ask(segmenter: Segmenter, seen: Features, thing: SceneObject) -> Reading:
    center = interior_point(thing.mask)
    clicked = segmenter.segment_at(seen, ClickPrompt((center,)))
    corrected = clicked
    if clicked:
        point, label = _fault(thing.mask, masks.decode(clicked[0].rle))
        corrected = segmenter.segment_at(seen, ClickPrompt((center, point), (True, label), mask=clicked[0].rle))
    ious = {
        "1 center click": _iou(thing.mask, clicked[:1]),
        "1 center click, best of 3 by truth": _iou(thing.mask, clicked),
        "box": _iou(thing.mask, segmenter.segment_at(seen, ClickPrompt(box=thing.box))[:1]),
        "click + 1 correction": _iou(thing.mask, corrected[:1]),
    }
    return Reading(float(np.sqrt(thing.mask.mean())), ious, clicked[0].predicted_iou if clicked else 0.0)


def _fault(truth: Flags, found: Flags) -> tuple[tuple[float, float], bool]:
    """The next click of a careful person: deep inside the larger fault, missing or too much."""
    missing, extra = truth & ~found, found & ~truth
    if not missing.any() and not extra.any():
        return interior_point(truth), True
    positive = missing.sum() >= extra.sum()
    return interior_point(missing if positive else extra), bool(positive)


def _iou(truth: Flags, answers: tuple[ClickedMask, ...]) -> float:
    """The best of the answers given; 0 without one."""
    if not answers:
        return 0.0
    return float(masks.iou([answer.rle for answer in answers], [masks.encode(truth)]).max())


def figures_of(readings: list[Reading]) -> dict[str, dict[str, float]]:
    """Means over all objects, and of the smallest third, per question; how far the expected IoU is off."""
    small = sorted(readings, key=lambda r: r.side)[: max(1, len(readings) // 3)]
    figures = {
        name: {
            "mean_iou": float(np.mean([r.ious[name] for r in readings])),
            "smallest_third": float(np.mean([r.ious[name] for r in small])),
            "over_half": float(np.mean([r.ious[name] >= 0.5 for r in readings])),
        }
        for name in readings[0].ious
    }
    figures["1 center click"]["expected_iou_off"] = float(
        np.mean([abs(r.expected - r.ious["1 center click"]) for r in readings])
    )
    return figures


def table(figures: dict[str, dict[str, float]]) -> str:
    """Markdown, with the bars."""
    lines = ["| prompt | mean IoU | bar | | IoU >= 0.5 | smallest third |", "|---|---|---|---|---|---|"]
    for name, row in figures.items():
        bar = BARS.get(name)
        verdict = "" if bar is None else "reached" if row["mean_iou"] >= bar else "**missed**"
        cells = [name, f"{row['mean_iou']:.3f}", "" if bar is None else f"{bar:.2f}", verdict]
        lines.append("| " + " | ".join([*cells, f"{row['over_half']:.3f}", f"{row['smallest_third']:.3f}"]) + " |")
    lines.append(
        f"\nThe expected IoU of a click is off by {figures['1 center click']['expected_iou_off']:.3f} on average."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
