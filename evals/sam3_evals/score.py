"""Scoring a run: needs its folder and nothing else, no model, no dataset, no LLM; memory is that of one case."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.types import Usage
from sam3_evals.accumulator import Accumulator, Sums
from sam3_evals.journal import JournalIndex
from sam3_evals.manifest import Manifest, read_manifest
from sam3_evals.metrics import cgf1, counterfactual, iou
from sam3_evals.metrics.matched_sample import Alignment, Scored
from sam3_evals.metrics.presence import PresenceMetric
from sam3_evals.metrics.video import score_video
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, read_cases
from sam3_evals.sample import Case
from sam3_evals.strata import strata_of

_TINY = "tiny"


def caveats_of(manifest: Manifest, cases: int, missing: int, errors: int) -> Iterator[str]:
    """One sentence each, the gravest first."""
    if missing:
        yield f"INCOMPLETE: {missing} of {cases} cases have no prediction; they score as empty."
    if manifest.shard:
        yield f"PART OF A RUN: shard {manifest.shard}, {cases} of {manifest.cases} cases; merge all shards for figures."
    if errors:
        yield f"{errors} cases ended in an error; they score as empty or as the best so far."
    if manifest.model == _TINY and not manifest.dataset.startswith("scenes:"):
        yield (
            "OUT OF ITS DOMAIN: the tiny model knows only drawings by this project's generator. On anything else its"
            " figures are poor by nature and say nothing about facebook/sam3."
        )
    if manifest.solver == "oracle":
        yield "The oracle reads the truth: an upper bound of what this model's masks allow, no contender."


@dataclass(frozen=True, slots=True)
class Score:
    """A scored run."""

    run: str
    manifest: Manifest
    groups: dict[tuple[str, str], Sums]
    """Sums of ("", "all") and of every (stratum, value)."""
    cases: int
    missing: int
    """Cases without a prediction: scored as empty ones."""
    errors: int
    usage: Usage
    """Cost of all cases together."""

    @property
    def complete(self) -> bool:
        """Every case has a prediction."""
        return self.missing == 0

    def to_json(self) -> dict[str, Any]:
        """The whole score as one document; figures lie in 0..1, each as {"value", "low", "high"}."""
        everything = self.groups["", "all"]
        document: dict[str, Any] = {
            "run": self.run,
            "manifest": asdict(self.manifest),
            "complete": self.complete,
            "cases": self.cases,
            "missing": self.missing,
            "errors": self.errors,
            "caveats": list(caveats_of(self.manifest, self.cases, self.missing, self.errors)),
            "usage": self.usage.to_json(),
            "overall": figures_json(everything),
            "strata": {},
            "reliability": PresenceMetric().reliability(everything.part("presence")),
        }
        for (name, value), sums in self.groups.items():
            if name:
                document["strata"].setdefault(name, {})[value] = figures_json(sums)
        return document


def score_run(run: Path, each: Callable[[Scored], None] | None = None) -> Score:
    """Score every case of a run; a case without a prediction scores as if nothing had been predicted.

    `each` is told of every case as it is scored.

    Raises:
        InputError: the folder holds no run, or its files are broken.
    """
    manifest, tally = read_manifest(run), Accumulator()
    cases = missing = errors = 0
    usage = Usage()
    for scored in score_cases(run):
        tally.add(scored)
        cases, missing, errors = cases + 1, missing + scored.missing, errors + bool(scored.error)
        usage = add_usage(usage, scored.usage)
        if each:
            each(scored)
    return Score(str(run), manifest, tally.groups(), cases, missing, errors, usage)


def score_cases(run: Path) -> Iterator[Scored]:
    """Every case of a run, scored one at a time, in the order of the dataset.

    Raises:
        InputError: as `score_run`.
    """
    index = JournalIndex(run / PREDICTIONS, "case")
    true = ("", Alignment(False, False, 0.0))
    for case in read_cases(run):
        line = index.find(case.id)
        try:
            scored = score_case(case, Prediction.from_json(line) if line is not None else None)
        except InputError as error:
            raise InputError(f"{index.path}: case {case.id!r:.100}: {error}") from error
        if case.pair is not None and scored.alignment is not None:
            if case.pair.true == case.id:
                true = (case.id, scored.alignment)
            elif case.pair.true == true[0]:  # else it is not in the run, which has a limit
                scored = replace(scored, swap=counterfactual.swap_of(true[1], scored.alignment))
        yield scored


def score_case(case: Case, prediction: Prediction | None) -> Scored:
    """Score one case; of several annotators the one that serves the prediction best (`cgf1.best_annotator`).

    Raises:
        InputError: the prediction's masks are of another size than the image.
    """
    given = prediction or Prediction(case.id, outcome="missing")
    if wrong := {rle.size for rle in given.rles} - {case.size}:
        raise InputError(f"case {case.id}: a mask of size {list(*wrong)} on an image of size {list(case.size)}")
    # The solver has applied its threshold; what it predicts, it stands for.
    pairs = [
        cgf1.score_masks(given.rles, targets, crowd=case.ignore) if case.by_instance else None
        for targets in (case.targets, *case.others)
    ]
    known = [pair for pair in pairs if pair is not None]
    best = cgf1.best_annotator(known) if len(known) > 1 else 0
    truth = replace(case, targets=(case.targets, *case.others)[best], others=())
    predicted, target = given.union(case.size), truth.target
    return Scored(
        case=case.id,
        picture=case.picture,
        query=case.query,
        strata=strata_of(case),
        lisa=iou.lisa(predicted, target, case.ignore),
        vision_reasoner=iou.vision_reasoner(predicted, target, case.ignore),
        pair=pairs[best],
        has_target=bool(truth.targets),
        empty=masks.area(predicted) == 0,
        missing=prediction is None,
        error=given.error,
        presence=given.presence,
        usage=given.usage,
        outcome=given.outcome,
        trace=given.trace_file,
        alignment=counterfactual.align(given.rles, given.scores, case.pair.object) if case.pair else None,
        video=score_video(given.rles, truth.targets, case.frames, by_instance=case.by_instance)
        if case.frames
        else None,
    )


def iou_of(case: Case, prediction: Prediction) -> float:
    """IoU of a case in LISA's convention, of a video that of its volume: all that progress shows, and quick to have."""
    if not case.frames:
        return score_case(case, prediction).lisa.iou
    return iou.lisa(prediction.union(case.size), case.target, case.ignore).iou


def figures_json(sums: Sums) -> dict[str, Any]:
    """Every figure over some cases, by metric and name; metrics without a single figure are left out."""
    document: dict[str, Any] = {"cases": sums.cases, "images": sums.pictures}
    for metric, figures in sums.figures().items():
        if any(value is not None for value, _, _ in figures.values()):
            document[metric] = {
                name: {"value": value, "low": low, "high": high} for name, (value, low, high) in figures.items()
            }
    return document


def add_usage(one: Usage, other: Usage) -> Usage:
    """Add the costs of both."""
    return Usage(**{name: value + getattr(other, name) for name, value in asdict(one).items()})
