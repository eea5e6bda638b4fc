"""Several runs of one setup over the same cases: how much of a figure is chance.

Agents that sample answer differently each time. The standard deviation between runs (with k - 1) tells which
differences between two setups mean nothing; the bootstrap interval of a single run does not, as it resamples images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sam3_agent.errors import InputError
from sam3_evals.accumulator import Accumulator, Sums
from sam3_evals.compare import FLIP
from sam3_evals.manifest import Manifest, read_manifest
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.score import score_cases

_SHOWN = 20
_SAME = ("dataset_hash", "shard", "solver", "model", "weights", "llm", "prompts")
"""Fields of a manifest that must be equal; code and seed may differ and are told."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over k runs; shares lie in 0..1."""

    mean: float
    sd: float
    """Standard deviation between runs, with k - 1."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Unstable:
    """A case whose IoU differs between runs."""

    case: str
    query: str
    ious: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of k runs, gIoU (LISA) by stratum, and how single cases behave."""

    runs: tuple[str, ...]
    cases: int
    complete: bool
    figures: dict[str, dict[str, Figure]]
    """By metric and name, over all cases; a figure without a basis in a run is left out."""
    groups: dict[str, tuple[int, Figure]]
    """Cases and gIoU of "all" and of every stratum."""
    within: float
    """Mean over cases of the standard deviation of a case's IoU between runs."""
    solved: dict[str, int]
    """Cases with an IoU of at least .5 in "all" runs, in "some", in "none"."""
    unstable: tuple[Unstable, ...]
    """Cases that some runs solve and others do not, the widest apart first."""
    caveats: tuple[str, ...] = ()
    usd: tuple[float, ...] = ()
    """Price of each run."""

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    deviations: float = 0.0
    cases: int = 0
    missing: bool = False
    solved: dict[str, int] = field(default_factory=lambda: {"all": 0, "some": 0, "none": 0})
    unstable: list[Unstable] = field(default_factory=list[Unstable])

    def add(self, scored: Sequence[Scored]) -> None:
        ious = tuple(each.lisa.iou for each in scored)
        self.cases += 1
        self.missing = self.missing or any(each.missing for each in scored)
        self.deviations += float(np.std(ious, ddof=1))
        hits = sum(iou >= FLIP for iou in ious)
        verdict = "all" if hits == len(ious) else "some" if hits else "none"
        self.solved[verdict] += 1
        if verdict == "some":
            self.unstable.append(Unstable(scored[0].case, scored[0].query, ious))


def spread_of(runs: Sequence[Path]) -> Spread:
    """Score k runs side by side, in one pass.

    Raises:
        InputError: there are fewer than two, a folder holds no run, or they are not of one setup.
    """
    if len(runs) < 2:
        raise InputError("a spread needs two runs at least; give the folders of several runs of one setup")
    if len({run.resolve() for run in runs}) < len(runs):
        raise InputError("a run is there twice; it would look as if nothing were chance")
    manifests = [read_manifest(run) for run in runs]
    caveats = tuple(_check_same(runs, manifests))
    tallies, found, usd = [Accumulator() for _ in runs], _Tally(), [0.0] * len(runs)
    for scored in zip(*(score_cases(run) for run in runs), strict=True):
        if len({each.case for each in scored}) > 1:
            raise InputError(f"case {scored[0].case!r} stands where another run has {scored[-1].case!r}")
        for number, each in enumerate(scored):
            tallies[number].add(each)
            usd[number] += each.usage.usd
        found.add(scored)
    groups = [tally.groups() for tally in tallies]
    everything = ("", "all")
    return Spread(
        runs=tuple(map(str, runs)),
        cases=found.cases,
        complete=not found.missing,
        figures=_figures([each[everything] for each in groups]),
        groups={_name(key): (sums.cases, _giou([each[key] for each in groups])) for key, sums in groups[0].items()},
        within=found.deviations / found.cases,
        solved=found.solved,
        unstable=tuple(sorted(found.unstable, key=lambda each: min(each.ious) - max(each.ious))),
        caveats=caveats,
        usd=tuple(usd),
    )


def _check_same(runs: Sequence[Path], manifests: Sequence[Manifest]) -> Iterator[str]:
    first = asdict(manifests[0])
    for run, manifest in zip(runs[1:], manifests[1:], strict=True):
        other = asdict(manifest)
        if different := [f"{key} {first[key]!r}, {other[key]!r}" for key in _SAME if first[key] != other[key]]:
            raise InputError(f"{runs[0]} and {run} are not runs of one setup: {'; '.join(different)}")
    if len({manifest.code for manifest in manifests}) > 1:
        yield "The runs were made by different code; some of the spread may be its doing."


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]}: {key[1]}" if key[0] else key[1]


def _figures(sums: Sequence[Sums]) -> dict[str, dict[str, Figure]]:
    found: dict[str, dict[str, list[float]]] = {}
    for each in sums:
        for metric, point, _ in each.values():
            for name, value in point.items():
                found.setdefault(metric, {}).setdefault(name, []).append(float(value))
    return {
        metric: {name: _figure(values) for name, values in rows.items() if not np.isnan(values).any()}
        for metric, rows in found.items()
    }


def _giou(sums: Sequence[Sums]) -> Figure:
    return _figure([float(next(each.values())[1]["giou"]) for each in sums])  # LISA's comes first


def _figure(values: Sequence[float]) -> Figure:
    return Figure(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))


_COLUMNS = (
    ("gIoU", "lisa", "giou"), ("cIoU", "lisa", "ciou"), ("P@.5", "lisa", "p@0.5"), ("cgF1", "instances", "cgf1"),
    ("N-acc", "gres", "n_acc"), ("J&F", "video", "jf"),
)  # fmt: skip


def spread_table(spread: Spread) -> str:
    """The spread as Markdown: figures, gIoU by stratum, the most unstable cases."""
    runs = len(spread.runs)
    giou = spread.groups["all"][1]
    lines = [
        f"# {runs} runs over {spread.cases} cases",
        "",
        f"gIoU {100 * giou.mean:.1f}, standard deviation between runs {100 * giou.sd:.2f}"
        f" ({100 * giou.low:.1f} .. {100 * giou.high:.1f}); of a single case {100 * spread.within:.1f}."
        f" Solved (IoU >= .5) by all runs {spread.solved['all']}, by some {spread.solved['some']},"
        f" by none {spread.solved['none']}.",
        "",
    ]
    lines += [] if spread.complete else ["**INCOMPLETE: a run lacks predictions; these count as empty.**", ""]
    lines += [line for caveat in spread.caveats for line in (f"**{caveat}**", "")]
    lines += ["| figure | mean | sd | lowest | highest |", "|:---|---:|---:|---:|---:|"]
    for name, metric, figure in _COLUMNS:
        if (found := spread.figures.get(metric, {}).get(figure)) is not None:
            lines.append(_row(name, found))
    lines += ["", "| cases | n | gIoU | sd | lowest | highest |", "|:---|---:|---:|---:|---:|---:|"]
    lines += [_row(f"{name} | {count}", found) for name, (count, found) in spread.groups.items()]
    if spread.unstable:
        lines += ["", f"solved by some runs only: {len(spread.unstable)}"]
    for each in spread.unstable[:_SHOWN]:
        lines.append(f"- {each.case}: {' '.join(f'{iou:.2f}' for iou in each.ious)}  {each.query!r}")
    lines += ["", f"USD a run: {' '.join(f'{usd:.4f}' for usd in spread.usd)}. Figures x 100."]
    return "\n".join(lines)


def _row(name: str, found: Figure) -> str:
    cells = (f"{100 * found.mean:.1f}", f"{100 * found.sd:.2f}", f"{100 * found.low:.1f}", f"{100 * found.high:.1f}")
    return f"| {name} | {' | '.join(cells)} |"
