"""Documents of a journal: labels, checks and image rows in plain values, checked when they are read.

A run folder may come from a stranger, and SQLite keeps whatever it is given. So nothing of a journal becomes a value of
this program unchecked: numbers are finite, masks fit, and paths stay inside the folder of images. Names that earlier
versions wrote ("rival", "doubt", checks as lists, no `decided_by`) are read as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar, cast

import pydantic
from pydantic import AfterValidator, AliasChoices, Field

from sam3_agent.errors import InputError
from sam3_agent.formats.reading import parse_json
from sam3_agent.labeling.ontology.ontology import AttributeValue
from sam3_agent.labeling.store.label import (
    IMPORT,
    Check,
    Completeness,
    DecidedBy,
    Evidence,
    Label,
    Relation,
    Route,
    Source,
    Support,
    Verdict,
)
from sam3_agent.masks import from_json

State = Literal["pending", "done", "duplicate", "unreadable"]
MOST_SIDE = 1_000_000
"""Pixels; a hundred times the side of any image that can be opened, so only nonsense is over it."""
MOST_TEXT = 100_000
"""Characters of a reason or note: an LLM's whole reply fits, a disk full of them does not."""

_T = TypeVar("_T")
_OLD_CHECK = ("sha", "class", "presence", "verdict", "reason", "route", "reviewer")
"""Items of a check that is a list."""
_Text = Annotated[str, Field(max_length=MOST_TEXT)]
_Name = Annotated[str, Field(min_length=1, max_length=1000)]
_Sha = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")]


def relative_path(path: str) -> str:
    """Return a path from a journal if it stays inside of whatever folder it is joined to.

    The one guard for all that is read and written by such paths: images that are shown, copied, and files that are
    named after them.

    Raises:
        InputError: it is absolute, not normalized, or leaves the folder.
    """
    pure = PurePosixPath(path)
    if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == ".":
        raise InputError(f"{path!r:.120} is no path inside of the folder of images")
    return path


def _inside(path: str) -> str:
    try:
        return relative_path(path)
    except InputError as error:
        raise ValueError(str(error)) from error  # the only kind that pydantic takes for a complaint


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Row of one file of a run."""

    path: str
    """Relative to the folder of images, with forward slashes."""
    sha: str
    """SHA-256 of the file; "" where it could not be read."""
    bytes: int
    mtime: int
    """Nanoseconds."""
    state: State
    reason: str = ""
    """Reason why it is unreadable, or the file it is a duplicate of."""
    width: int = 0
    height: int = 0
    dhash: str = ""
    """16 hex digits of a difference hash: near duplicates differ in few bits."""
    seconds: float = 0.0


class _Checked(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False, extra="ignore")


class _ImageRow(_Checked):
    path: Annotated[_Name, AfterValidator(_inside)]
    sha: _Sha
    bytes: Annotated[int, Field(ge=0)]
    mtime: int
    state: State
    reason: _Text
    width: Annotated[int, Field(ge=0, le=MOST_SIDE)]
    height: Annotated[int, Field(ge=0, le=MOST_SIDE)]
    dhash: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")]
    seconds: Annotated[float, Field(ge=0)]


class _Evidence(_Checked):
    asked: Annotated[int, Field(ge=0)]
    supports: list[tuple[_Text, float, Relation]]
    competing_label: Annotated[_Text, Field(validation_alias=AliasChoices("competing_label", "rival"))] = ""
    competing_score: Annotated[float, Field(validation_alias=AliasChoices("competing_score", "rival_score"))] = 0.0
    outcome: _Text = ""
    note: _Text = ""
    judged: Verdict | Literal[""] = ""
    judge: _Text = ""
    uncertain_class: Annotated[_Text, Field(validation_alias=AliasChoices("uncertain_class", "doubtful"))] = ""
    uncertainty: Annotated[float, Field(validation_alias=AliasChoices("uncertainty", "doubt"))] = 0.0


class _Label(_Checked):
    id: _Name
    sha: _Sha
    class_name: Annotated[_Name, Field(alias="class")]
    mask: dict[str, Any]
    box: tuple[float, float, float, float]
    score: float
    object_score: float
    presence: float
    source: Source
    phrase: _Text
    evidence: _Evidence
    attributes: dict[str, AttributeValue]
    quality: float
    verdict: Verdict
    reason: _Text
    route: Route
    decided_by: DecidedBy | None = None
    reviewer: _Text
    repeats: _Text | None = None
    proposed_class: _Text
    model: _Text
    usd: float


class _Check(_Checked):
    sha: _Sha
    class_name: Annotated[_Name, Field(alias="class")]
    presence: float
    verdict: Verdict
    reason: _Text
    route: Route
    reviewer: _Text = ""
    decided_by: DecidedBy | None = None
    completeness: Completeness | None = None


def image_row(values: Sequence[Any]) -> ImageRow:
    """Read a row of the table of images, columns in the order of `ImageRow`.

    Raises:
        InputError: it says what no image can be; the message names it.
    """
    named = dict(zip(_ImageRow.model_fields, values, strict=True))
    return ImageRow(**_read(lambda: _ImageRow.model_validate(named), f"image {named['path']!r:.120}").__dict__)


def label_json(label: Label) -> dict[str, Any]:
    """Write a label in plain values; `label_of` reads it back."""
    return {
        "id": label.id,
        "sha": label.sha,
        "class": label.class_name,
        "mask": label.rle.to_json(),
        "box": [round(v, 3) for v in label.box],
        "score": label.score,
        "object_score": label.object_score,
        "presence": label.presence,
        "source": label.source,
        "phrase": label.phrase,
        "evidence": _evidence_json(label.evidence),
        "attributes": dict(label.attributes),
        "quality": label.quality,
        "verdict": label.verdict,
        "reason": label.reason,
        "route": label.route,
        "decided_by": label.decided_by,
        "reviewer": label.reviewer,
        "repeats": label.repeats,
        "proposed_class": label.proposed_class,
        "model": label.model,
        "usd": label.usd,
    }


def label_of(value: object) -> Label:
    """Read what `label_json` wrote, now or in an earlier version; raises InputError where it is no label."""
    return _label(_read(lambda: _Label.model_validate(value), f"label {_id_in(value)}"))


def read_label(text: str, label_id: str = "") -> Label:
    """Read the document of a row; raises InputError where it is no label."""
    return _label(_read(lambda: _Label.model_validate_json(text), f"label {label_id!r:.80}"))


def check_json(check: Check) -> dict[str, Any]:
    """Write a check in plain values; `read_check` reads it back from JSON."""
    return {
        "sha": check.sha,
        "class": check.class_name,
        "presence": check.presence,
        "verdict": check.verdict,
        "reason": check.reason,
        "route": check.route,
        "reviewer": check.reviewer,
        "decided_by": check.decided_by,
        "completeness": check.completeness,
    }


def read_check(text: str) -> Check:
    """Read the document of a row, or the list that earlier versions wrote; raises InputError where it is neither."""
    value: Any = parse_json(text, "the journal holds a damaged check", finite=True)
    if isinstance(value, list):
        value = dict(zip(_OLD_CHECK, cast(list[object], value), strict=False))
    given = _read(lambda: _Check.model_validate(value), f"check of {_id_in(value, 'class')}")
    decided, completeness = given.decided_by, given.completeness
    if decided is None or completeness is None:
        decided, completeness = _decided_before(given)
    return Check(
        given.sha,
        given.class_name,
        given.presence,
        given.verdict,
        given.reason,
        given.route,
        given.reviewer,
        decided,
        completeness,
    )


def image_values(image: ImageRow) -> tuple[Any, ...]:
    """Write the row of an image, columns in the order of its fields."""
    return astuple(image)


def _evidence_json(evidence: Evidence) -> dict[str, Any]:
    judged = {"judged": evidence.judged, "judge": evidence.judge} if evidence.judged else {}
    uncertain = {"uncertain_class": evidence.uncertain_class, "uncertainty": evidence.uncertainty}
    return {
        "asked": evidence.asked,
        "supports": [[s.phrase, round(s.score, 4), s.relation] for s in evidence.supports],
        "competing_label": evidence.competing_label,
        "competing_score": round(evidence.competing_score, 4),
        "outcome": evidence.outcome,
        "note": evidence.note,
        **judged,
        **(uncertain if evidence.uncertain_class else {}),
    }


def _label(given: _Label) -> Label:
    supports = tuple(Support(*each) for each in given.evidence.supports)
    facts: dict[str, Any] = {**given.evidence.__dict__, "supports": supports}
    evidence = Evidence(**facts)
    source, repeats, decided = given.source, given.repeats, given.decided_by
    if decided is None:
        source, repeats, decided = _settled_before(given, evidence)
    try:
        rle = from_json(given.mask)
    except InputError as error:
        raise InputError(f"the journal holds a damaged label {given.id}: {error}") from error
    others = given.model_dump(exclude={"mask", "evidence", "source", "decided_by", "repeats"})
    return Label(**others, rle=rle, source=source, evidence=evidence, decided_by=decided, repeats=repeats or "")


# What labels and checks of earlier versions said by their words and ids alone. Only documents without `decided_by` come
# here, and the words are those that these versions wrote: they never change.
_REPEATS = ("labelled already as ", "labeled already as ")
_JUDGE = "the judge"
_AGENT = "the agent's"


def _settled_before(given: _Label, evidence: Evidence) -> tuple[Source, str, DecidedBy]:
    """Tell source, repeated label and who decided, of a label that does not say."""
    repeats = next((given.reason.removeprefix(words) for words in _REPEATS if given.reason.startswith(words)), "")
    similar = ".h" in given.id and given.source == "exemplar"
    source: Source = "similar" if similar else given.source
    if given.reviewer:
        return source, repeats, "file" if given.reviewer == IMPORT else "person"
    if evidence.judged and given.reason.startswith(_JUDGE):
        return source, repeats, "judge"
    return source, repeats, "agent" if given.reason.startswith(_AGENT) else "rule"


def _decided_before(given: _Check) -> tuple[DecidedBy, Completeness]:
    """Tell who decided, and what the judge said, of a check that does not say."""
    reason = given.reason
    if given.reviewer:
        return "person", ""
    if reason.startswith(_AGENT):
        return "agent", ""
    if not reason.startswith(_JUDGE):
        return "rule", ""
    if "was not heard" in reason:
        return "judge", "unknown"
    if "says missing" in reason:
        return "judge", "missing"
    return "judge", "absent" if reason.endswith("not there") else "complete"


def _read(parse: Callable[[], _T], what: str) -> _T:
    """Turn the first complaint of pydantic into one line."""
    try:
        return parse()
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"the journal holds a damaged {what}: {f'{place}: ' if place else ''}{first['msg']:.200}; "
            "label those images into a new folder"
        ) from error


def _id_in(value: object, key: str = "id") -> str:
    return f"{cast(Mapping[str, object], value).get(key)!r:.80}" if isinstance(value, Mapping) else "without id"
