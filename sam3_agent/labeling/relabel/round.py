"""Round of the closed loop: classes are taught from decisions, and what people have not decided is labeled anew.

Everything that a round has done is in the journal when it is done: the versions of its classes by one transaction, each
image by one. A round that was stopped or killed goes on where it was, without teaching again.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import write_concept
from sam3_agent.labeling.health.examine import ToSee, examine
from sam3_agent.labeling.io.teaching_images import TeachingSet
from sam3_agent.labeling.ontology.ontology import Ontology
from sam3_agent.labeling.pipeline.budget import DollarBudget
from sam3_agent.labeling.pipeline.executor import Call, ThreadExecutor
from sam3_agent.labeling.pipeline.label_image import versions_unit
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import run_lock
from sam3_agent.labeling.relabel.lesson import (
    Lesson,
    Recipe,
    baseline_f1,
    digest_of,
    judged,
    make,
    read_lesson,
    with_thresholds,
)
from sam3_agent.labeling.relabel.versions import (
    FOLDER,
    Version,
    concept_path,
    next_name,
    run_ontology,
    versions_json,
    versions_of,
)
from sam3_agent.labeling.store.change import LAST_ROUND, ClassChange, last_changes
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.summary import class_names, images_folder, model_name, summarize
from sam3_agent.labeling.verify.thresholds import thresholds_json, thresholds_of
from sam3_agent.llm.base import LLM
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.training.teaching.progress import TeachProgress
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.query import TileMode

ROUTES_BEFORE = "routes_before"
"""Entry of the journal: labels by class and route before the round that is going on."""
NEXT_IMAGES = "next"
"""Entry of the journal: images to look at next, by SHA-256, the first one first."""
_ROUTES = pydantic.TypeAdapter(dict[str, dict[str, int]])
Tell = Callable[[TeachProgress], None]


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """Options of a round."""

    classes: tuple[str, ...] = ()
    """To be taught; empty for every class that people decided something about."""
    recipe: Recipe = field(default_factory=Recipe)
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class RoundReport:
    """Outcome of a round."""

    lessons: tuple[Lesson, ...]
    resumed: bool
    """Whether it only finished the round before, which had been stopped."""
    relabeled: int
    """Images that were asked anew."""
    changes: dict[str, ClassChange]
    before: dict[str, dict[str, int]]
    """Class -> route -> labels."""
    after: dict[str, dict[str, int]]
    next: tuple[ToSee, ...]
    """Images to look at next; the review shows them in this order."""


def run_round(
    journal: Journal,
    segmenter: Segmenter,
    options: RoundOptions,
    tell: Tell = lambda _: None,
    load_llm: Callable[[], LLM] | None = None,
) -> RoundReport:
    """Teach, then label anew; whatever `tell` raises stops it, and an equal call goes on.

    `load_llm` is for queries that are not answered yet.

    Raises:
        InputError: an unknown class, another model than the run's, or another process works on the run.
    """
    _check(journal, segmenter, options)
    with run_lock(journal.path.parent):
        workspace = Workspace(segmenter)
        resumed = bool(_open_rows(journal, run_ontology(journal)))
        lessons = () if resumed else _taught(journal, segmenter, workspace, options, tell)
        ontology = run_ontology(journal)
        rows = _open_rows(journal, ontology)
        if rows:
            journal.remember({LAST_ROUND: versions_unit(ontology)})
        proposer = Proposer(workspace, ontology, load_llm, _tiles(journal))
        _relabel(journal, ThreadExecutor(proposer, options.jobs), rows, tell)
        changes = _changes(journal) if rows else {}
        before = _routes_before(journal)
        ahead = examine(journal).next
        journal.remember({NEXT_IMAGES: [each.sha for each in ahead]})
        return RoundReport(lessons, resumed, len(rows), changes, before, summarize(journal).classes, ahead)


def plan_of(journal: Journal, options: RoundOptions) -> list[Lesson]:
    """Say what a round would teach from, without a model; raises InputError for an unknown class."""
    _check_classes(journal, options)
    return [read_lesson(journal, name)[1] for name in options.classes or _decided_classes(journal)]


def _check(journal: Journal, segmenter: Segmenter, options: RoundOptions) -> None:
    _check_classes(journal, options)
    model = model_name(journal)
    if model != segmenter.info.name:
        raise InputError(f"this run was labeled by {model or 'nothing yet'}, not {segmenter.info.name}: give --model")


def _check_classes(journal: Journal, options: RoundOptions) -> None:
    known = class_names(journal)
    for name in options.classes:
        if name not in known:
            raise InputError(f"unknown class {name!r}; known: {', '.join(known)}")


def _decided_classes(journal: Journal) -> list[str]:
    """Classes of the run of which a person decided a label."""
    rows = journal.read("SELECT DISTINCT class FROM labels WHERE decided_by='person'")
    decided = {str(row[0]) for row in rows}
    return [name for name in class_names(journal) if name in decided]


def _taught(
    journal: Journal, segmenter: Segmenter, workspace: Workspace, options: RoundOptions, tell: Tell
) -> tuple[Lesson, ...]:
    """Make a version of every class of which something new was decided, and remember them in one step."""
    folder, ontology, known = journal.path.parent, run_ontology(journal), versions_of(journal)
    lessons: list[Lesson] = []
    for name in options.classes or _decided_classes(journal):
        given, lesson = read_lesson(journal, name)
        if lesson.objects:
            known, lesson = _one(journal, (segmenter, workspace), ontology, (given, lesson), options, known, tell)
        lessons.append(lesson)
    lessons = with_thresholds(lessons, ontology)
    fresh = {each.class_name: each for each in lessons if each.version is not None}
    if fresh:
        fitted = {name: each.thresholds for name, each in fresh.items() if each.thresholds is not None}
        routes = {ROUTES_BEFORE: summarize(journal).classes}
        entries = thresholds_json({**thresholds_of(journal), **fitted})
        journal.remember({**versions_json(known), **entries, **routes})
        for each in fresh.values():
            if each.version is not None:
                shutil.rmtree(_checkpoints(folder, each.version.name), ignore_errors=True)
    return tuple(lessons)


def _one(
    journal: Journal,
    model: tuple[Segmenter, Workspace],
    ontology: Ontology,
    read: tuple[TeachingSet, Lesson],
    options: RoundOptions,
    known: list[Version],
    tell: Tell,
) -> tuple[list[Version], Lesson]:
    """Make a version of one class, unless the last one is of the very same decisions."""
    (segmenter, workspace), (given, lesson), folder = model, read, journal.path.parent
    digest = digest_of(given, options.recipe, segmenter)
    last = next((each for each in reversed(known) if each.class_name == given.class_name), None)
    if last is not None and last.digest == digest:
        return known, replace(lesson, says=f"nothing new was decided since {last.name}")
    name = next_name(given.class_name, known)
    path = concept_path(folder, name)
    path.parent.mkdir(exist_ok=True)

    def told(now: TeachProgress) -> None:
        tell(replace(now, doing=f"{given.class_name}: {now.doing}"))

    made = make(segmenter, workspace, name, given, options.recipe, _checkpoints(folder, name), told)
    write_concept(made.concept, path)
    before = baseline_f1(journal, ontology, given)
    done = judged(given.class_name, made, before, lesson, digest)
    return [*known, *([done.version] if done.version is not None else [])], done


def _checkpoints(folder: Path, name: str) -> Path:
    return folder / FOLDER / f".{name}.teaching"


def _open_rows(journal: Journal, ontology: Ontology) -> list[ImageRow]:
    """Labeled images on which a class was not asked by its version yet."""
    unit = versions_unit(ontology)
    if not unit:
        return []
    done = {row[0] for row in journal.read("SELECT sha FROM units WHERE unit=?", (unit,))}
    return [row for row in journal.images("done") if row.sha not in done]


def _relabel(journal: Journal, executor: ThreadExecutor, rows: Sequence[ImageRow], tell: Tell) -> None:
    call = Call(images_folder(journal), journal, DollarBudget(None, journal.usd()), thresholds_of(journal))
    working = executor.each(call, rows)
    for done, _ in enumerate(working, start=1):
        tell(TeachProgress("labeling anew", done, len(rows)))


def _changes(journal: Journal) -> dict[str, ClassChange]:
    """Sum what the versions of a round changed, class by class."""
    total: dict[str, ClassChange] = {}
    for change in last_changes(journal).values():
        for name, each in change.classes.items():
            total[name] = total.get(name, ClassChange()) + each
    return total


def _routes_before(journal: Journal) -> dict[str, dict[str, int]]:
    """Read the counts of before the round; raises InputError where the journal of a stranger says nonsense."""
    try:
        return _ROUTES.validate_python(journal.meta(ROUTES_BEFORE) or {})
    except pydantic.ValidationError as error:
        raise InputError(f"the journal {journal.path} holds a damaged entry {ROUTES_BEFORE!r}") from error


def _tiles(journal: Journal) -> TileMode:
    asked = journal.meta("asked")
    tiles = asked.get("tiles") if isinstance(asked, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return "never" if tiles == "never" else "always" if tiles == "always" else "auto"
