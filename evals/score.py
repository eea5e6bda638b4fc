"""Scoring a run: needs its folder and nothing else, no model, no dataset, no brain."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.journal import index_journal, read_line
from evals.manifest import Manifest, read_manifest
from evals.metrics import abstention, bootstrap, cgf1, iou
from evals.prediction import Prediction
from evals.run import PREDICTIONS, read_cases
from sam3_agent import masks
from sam3_agent.types import Usage


@dataclass(frozen=True, slots=True)
class Scored:
    """One case after scoring."""

    case: str
    query: str
    strata: dict[str, str]
    lisa: iou.Overlap
    vision_reasoner: iou.Overlap
    pair: cgf1.PairCounts | None
    """None where the truth does not tell instances apart."""
    has_target: bool
    empty: bool
    """The prediction has no pixel."""
    missing: bool
    """There is no prediction: scored as an empty one."""
    error: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Score:
    """A scored run."""

    run: str
    manifest: Manifest
    cases: tuple[Scored, ...]

    @property
    def missing(self) -> int:
        """Cases without a prediction."""
        return sum(case.missing for case in self.cases)

    @property
    def complete(self) -> bool:
        """Every case has a prediction."""
        return self.missing == 0

    def strata(self) -> dict[str, dict[str, list[Scored]]]:
        """The cases by stratum and by its values, both in the order of their first appearance."""
        groups: dict[str, dict[str, list[Scored]]] = {}
        for case in self.cases:
            for name, value in case.strata.items():
                groups.setdefault(name, {}).setdefault(value, []).append(case)
        return groups

    def to_json(self) -> dict[str, Any]:
        """The whole score as one document; figures lie in 0..1."""
        return {
            "run": self.run,
            "manifest": asdict(self.manifest),
            "complete": self.complete,
            "cases": len(self.cases),
            "missing": self.missing,
            "errors": sum(bool(case.error) for case in self.cases),
            "usage": total_usage(self.cases).to_json(),
            "overall": figures(self.cases),
            "strata": {
                name: {value: figures(cases) for value, cases in groups.items()}
                for name, groups in self.strata().items()
            },
        }


def score_run(run: Path) -> Score:
    """Score every case of a run; a case without a prediction scores as if nothing had been predicted.

    Raises:
        InputError: the folder holds no run, or its files are broken.
    """
    return Score(str(run), read_manifest(run), tuple(_score_cases(run)))


def score_case(case: Case, prediction: Prediction | None) -> Scored:
    """Score one case."""
    given = prediction or Prediction(case.id, outcome="missing")
    predicted, target = given.union(case.size), case.target
    ignore = masks.decode(case.ignore) if case.ignore else None
    return Scored(
        case=case.id,
        query=case.query,
        strata=case.strata,
        lisa=iou.lisa(predicted, target, ignore),
        vision_reasoner=iou.vision_reasoner(predicted, target, ignore),
        # The solver has applied its threshold; what it predicts, it stands for.
        pair=cgf1.score_masks(given.rles, case.targets) if case.by_instance else None,
        has_target=bool(case.targets),
        empty=not predicted.any(),
        missing=prediction is None,
        error=given.error,
        usage=given.usage,
    )


def figures(cases: Sequence[Scored]) -> dict[str, Any]:
    """Every figure over some cases, by name; see `evals/metrics/` for formulas and sources."""
    lisa = iou.aggregate((case.lisa for case in cases), epsilon=1e-10)
    other = iou.aggregate(case.vision_reasoner for case in cases)
    low, high = bootstrap.interval([case.lisa.iou for case in cases])
    result: dict[str, Any] = {
        "cases": len(cases),
        "lisa": {**lisa.to_json(), "giou_95": [low, high]},
        "vision_reasoner": other.to_json(),
        **abstention.aggregate((case.has_target, case.empty) for case in cases).to_json(),
    }
    pairs = [case.pair for case in cases if case.pair is not None]
    if pairs:
        result["instances"] = _instances(cgf1.aggregate(pairs))
    return result


def _instances(family: cgf1.CgF1) -> dict[str, float | None]:
    """The cgF1 family; None where a figure has no meaning, as an MCC without a negative pair."""
    positive, negative = family.il_tp + family.il_fn, family.il_fp + family.il_tn
    needs_both = ("cgf1", "il_mcc")
    needs_positive = ("positive", "recall", "f1")
    meaningless = () if positive and negative else needs_both if positive else (*needs_both, *needs_positive)
    return {name: None if name.startswith(meaningless) else value for name, value in family.to_json().items()}


def total_usage(cases: Iterable[Scored]) -> Usage:
    """What all cases cost together."""
    total = Usage()
    for case in cases:
        summed = {name: value + getattr(case.usage, name) for name, value in asdict(total).items()}
        total = replace(total, **summed)
    return total


def _score_cases(run: Path) -> Iterator[Scored]:
    path = run / PREDICTIONS
    offsets = index_journal(path, "case")
    for case in read_cases(run):
        offset = offsets.get(case.id)
        yield score_case(case, Prediction.from_json(read_line(path, offset)) if offset is not None else None)
