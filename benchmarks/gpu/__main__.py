"""`python -m benchmarks.gpu`: the full-size architecture (random weights) on any CUDA card, in at most four minutes.

Prints a table: every step by the plain network and by the fast path, beside the floor that the card's own matrix
products set, the share of it that is reached, what an H200 took before, and Meta's figures. Then peak memory by graph,
the start (run the command twice: the second start finds compiled code on disk), sustained images a second from JPEG
files, and an urgent call under bulk load. `--device cpu --small` runs the same lines on a small model: a check that the
program works, whose figures mean nothing.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Sam3Config

from benchmarks.gpu import reference, steps, sustained
from benchmarks.machine import machine_words
from benchmarks.random_model import random_model, segmenter_of, tokenizer
from sam3_agent.model.cuda.fast_path import FastPath
from sam3_agent.model.cuda.graphs import eager_recorder
from sam3_agent.model.cuda.mask_counts import in_torch
from sam3_agent.model.cuda.start import difference, mask_coder, recorded, start_fast_path
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.tiny import tiny_config

SECONDS = 220.0
"""Parts that would begin later are left out and named, so that a rented card costs four minutes at most."""


@dataclass(slots=True)
class Run:
    """Options of a run, and the time that is left."""

    device: str
    dtype: torch.dtype
    rounds: int
    small: bool
    seconds: float = SECONDS
    began: float = field(default_factory=time.perf_counter)
    left_out: list[str] = field(default_factory=list[str])

    def has_time(self, part: str, seconds: float) -> bool:
        """Whether a part that takes so long still fits."""
        fits = time.perf_counter() - self.began + seconds <= self.seconds
        if not fits:
            self.left_out.append(part)
        return fits

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything to measure."""
        return self.device.startswith("cuda")


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--small", action="store_true", help="the tiny architecture instead of the full one")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --device cpu --small checks that the program works")
    document = measure(Run(options.device, getattr(torch, options.dtype), options.rounds, options.small))
    print(table(document))
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(run: Run) -> dict[str, Any]:
    """All figures, as far as there is time."""
    peak = reference.matmul_tflops(run.device, run.dtype) if run.on_gpu else None
    model = random_model(run.device, run.dtype, _small_config() if run.small else None)
    scene = steps.scene_for(run.device, run.rounds, small=run.small)
    plain, fast = segmenter_of(model), segmenter_of(model)
    before = _timed(run, plain, steps.plain_coder(run.device), scene, seconds=1.5)
    start = _start(run, fast)
    code = mask_coder(torch.device(run.device))
    after = _timed(run, fast, code, scene, seconds=4.0)
    rows = [
        reference.row(name, {"plain": before.get(name), "fast": after.get(name)}, peak, full=not run.small)
        for name in before
    ]
    document: dict[str, Any] = {
        "model": "tiny architecture" if run.small else "full architecture",
        "weights": "random",
        "device": torch.cuda.get_device_name(run.device) if run.on_gpu else run.device,
        "dtype": str(run.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "machine": machine_words(),
        "matmul_tflops": peak and round(peak, 1),
        "milliseconds": rows,
        "same_bytes": steps.same_bytes(code, scene),
        "start": start,
        **_sustained(run, fast, scene),
    }
    document["peak_gigabytes"] = _gigabytes(run)
    document["left_out"] = run.left_out
    document["seconds"] = round(time.perf_counter() - run.began, 1)
    return document


def table(document: dict[str, Any]) -> str:
    """The rows in columns, then the other figures as JSON."""
    columns = ("step", "plain", "fast", "floor", "share_of_peak", "h200_before", "h200_prototype", "bar_h200", "meta")
    cells = [list(columns), *[[_cell(row.get(name)) for name in columns] for row in document["milliseconds"]]]
    wide = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in cells]
    rest = {name: value for name, value in document.items() if name != "milliseconds"}
    return "\n".join([*lines, "", "milliseconds; " + json.dumps(rest, indent=1)])


def _timed(run: Run, segmenter: Sam3, code: Any, scene: steps.Scene, *, seconds: float) -> dict[str, float]:
    """Milliseconds by step; no step takes longer than `seconds`."""
    found: dict[str, float] = {}
    for name, step in steps.steps(segmenter, code, scene).items():
        if run.has_time(name, seconds):
            found[name] = round(steps.milliseconds(step, scene.rounds, run.device, seconds), 2)
    return found


def _start(run: Run, segmenter: Sam3) -> dict[str, Any]:
    """Start the fast path: seconds, memory after each graph, how far it is from the plain network.

    On a CPU its double without graphs is put in.
    """
    runner: Any = segmenter._runner  # pyright: ignore[reportPrivateUsage]
    model = runner._model
    began = time.perf_counter()
    memory: dict[str, float | None] = {}

    def said(step: str) -> None:
        memory[step] = _gigabytes(run)

    fast: FastPath | None
    if run.on_gpu:
        torch.cuda.reset_peak_memory_stats(run.device)
        fast = start_fast_path(model, None, said=said)
    else:
        fast = recorded(model, None, eager_recorder(), in_torch, compiled=False, said=said)
    runner.use(fast)
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "graphs": len(fast.graphs.keys) if fast else 0,
        "not_captured": [str(key) for key in fast.graphs.failed] if fast else [],
        "relative_difference": round(difference(fast, model), 5) if fast else None,
        "peak_gigabytes_after": memory,
    }


def _sustained(run: Run, segmenter: Sam3, scene: steps.Scene) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seconds, jobs = (1.0, 2) if run.small else (12.0, min(12, os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as folder:
        files = sustained.jpeg_files(Path(folder), 4 if run.small else 16, cast(Any, scene.image.shape[:2]))
        for concepts in (1, 8):
            if run.has_time(f"sustained, {concepts} concepts", seconds + 2):
                found[f"sustained, {concepts} concepts"] = sustained.images_a_second(
                    segmenter,
                    files,
                    Path(folder) / f"journal-{concepts}",
                    concepts=concepts,
                    jobs=jobs,
                    seconds=seconds,
                )
    if run.has_time("urgent under bulk", 2 * seconds):
        clients = 2 if run.small else 16
        found["urgent under bulk"] = sustained.urgent_under_bulk(
            segmenter, scene.image, clients=clients, seconds=0.7 * seconds
        )
    return found


def _gigabytes(run: Run) -> float | None:
    return round(torch.cuda.max_memory_allocated(run.device) / 1e9, 2) if run.on_gpu else None


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _small_config() -> Sam3Config:
    return tiny_config(len(cast(Any, tokenizer())), 64)


if __name__ == "__main__":
    main()
