"""Judge of labels: a language model that looks at each mask on contact sheets, and for what has none."""

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sam3_agent.errors import InputError, LLMError
from sam3_agent.labeling.ontology.ontology import LabelClass, Thresholds, fold
from sam3_agent.labeling.store.label import Check, Completeness, Label, Verdict
from sam3_agent.labeling.verify.score_rule import verified
from sam3_agent.llm.base import LLM, Message, Reply
from sam3_agent.loop.judge import force_call
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.turns import Failure, attempt
from sam3_agent.render import Mark, Picture, draw_picture
from sam3_agent.tools import ToolSpec

SHEET = 36
"""Masks on one contact sheet, and in one question but for a class that has more: 6 x 6 cells stay readable at the size
that models scale pictures to."""
_NAME = 18
"""Characters of a class name over a cell of the sheet."""


class VerifyLabels(BaseModel):
    """Say which masks are right, which are wrong and why, and which classes are not labeled completely."""

    model_config = ConfigDict(extra="forbid")

    right: Annotated[Sequence[str], Field(description="Numbers of the masks that are right, such as 'm1'.")] = ()
    wrong: Annotated[Sequence[str], Field(description="Numbers of the masks that are wrong.")] = ()
    reasons: Annotated[
        Sequence[str], Field(description="For each wrong mask, in the same order, why: a few words.")
    ] = ()
    missing: Annotated[
        Sequence[str], Field(description="Names of the classes of which some thing in the picture has no mask.")
    ] = ()
    places: Annotated[
        Sequence[str], Field(description="For each missing class, in the same order, what has no mask and where.")
    ] = ()


VERIFY = ToolSpec.from_model("verify_labels", VerifyLabels)


@dataclass(frozen=True, slots=True)
class Question:
    """Classes of one image with their candidates, as the judge is asked about them in one call."""

    classes: tuple[LabelClass, ...]
    labels: tuple[Label, ...]
    known: tuple[Label, ...] = ()
    """Labels of these classes by a person or a file."""

    @property
    def words(self) -> str:
        """Text beside the pictures."""
        lines = ["classes:", *(f"  {_meaning(each)}" for each in self.classes), "masks:"]
        lines += [f"  m{number} {_facts(label)}" for number, label in enumerate(self.labels, 1)] or ["  none"]
        lines += [f"  older label: {_facts(label)}" for label in self.known]
        return "\n".join(lines)

    @property
    def unit(self) -> str:
        """Name this question as a unit of work: the same only for the same words and masks."""
        said = [read_prompt("verify_labels").id, self.words, *(f"{x.id} {x.rle.counts}" for x in self.labels)]
        return f"judge {hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]}"


@dataclass(frozen=True, slots=True)
class Judgment:
    """Answer of the judge to one question."""

    verdicts: dict[str, tuple[Verdict, str]]
    """By label id; "unsure" where it said nothing, or both."""
    missing: dict[str, str]
    """By class: the object without a mask, and its place."""
    usd: float = 0.0
    error: str = ""
    """Reason that there is no answer; then nothing is known of any mask or class."""

    def to_json(self) -> dict[str, Any]:
        """Give it in plain values."""
        return {"verdicts": self.verdicts, "missing": self.missing, "usd": self.usd}

    @classmethod
    def read(cls, document: bytes) -> "Judgment":
        """Read what `to_json` gave, as JSON; raises InputError where the journal of a stranger holds something else."""
        try:
            given = _Kept.model_validate_json(document)
        except ValueError as error:
            raise InputError(f"the journal holds a damaged judgment ({' '.join(str(error).split())[:200]})") from error
        return cls(given.verdicts, given.missing, given.usd)


class _Kept(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)
    verdicts: dict[str, tuple[Verdict, str]]
    missing: dict[str, str]
    usd: float


def questions_of(classes: Sequence[LabelClass], labels: Sequence[Label], known: Sequence[Label]) -> list[Question]:
    """Put every class into exactly one question, whole, of at most SHEET masks where it has not more by itself."""
    groups: list[tuple[list[LabelClass], list[Label]]] = []
    for each in classes:
        mine = [label for label in labels if label.class_name == each.name and label.route != "rejected"]
        if not groups or len(groups[-1][1]) + len(mine) > SHEET:
            groups.append(([], []))
        groups[-1][0].append(each)
        groups[-1][1].extend(mine)
    return [
        Question(tuple(some), tuple(mine), tuple(k for k in known if k.class_name in {each.name for each in some}))
        for some, mine in groups
    ]


def judge(llm: LLM, pixels: NDArray[np.uint8], question: Question) -> Judgment:
    """Ask about the masks and classes of one question; pixels (H, W, 3). Whatever the LLM does, this answers."""
    spent: list[float] = []

    def ask(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        done = attempt(lambda: llm.reply(messages, tools))
        if isinstance(done, Failure):
            raise LLMError(done.message)
        spent.append(done.value.usd)
        return done.value

    system = Message("system", read_prompt("verify_labels").text)
    answer = force_call(ask, (system, Message("user", question.words, tuple(_pictures(pixels, question)))), VERIFY)
    usd = round(sum(spent), 6)
    if isinstance(answer, str):
        return Judgment({}, {}, usd, answer or "no answer")
    return read_judgment(question, answer.model_dump(), usd)


def read_judgment(question: Question, fields: dict[str, Any], usd: float = 0.0) -> Judgment:
    """Read the judgment in the arguments of a call; numbers that were not asked about count for nothing.

    A class that is called missing under a name that nobody knows makes every class of the question unsure.
    """
    right, wrong = ({_number(name) for name in fields[key]} for key in ("right", "wrong"))
    why = {_number(name): text for name, text in _paired(fields["wrong"], fields["reasons"])}
    verdicts: dict[str, tuple[Verdict, str]] = {}
    for number, label in enumerate(question.labels, 1):
        name = f"m{number}"
        if (name in right) == (name in wrong):
            said = "calls it right and wrong" if name in right else "says nothing about it"
            verdicts[label.id] = ("unsure", said)
        else:
            verdicts[label.id] = ("right", "") if name in right else ("wrong", why[name] or "no reason given")
    missing: dict[str, str] = {}
    names = {fold(each.name): each.name for each in question.classes}
    for given, place in _paired(fields["missing"], fields["places"]):
        known = names.get(fold(given))
        if fold(given) in ("", "none", "nothing"):
            continue
        text = place or "somewhere"
        for name in [known] if known is not None else names.values():
            missing[name] = text if known is not None else f"{given}: {text}"
    return Judgment(verdicts, missing, usd)


def _paired(names: Sequence[Any], texts: Sequence[Any]) -> list[tuple[str, str]]:
    """Pair each name with the text at its place, "" where there is none."""
    padded = [*(" ".join(str(text).split()) for text in texts), *[""] * len(names)]
    return [(str(name), text) for name, text in zip(names, padded, strict=False)]


def _number(given: Any) -> str:
    """Read the number of a mask as it was written for the judge, from "M3", "3" or "m3 car"."""
    first = str(given).strip().lower().split(" ")[0].rstrip(":,")
    return f"m{first}" if first.isdigit() else first


def _meaning(each: LabelClass) -> str:
    """Write the meaning of a class, such as: "fruit": apple, pear; not: ball."""
    words = [phrase for phrase in each.phrases if fold(phrase) != fold(each.name)]
    meaning = "; ".join([*([", ".join(words)] if words else []), *([each.query] if each.query else [])])
    against = f"; not: {', '.join(each.negatives)}" if each.negatives else ""
    return f'"{each.name}"{": " if meaning else ""}{meaning}{against}'


def _facts(label: Label) -> str:
    x0, y0, x1, y1 = label.box
    return f'"{label.class_name}", score {label.score:.2f}, box {x0:.0f},{y0:.0f},{x1:.0f},{y1:.0f}'


def _pictures(pixels: NDArray[np.uint8], question: Question) -> list[Picture]:
    """Draw the whole image with numbered outlines, and contact sheets of SHEET masks each."""
    marks = [Mark(f"m{number}", label.rle, label.box) for number, label in enumerate(question.labels, 1)]
    old = [Mark(label.class_name[:_NAME], label.rle, label.box, dashed=True) for label in question.known]
    whole = draw_picture(pixels, [*marks, *old], style="marks" if marks or old else "plain")
    cells = [
        Mark(f"{mark.label} {label.class_name[:_NAME]}", mark.rle, mark.box)
        for mark, label in zip(marks, question.labels, strict=True)
    ]
    sheets = [cells[start : start + SHEET] for start in range(0, len(cells), SHEET)]
    return [whole, *(draw_picture(pixels, sheet, style="contact_sheet") for sheet in sheets)]


def with_judgment(
    labels: Sequence[Label], question: Question, judgment: Judgment, name: str, thresholds: Mapping[str, Thresholds]
) -> list[Label]:
    """Route the labels of the question anew by the judgment, each with its share of the price; gives all labels.

    Where there is no answer, every label that was asked about is for a person to see.
    """
    asked = {label.id for label in question.labels}
    share = round(judgment.usd / len(asked), 6) if asked else 0.0
    done: list[Label] = []
    for label in labels:
        if label.id not in asked:
            done.append(label)
            continue
        unsaid = f"gave no answer ({judgment.error})" if judgment.error else "says nothing about it"
        verdict, said = judgment.verdicts.get(label.id, ("unsure", unsaid))
        evidence = replace(label.evidence, judged=verdict, note=said, judge=name)
        judged = replace(label, evidence=evidence, usd=round(label.usd + share, 6))
        done.append(verified(judged, thresholds[label.class_name]))
    return done


def with_completeness(
    checks: Sequence[Check], question: Question, judgment: Judgment, labels: Sequence[Label]
) -> list[Check]:
    """Renew the checks of the question's classes by what the judge says is missing; gives all checks of the image."""
    asked = {each.name for each in question.classes}
    alive = {label.class_name for label in (*labels, *question.known) if label.route != "rejected"}
    return [
        _judged(check, judgment, alive) if check.class_name in asked and check.decided_by != "agent" else check
        for check in checks
    ]


def _judged(check: Check, judgment: Judgment, alive: Set[str]) -> Check:
    if judgment.error:
        return _by_judge(check, "unknown", f"the judge gave no answer ({judgment.error})")
    if check.class_name in judgment.missing:
        return _by_judge(check, "missing", f"the judge says missing: {judgment.missing[check.class_name]}")
    if check.class_name in alive:
        return _by_judge(check, "complete", "the judge: all of it is labeled")
    return _by_judge(check, "absent", "the judge: not there")


def _by_judge(check: Check, completeness: Completeness, reason: str) -> Check:
    sure = completeness in ("complete", "absent")
    verdict, route = ("right", "accepted") if sure else ("unsure", "review")
    return replace(check, verdict=verdict, route=route, reason=reason, decided_by="judge", completeness=completeness)
