"""The work on one image, from its file to the journal."""

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sam3_agent.errors import InputError, LLMError
from sam3_agent.labeling.budget import DollarBudget
from sam3_agent.labeling.imported import beside_imported
from sam3_agent.labeling.journal import ImageRow, Journal
from sam3_agent.labeling.label import Label
from sam3_agent.labeling.merge import ImageFinds, merged, with_choices, with_rivals
from sam3_agent.labeling.ontology import LabelClass, Ontology, Strictness, fold
from sam3_agent.labeling.propose import Proposer, difference_hash
from sam3_agent.labeling.rule import checked, verify_all
from sam3_agent.labeling.sighting import (
    QueryAnswer,
    Sighting,
    pack_answer,
    pack_sightings,
    unpack_answer,
    unpack_sightings,
)
from sam3_agent.workspace import OpenImage

EYE_UNIT = "eye"
MOST_FAILURES = 5
"""So many queries may fail one after another; then something is wrong that the next image will not mend."""


@dataclass(slots=True)
class Run:
    """What the threads of one call share."""

    root: Path
    journal: Journal
    proposer: Proposer
    budget: DollarBudget
    strict: Mapping[str, Strictness]
    """The lines of the rule by class: those of the concept file, or what calibration made of them."""
    failures: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def label_image(run: Run, row: ImageRow) -> ImageRow:
    """Label one image and write it, or say that it is unreadable.

    Raises:
        BudgetSpent: no dollars are left for a query; what the image has cost so far is kept.
        LLMError: query after query fails.
    """
    began = time.monotonic()
    workspace = run.proposer.workspace
    try:
        image = workspace.open(_contents(run.root, row))
    except InputError as error:
        row = replace(row, state="unreadable", reason=str(error))
        run.journal.put_images([row])
        return row
    try:
        row = replace(row, width=image.width, height=image.height)
        sightings = _sightings(run, row, image)
        queries = [each for each in run.proposer.ontology.classes if each.query]
        answers = {each.name: _answer(run, row, image, each) for each in queries}
        finds = ImageFinds(row.sha, {fold(s.phrase): s for s in sightings}, answers, workspace.info.name)
        dhash = difference_hash(workspace.pixels(image.id))
        row = replace(row, state="done", dhash=dhash, seconds=round(time.monotonic() - began, 4))
        _finish(run, row, finds)
    finally:
        workspace.forget(image.id)
    return row


def labels_of(ontology: Ontology, finds: ImageFinds, strict: Mapping[str, Strictness]) -> list[Label]:
    """The verified labels of an image, ids and all: the same finds give the same labels."""
    by_class = {
        each.name: [
            replace(label, id=f"{finds.sha[:16]}.{place}.{number:03d}")
            for number, label in enumerate(with_choices(each, merged(each, finds), finds))
        ]
        for place, each in enumerate(ontology.classes)
    }
    return verify_all(with_rivals(ontology, by_class, finds), strict)


def query_unit(class_name: str) -> str:
    """The name of the unit of work that asks the query of a class."""
    return f"query {class_name}"


def _finish(run: Run, row: ImageRow, finds: ImageFinds) -> None:
    ontology = run.proposer.ontology
    labels = beside_imported(labels_of(ontology, finds, run.strict), run.journal.labels(row.sha))
    alive = {each.name: [label for label in labels if label.class_name == each.name] for each in ontology.classes}
    run.journal.finish(row, labels, [checked(each, alive[each.name], finds) for each in ontology.classes])


def _contents(root: Path, row: ImageRow) -> bytes:
    """The file, which must be the one that was entered into the journal."""
    try:
        data = (root / row.path).read_bytes()
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != row.sha:
        raise InputError("the file changed while the run was going on; --resume labels what it is now")
    return data


def _sightings(run: Run, row: ImageRow, image: OpenImage) -> list[Sighting]:
    known = run.journal.unit(row.sha, EYE_UNIT)
    if known is None:
        known = pack_sightings(run.proposer.look(image.id))
        run.journal.put_unit(row.sha, EYE_UNIT, known)
    return unpack_sightings(known, (image.height, image.width))


def _answer(run: Run, row: ImageRow, image: OpenImage, each: LabelClass) -> QueryAnswer:
    """What the agent said to the query of a class; a failure is kept for this image, and asked anew by --resume."""
    unit = query_unit(each.name)
    known = run.journal.unit(row.sha, unit)
    if known is not None:
        return unpack_answer(known, (image.height, image.width))
    limit = run.budget.left()
    answer = run.proposer.ask(image.id, each, limit)
    run.budget.spend(answer.usd)
    if answer.outcome == "failed" or (answer.outcome == "budget" and limit is not None and answer.usd >= limit):
        run.journal.spend(row.sha, unit, answer.usd)
        if answer.outcome == "budget":
            run.budget.left()  # raises: the run is over, and a later one asks again
        _count_failure(run, answer.reason)
        return answer
    run.failures = 0
    packed = pack_answer(answer)
    run.journal.put_unit(row.sha, unit, packed, answer.usd)
    return unpack_answer(packed, (image.height, image.width))


def _count_failure(run: Run, reason: str) -> None:
    with run.lock:
        run.failures += 1
        if run.failures >= MOST_FAILURES:
            raise LLMError(f"{run.failures} queries failed one after another; the last: {reason}")
