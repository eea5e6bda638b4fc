"""The figures of the tracker's card."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from sam3_evals.metrics.video.hota import COLUMNS, hota_figures, hota_row

from benchmarks.video.readings import Masklets, Reading
from sam3_agent import masks

SAME = 0.5
"""IoU at which a track is at an object."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bound that a figure has to keep."""

    value: float
    at_least: bool = True

    def holds(self, figure: float) -> bool:
        """Whether it is kept; a figure of nothing (NaN) is."""
        if math.isnan(figure):
            return True
        return figure >= self.value if self.at_least else figure <= self.value


BARS = {
    "HOTA@.5": Bar(0.88),
    "J": Bar(0.85),
    "id switches": Bar(0.02, at_least=False),
    "absent": Bar(0.93),
    "re-entry id kept": Bar(0.80),
}


@dataclass(slots=True)
class _Ids:
    """Counts, over videos, of the tracks that were at true objects."""

    frames: int = 0
    switches: int = 0
    returns: int = 0
    kept: int = 0

    def add(self, truth: Masklets, said: Masklets, frames: int) -> None:
        """Count one noun of one video."""
        at = {index: at_objects(truth, said, index) for index in range(frames)}
        for name, masklet in truth.items():
            before: str | None = None
            away = False
            for index in range(frames):
                if index not in masklet:
                    away = before is not None
                    continue
                now = at[index].get(name)
                if now is None:
                    continue
                self.frames += 1
                if away:
                    self.returns += 1
                    self.kept += now == before
                elif before is not None:
                    self.switches += now != before
                before, away = now, False


def figures_of(readings: Iterable[Reading]) -> dict[str, dict[str, float]]:
    """Way -> figure -> value; J, absence and presence are those of objects followed from their true first mask."""
    sums: dict[str, np.ndarray] = {}
    ids: dict[str, _Ids] = {}
    followed: list[tuple[bool, float | None]] = []
    for reading in readings:
        followed += reading.followed
        for way, by_noun in reading.said.items():
            for noun in {*reading.truth, *by_noun}:
                truth, said = reading.truth.get(noun, {}), by_noun.get(noun, {})
                row = hota_row(list(said.values()), list(truth.values()))
                sums[way] = sums.get(way, np.zeros(COLUMNS)) + row
                ids.setdefault(way, _Ids()).add(truth, said, reading.frames)
    found = {way: _of_way(sums[way], ids[way]) for way in sums}
    if "tracker" in found:
        found["tracker"] |= _of_memory(followed)
    return found


def _of_way(sums: np.ndarray, ids: _Ids) -> dict[str, float]:
    figures = hota_figures(sums)
    return {
        "HOTA@.5": float(figures["hota_50"]),
        "HOTA": float(figures["hota"]),
        "DetA": float(figures["det_a"]),
        "AssA": float(figures["ass_a"]),
        "id switches": ids.switches / max(ids.frames, 1),
        "re-entry id kept": ids.kept / ids.returns if ids.returns else math.nan,
        "returns": ids.returns,
        "track-frames": ids.frames,
    }


def _of_memory(followed: list[tuple[bool, float | None]]) -> dict[str, float]:
    there = [(said, iou) for said, iou in followed if iou is not None]
    away = [said for said, iou in followed if iou is None]
    return {
        "J": float(np.mean([iou for _, iou in there])) if there else 0.0,
        "present": float(np.mean([said for said, _ in there])) if there else 0.0,
        "absent": float(np.mean([not said for said in away])) if away else math.nan,
        "object-frames": len(there),
        "absent frames": len(away),
    }


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Rows are figures, columns are ways."""
    ways = list(figures)
    names = list(dict.fromkeys(name for way in ways for name in figures[way]))
    lines = ["| figure | bar | " + " | ".join(ways) + " |", "|---|---|" + "---|" * len(ways)]
    for name in names:
        bar = BARS.get(name)
        shown = "" if bar is None else f"{'>=' if bar.at_least else '<='} {bar.value}"
        cells = [_shown(figures[way].get(name)) for way in ways]
        lines.append(f"| {name} | {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def at_objects(truth: Masklets, said: Masklets, index: int) -> dict[str, str]:
    """Give, for a frame, true object -> the track that is at it, each at one, the best first."""
    true = [name for name, masklet in truth.items() if index in masklet]
    told = [name for name, masklet in said.items() if index in masklet]
    if not true or not told:
        return {}
    table = masks.iou([truth[name][index] for name in true], [said[name][index] for name in told])
    found: dict[str, str] = {}
    for place in np.argsort(-table, axis=None, kind="stable"):
        row, column = divmod(int(place), len(told))
        if table[row, column] < SAME:
            break
        if true[row] not in found and told[column] not in found.values():
            found[true[row]] = told[column]
    return found
