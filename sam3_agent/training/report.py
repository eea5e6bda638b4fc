"""Progress report of a training run."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from sam3_agent.training.config import Stage
from sam3_agent.training.data_workers import Feed

log = logging.getLogger(__name__)
EVERY = 25
"""Steps between two lines."""
CHECKPOINT_SECONDS = 120


class Report:
    """Running means to the log and to `log.jsonl`; knows when a checkpoint is due. Ranks other than 0 stay quiet."""

    def __init__(self, folder: Path, stage: Stage, rank: int, *, images: int = 0) -> None:
        """`images` of a step over all ranks, where throughput is to be told."""
        self._images = images
        self._waited = self._waited_before = 0.0
        self._path = folder / "log.jsonl"
        self._stage = stage
        self._quiet = rank != 0
        self._sums: dict[str, float] = {}
        self._count = 0
        self._since = time.monotonic()
        self._saved = time.monotonic()

    def add(self, step: int, terms: dict[str, Tensor], rate: float, drawn: Feed[Any] | None = None) -> None:
        """Take in the loss terms of one step and the seconds that all have waited for `drawn`."""
        if self._quiet:
            return
        self._waited = drawn.waited if drawn is not None else 0.0
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        self._count += 1
        if self._count == EVERY or step + 1 == self._stage.steps:
            self._flush(step, rate)

    def evaluation(self, step: int, figures: dict[str, str]) -> None:
        """Write down a held-out reading."""
        self._write({"stage": self._stage.name, "step": step + 1, "evaluation": figures})
        for kind, line in figures.items():
            log.info("  held out  %-14s %s", kind, line)
        self._since = time.monotonic()

    def checkpoint_is_due(self) -> bool:
        """Whether two minutes have passed since this was last true."""
        if self._quiet or time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return False
        self._saved = time.monotonic()
        return True

    def _flush(self, step: int, rate: float) -> None:
        seconds = (time.monotonic() - self._since) / self._count
        means = {name: round(total / self._count, 4) for name, total in self._sums.items()}
        busy = max(0.0, 1 - (self._waited - self._waited_before) / self._count / max(seconds, 1e-9))
        speed = {"images_per_second": round(self._images / seconds, 1), "busy": round(busy, 3)} if self._images else {}
        row = {"stage": self._stage.name, "step": step + 1, "of": self._stage.steps, "rate": rate}
        self._write(row | {"seconds": round(seconds, 3)} | speed | means)
        left = seconds * (self._stage.steps - step - 1)
        log.info(
            "%s %d/%d  %.2f s/step%s, %d min left  total %.3f  %s",
            self._stage.name,
            step + 1,
            self._stage.steps,
            seconds,
            f", {self._images / seconds:.1f} images/s, {busy:.0%} of the time learning" if self._images else "",
            left // 60,
            sum(means.values()),
            " ".join(f"{k} {v:.3f}" for k, v in means.items()),
        )
        self._sums, self._count, self._since = {}, 0, time.monotonic()
        self._waited_before = self._waited

    def _write(self, row: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
