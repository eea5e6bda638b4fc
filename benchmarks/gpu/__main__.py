"""`python -m benchmarks.gpu`: the full-size architecture (random weights) on any CUDA card, in at most four minutes.

Prints a table: every step by the plain network and by the fast path, beside the floor that the card's own matrix
products set, the share of it that is reached, what an H200 took before, and Meta's figures. Then peak memory by graph,
the start and how near its results are, a second start with compiled code on disk, sustained images a second from JPEG
files, an urgent call under bulk load, training. A part that breaks is named under "failed" and costs no other part;
the JSON is written anew after each. `--device cpu --small` runs every part on a small model: a check that the program
works, whose figures mean nothing.
"""

import argparse
import faulthandler
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import transformers
from transformers import Sam3Config

from benchmarks.gpu import reference, startup, steps, sustained, training
from benchmarks.machine import machine_words
from benchmarks.random_model import random_model, random_tracker, segmenter_of, tokenizer
from sam3_agent.model.cuda.mask_counts import MaskCoder
from sam3_agent.model.cuda.start import mask_coder
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.tiny import tiny_config
from sam3_agent.training.tiny_tracker import tiny_tracker_config

SECONDS = 220.0
"""Parts that would end later are left out and named, so that a rented card costs four minutes at most."""
LONGEST = 60.0
"""Seconds after that at which a part that hangs is ended, and the program with it."""
Result = TypeVar("Result")


@dataclass(slots=True)
class Run:
    """Options of a run, the time that is left, and what was found so far."""

    device: str
    dtype: torch.dtype
    rounds: int
    small: bool
    seconds: float = SECONDS
    out: Path | None = None
    began: float = field(default_factory=time.perf_counter)
    left_out: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    found: dict[str, Any] = field(default_factory=dict[str, Any])
    plain: dict[str, float] = field(default_factory=dict[str, float])
    """Milliseconds by step."""
    fast: dict[str, float] = field(default_factory=dict[str, float])

    def has_time(self, part: str, seconds: float) -> bool:
        """Whether a part that takes so long still fits."""
        fits = time.perf_counter() - self.began + seconds <= self.seconds
        if not fits:
            self.left_out.append(part)
        return fits

    def attempt(self, part: str, seconds: float, act: Callable[[], Result]) -> Result | None:
        """Do a part; None where there is no time for it, or where it breaks."""
        if not self.has_time(part, seconds):
            return None
        began = time.perf_counter()
        try:
            return act()
        except Exception as error:  # noqa: BLE001  # error boundary: no part may cost the figures of the others
            self.failed[part] = f"{type(error).__name__}: {str(error).strip()[:300]}"
            traceback.print_exc()
            return None
        finally:
            print(f"{part}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
            self.write()

    def record(self, part: str, seconds: float, act: Callable[[], Any]) -> None:
        """`attempt`, and keep what it gives under the part's name."""

        def keep() -> None:
            given = act()
            if given is not None:
                self.found[part] = given

        self.attempt(part, seconds, keep)

    def write(self) -> None:
        """Put all figures into the file, so that nothing is lost when the program is ended."""
        if self.out:
            self.out.write_text(json.dumps(document(self), indent=1) + "\n", encoding="utf-8")

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything to measure."""
        return self.device.startswith("cuda")


def main() -> int:
    """Measure, print the table, write JSON; 1 where a part has failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--small", action="store_true", help="the tiny architecture instead of the full one")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"to be done by then (default: {SECONDS:g})")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --device cpu --small checks that the program works")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    dtype = getattr(torch, options.dtype)
    run = Run(options.device, dtype, options.rounds, options.small, options.seconds, options.out)
    faulthandler.dump_traceback_later(options.seconds + LONGEST, exit=True)
    print(table(measure(run)))
    faulthandler.cancel_dump_traceback_later()
    return 1 if run.failed else 0


def measure(run: Run) -> dict[str, Any]:
    """All figures, as far as there is time; what cannot go on without its part ends there."""
    run.write()  # a path that cannot be written to is told before anything is measured
    if run.on_gpu:
        run.record("matmul_tflops", 5, lambda: round(reference.matmul_tflops(run.device, run.dtype), 1))
    made = run.attempt("models", 5, lambda: _segmenters(run))
    scene = run.attempt("scene", 5, lambda: steps.scene_for(run.device, run.rounds, small=run.small))
    if made is None or scene is None:
        return document(run)
    plain, fast = made
    _time(run, "plain", plain, steps.plain_coder(run.device), scene, run.plain, seconds=1.5)
    run.record("start", 60, lambda: startup.start(fast, run.device))
    code = run.attempt("mask coder", 5, lambda: mask_coder(torch.device(run.device)))
    if code is not None:
        _time(run, "fast", fast, code, scene, run.fast, seconds=4.0)
        run.record("same_bytes", 5, lambda: steps.same_bytes(code, scene))
    _sustain(run, fast, scene)
    run.record("peak_gigabytes", 0, lambda: startup.gigabytes(run.device))
    run.record("second_start", 25, lambda: startup.second_start(plain, run.device))
    run.record("training", 45, lambda: training.steps_a_second(run.device, small=run.small))
    run.write()
    return document(run)


def document(run: Run) -> dict[str, Any]:
    """All figures that are known by now, as JSON."""
    peak = run.found.get("matmul_tflops")
    names = [name for name in reference.REFERENCES if name in run.plain or name in run.fast]
    rows = [
        reference.row(
            name, {"plain": run.plain.get(name), "fast": run.fast.get(name)}, cast(Any, peak), full=not run.small
        )
        for name in names
    ]
    return {
        "model": "tiny architecture" if run.small else "full architecture",
        "weights": "random",
        "device": torch.cuda.get_device_name(run.device) if run.on_gpu else run.device,
        "dtype": str(run.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": machine_words(),
        "milliseconds": rows,
        **run.found,
        "left_out": run.left_out,
        "failed": run.failed,
        "seconds": round(time.perf_counter() - run.began, 1),
    }


def table(document: dict[str, Any]) -> str:
    """The rows in columns, then the other figures as JSON."""
    columns = ("step", "plain", "fast", "floor", "share_of_peak", "h200_before", "h200_prototype", "bar_h200", "meta")
    cells = [list(columns), *[[_cell(row.get(name)) for name in columns] for row in document["milliseconds"]]]
    wide = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in cells]
    rest = {name: value for name, value in document.items() if name != "milliseconds"}
    return "\n".join([*lines, "", "milliseconds; " + json.dumps(rest, indent=1)])


def _segmenters(run: Run) -> tuple[Sam3, Sam3]:
    """One network twice: one stays plain, the other gets the fast path."""
    config = _small_config() if run.small else None
    clicks = tiny_tracker_config(cast(Any, config).vision_config.backbone_config) if config else None
    model = random_model(run.device, run.dtype, config)
    tracker = random_tracker(run.device, run.dtype, clicks)
    return segmenter_of(model, tracker), segmenter_of(model, tracker)


def _time(
    run: Run,
    side: str,
    segmenter: Sam3,
    code: MaskCoder,
    scene: steps.Scene,
    found: dict[str, float],
    *,
    seconds: float,
) -> None:
    """Milliseconds by step into `found`; no step takes longer than `seconds`."""
    made = run.attempt(f"{side}: setting up", 5, lambda: steps.steps(segmenter, code, scene))

    def timed(name: str, step: Callable[[], object]) -> None:
        answered = steps.kept(step())
        found[name] = round(steps.milliseconds(step, scene.rounds, run.device, seconds), 2)
        if answered is not None:
            run.found.setdefault("masks_answered", {})[f"{side}: {name}"] = answered

    for name, step in (made or {}).items():
        run.attempt(f"{side}: {name}", seconds, lambda name=name, step=step: timed(name, step))


def _sustain(run: Run, segmenter: Sam3, scene: steps.Scene) -> None:
    seconds, jobs = (1.0, 2) if run.small else (12.0, min(12, os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as folder:
        count, size = 4 if run.small else 16, cast(Any, scene.image.shape[:2])
        files = run.attempt("JPEG files", 5, lambda: sustained.jpeg_files(Path(folder), count, size))
        for concepts in (1, 8) if files else ():
            part = f"sustained, {concepts} concepts"
            journal = Path(folder) / f"journal-{concepts}"

            def many(concepts: int = concepts, journal: Path = journal) -> dict[str, Any]:
                return sustained.images_a_second(
                    segmenter, files or [], journal, concepts=concepts, jobs=jobs, seconds=seconds
                )

            run.record(part, seconds + 2, many)
    clients = 2 if run.small else 16
    run.record(
        "urgent under bulk",
        2 * seconds,
        lambda: sustained.urgent_under_bulk(segmenter, scene.image, clients=clients, seconds=0.7 * seconds),
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _small_config() -> Sam3Config:
    return tiny_config(len(cast(Any, tokenizer())), 64)


if __name__ == "__main__":
    sys.exit(main())
