"""Labeling of one image, from its file to the journal."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sam3_agent.errors import InputError, LLMError
from sam3_agent.formats.reading import open_regular
from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, Thresholds, fold
from sam3_agent.labeling.pipeline.budget import DollarBudget
from sam3_agent.labeling.pipeline.merge import beside_imported, merged, with_choices, with_competing_labels
from sam3_agent.labeling.pipeline.proposer import Proposer, difference_hash
from sam3_agent.labeling.store.detections import (
    ImageDetections,
    PhraseDetections,
    QueryAnswer,
    pack_answer,
    pack_detections,
    unpack_answer,
    unpack_detections,
)
from sam3_agent.labeling.store.journal import ImageRow
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.verify.judge import Judgment, Question, judge, questions_of, with_completeness, with_judgment
from sam3_agent.labeling.verify.score_rule import checked, verify_all, with_uncertainty
from sam3_agent.llm.base import LLM
from sam3_agent.workspace import OpenImage

DETECT_UNIT = "detect"
JUDGE_UNIT = "judge"
"""Kept once the judge has answered on everything of an image."""
MOST_FAILURES = 5
"""Queries, or judgments, that may fail in a row: LLMs retry by themselves, so five mean that the next image will not
mend it, and each costs time or dollars."""


class Ledger(Protocol):
    """Labels and units of work of images, where what is paid is written at once: the journal, or a worker's copy."""

    def labels(self, sha: str | None = None) -> list[Label]:
        """Read the labels that an image has already."""
        ...

    def unit(self, sha: str, unit: str) -> bytes | None:
        """Read the result of one unit of work on an image; None where it is not done yet."""
        ...

    def put_unit(self, sha: str, unit: str, payload: bytes | None, usd: float = 0.0) -> None:
        """Keep what a unit of work found and what it cost; None where it only cost."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of the work on one image; without labels where it is unreadable."""

    row: ImageRow
    labels: tuple[Label, ...] = ()
    checks: tuple[Check, ...] = ()
    versions: str = ""
    """Unit of work that taught classes were asked in these versions; see `versions_unit`."""


@dataclass(slots=True)
class Run:
    """State that the images of one call share."""

    contents: Callable[[ImageRow], bytes]
    """Reads the file of an image; raises InputError where it cannot."""
    journal: Ledger
    proposer: Proposer
    budget: DollarBudget
    thresholds: Mapping[str, Thresholds]
    """By class: those of the concept file, or what calibration made of them."""
    failures: dict[str, int] = field(default_factory=dict[str, int])
    """Queries, and judgments, that failed one after another."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def label_image(run: Run, row: ImageRow) -> Outcome:
    """Label one image, or say that it is unreadable.

    Raises:
        BudgetSpent: no dollars are left for a query; what the image has cost so far is kept.
        LLMError: query after query fails.
    """
    began = time.monotonic()
    workspace = run.proposer.workspace
    try:
        image = workspace.open(run.contents(row))
    except InputError as error:
        return Outcome(replace(row, state="unreadable", reason=str(error).removeprefix("the given data is ")))
    try:
        row = replace(row, width=image.width, height=image.height)
        detections = _detections(run, row, image)
        queries = [each for each in run.proposer.ontology.classes if each.query]
        answers = {each.name: _answer(run, row, image, each) for each in queries}
        detected = ImageDetections(
            row.sha, {fold(each.phrase): each for each in detections}, answers, workspace.info.name
        )
        dhash = difference_hash(workspace.pixels(image.id))
        row = replace(row, state="done", dhash=dhash)
        labels, checks = _verified(run, row, image, detected)
        row = replace(row, seconds=round(time.monotonic() - began, 4))
        return Outcome(row, tuple(labels), tuple(checks), versions_unit(run.proposer.ontology))
    finally:
        workspace.forget(image.id)


def labels_of(ontology: Ontology, detected: ImageDetections, thresholds: Mapping[str, Thresholds]) -> list[Label]:
    """Make the verified labels of an image, ids and all: the same detections give the same labels."""
    by_class = {
        each.name: [
            replace(label, id=f"{detected.sha[:16]}.{place}{_version(each)}.{number:03d}")
            for number, label in enumerate(with_choices(each, merged(each, detected), detected))
        ]
        for place, each in enumerate(ontology.classes)
    }
    return verify_all(with_uncertainty(ontology, with_competing_labels(ontology, by_class, detected)), thresholds)


def query_unit(class_name: str) -> str:
    """Name the unit of work that asks the query of a class."""
    return f"query {class_name}"


def versions_unit(ontology: Ontology) -> str:
    """Name the unit of work that labels an image by the taught versions of classes; "" where none is taught."""
    names = [each.taught.name for each in ontology.classes if each.taught is not None]
    return f"labels {' '.join(names)}" if names else ""


def _version(each: LabelClass) -> str:
    """Tell apart the ids of a version's labels from those of earlier ones, which people may have decided about."""
    return "" if each.taught is None else f".{each.taught.name.rpartition('.')[2]}"


def _verified(run: Run, row: ImageRow, image: OpenImage, detected: ImageDetections) -> tuple[list[Label], list[Check]]:
    """Verify the labels and checks of an image by the rule, and by the judge where there is one."""
    ontology = run.proposer.ontology
    known = run.journal.labels(row.sha)
    labels = beside_imported(labels_of(ontology, detected, run.thresholds), known)
    alive = {each.name: [label for label in labels if label.class_name == each.name] for each in ontology.classes}
    checks = [checked(each, alive[each.name], detected) for each in ontology.classes]
    if run.proposer.judge is None:
        return labels, checks
    loaded_llm = run.proposer.judge()
    decided = {label.id for label in known if label.is_settled}
    settled = [label for label in known if label.is_settled and label.route == "accepted"]
    open_labels = [label for label in labels if label.id not in decided]
    answered = True
    for question in questions_of(ontology.classes, open_labels, settled):
        said = _judgment(run, row, image, loaded_llm, question)
        answered = answered and not said.error
        labels = with_judgment(labels, question, said, loaded_llm.name, run.thresholds)
        checks = with_completeness(checks, question, said, labels)
    if answered:
        run.journal.put_unit(row.sha, JUDGE_UNIT, b"")
    return labels, checks


def _judgment(run: Run, row: ImageRow, image: OpenImage, loaded_llm: LLM, question: Question) -> Judgment:
    """Ask the judge a question, or read what it said before; a failure is not kept, so that --resume asks again."""
    known = run.journal.unit(row.sha, question.unit)
    if known is not None:
        return Judgment.read(known)
    run.budget.left()
    said = judge(loaded_llm, run.proposer.workspace.pixels(image.id), question)
    run.budget.spend(said.usd)
    if said.error:
        run.journal.put_unit(row.sha, question.unit, None, said.usd)
        _count_failure(run, "judge", said.error)
        return said
    run.failures.pop("judge", None)
    run.journal.put_unit(row.sha, question.unit, json.dumps(said.to_json()).encode(), said.usd)
    return said


def read_contents(root: Path, row: ImageRow) -> bytes:
    """Read the file, which must be the one that was entered into the journal; raises InputError where it is not."""
    try:
        with open_regular(root / row.path) as file:
            data = file.read()
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != row.sha:
        raise InputError("the file changed while the run was going on; --resume labels what it is now")
    return data


def _detections(run: Run, row: ImageRow, image: OpenImage) -> list[PhraseDetections]:
    """Ask what is not known yet: all phrases in one unit of work, each taught version, later, in its own."""
    size = (image.height, image.width)
    names = [f"@{each.taught.name}" for each in run.proposer.ontology.classes if each.taught is not None]
    payloads = {unit: run.journal.unit(row.sha, unit) for unit in (DETECT_UNIT, *(f"{DETECT_UNIT} {n}" for n in names))}
    missing = [name for name in names if payloads[f"{DETECT_UNIT} {name}"] is None]
    phrases = [each for each in run.proposer.phrases() if each not in names] if payloads[DETECT_UNIT] is None else []
    answers = {each.phrase: each for each in run.proposer.look(image.id, [*phrases, *missing])}
    fresh = {f"{DETECT_UNIT} {name}": [answers[name]] for name in missing}
    if payloads[DETECT_UNIT] is None:
        fresh[DETECT_UNIT] = [answers[phrase] for phrase in phrases]
    for unit, found in fresh.items():
        payloads[unit] = packed = pack_detections(found)
        run.journal.put_unit(row.sha, unit, packed)
    return [found for packed in payloads.values() if packed is not None for found in unpack_detections(packed, size)]


def _answer(run: Run, row: ImageRow, image: OpenImage, each: LabelClass) -> QueryAnswer:
    """Ask the agent the query of a class, or read what it said before; a failure is asked anew by --resume."""
    unit = query_unit(each.name)
    known = run.journal.unit(row.sha, unit)
    if known is not None:
        return unpack_answer(known, (image.height, image.width))
    limit = run.budget.left()
    answer = run.proposer.ask(image.id, each, limit)
    run.budget.spend(answer.usd)
    if answer.outcome == "failed" or (answer.outcome == "budget" and limit is not None and answer.usd >= limit):
        run.journal.put_unit(row.sha, unit, None, answer.usd)
        if answer.outcome == "budget":
            run.budget.left()  # raises: the run is over, and a later one asks again
        _count_failure(run, "query", answer.reason)
        return answer
    run.failures.pop("query", None)
    packed = pack_answer(answer)
    run.journal.put_unit(row.sha, unit, packed, answer.usd)
    return unpack_answer(packed, (image.height, image.width))


def _count_failure(run: Run, kind: str, reason: str) -> None:
    with run.lock:
        run.failures[kind] = count = run.failures.get(kind, 0) + 1
    if count >= MOST_FAILURES:
        name = {"query": "queries", "judge": "judgments"}[kind]
        raise LLMError(f"{count} {name} failed one after another; the last: {reason}")
