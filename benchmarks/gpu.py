"""`python -m benchmarks.gpu`: the full-size architecture (random weights) on a GPU, step by step.

Aims on an H200: at most 30 ms for image, prompt and 100 masks to run lengths (Meta's headline for image and prompt),
at most 4 ms for each further concept of a batch. `--device cpu --small` runs the same lines on a small model: a check
that the program works, whose figures mean nothing.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import Sam3Config

from benchmarks.machine import machine_words
from benchmarks.mask_runs import planes
from benchmarks.random_model import random_model, segmenter_of, tokenizer
from sam3_agent.masks import Rle
from sam3_agent.model.mask_rle import rle_of_edges
from sam3_agent.model.mask_rle_gpu import to_edges
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.tiny import tiny_config
from sam3_agent.types import ConceptPrompt

WORDS = ("red circle", "house", "striped cup", "boat", "yellow star", "animal", "key", "plain umbrella")


def main() -> None:
    """Measure every step, print one document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--small", action="store_true", help="the tiny architecture instead of the full one")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --device cpu --small checks that the program works")
    document = measure(options.device, getattr(torch, options.dtype), options.rounds, small=options.small)
    print(json.dumps(document, indent=1))
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(device: str, dtype: torch.dtype, rounds: int, *, small: bool) -> dict[str, Any]:
    """Milliseconds of each step (median of `rounds`), peak memory, images a second."""
    segmenter = segmenter_of(random_model(device, dtype, _small_config() if small else None))
    height, width = (120, 180) if small else (1200, 1800)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    features = segmenter.encode(image)
    logits = torch.from_numpy(planes(100)).to(device)  # pyright: ignore[reportUnknownMemberType]
    prompts = [ConceptPrompt(word) for word in WORDS]
    steps: dict[str, Callable[[], object]] = {
        "encode": lambda: segmenter.encode(image),
        "one concept": lambda: segmenter.detect(features, prompts[:1], near_misses=0),
        "eight concepts": lambda: segmenter.detect(features, prompts, near_misses=0),
        f"100 masks to runs, {width} x {height}": lambda: _runs(logits, height, width),
        f"100 masks to runs, {2 * width} x {2 * height}": lambda: _runs(logits, 2 * height, 2 * width),
        "image, concept and 100 masks": lambda: _whole(segmenter, image, prompts[:1], logits),
    }
    times = {name: _milliseconds(step, rounds, device) for name, step in steps.items()}
    return {
        "model": "tiny architecture" if small else "full architecture",
        "weights": "random",
        "device": _device_words(device),
        "dtype": str(dtype).removeprefix("torch."),
        "milliseconds": {name: round(value, 2) for name, value in times.items()},
        "each further concept": round((times["eight concepts"] - times["one concept"]) / 7, 2),
        "images_per_second": round(1000 / times["image, concept and 100 masks"], 1),
        "peak_gigabytes": round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if "cuda" in device else None,
        "machine": machine_words(),
    }


def _whole(segmenter: Sam3, image: Any, prompts: list[ConceptPrompt], logits: torch.Tensor) -> object:
    segmenter.detect(segmenter.encode(image), prompts, near_misses=0)
    return _runs(logits, image.shape[0], image.shape[1])


def _runs(logits: torch.Tensor, height: int, width: int) -> list[Rle]:
    return [rle_of_edges(edges, height, width) for edges in to_edges(logits, height, width)]


def _milliseconds(step: Callable[[], object], rounds: int, device: str) -> float:
    step()
    seconds: list[float] = []
    for _ in range(rounds):
        _wait(device)
        began = time.perf_counter()
        step()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * 1000


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _device_words(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _small_config() -> Sam3Config:
    return tiny_config(len(cast(Any, tokenizer())), 64)


if __name__ == "__main__":
    main()
