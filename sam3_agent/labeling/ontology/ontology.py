"""Ontology: classes to label, the words and examples that find each, and their thresholds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle, from_json
from sam3_agent.types import Concept

OverlapPolicy = Literal["best", "keep"]
"""Of labels of two classes on the same pixels: the better one stays, or all do."""
AttributeValue = str | int | float | bool
RESERVED_NAMES = ("background", "void", "_background_", "__ignore__")
"""Names that formats give a meaning of their own."""
MOST_NAME = 80
"""Characters of a class name: file names in some formats hold it, and have 255 bytes."""
MOST_TOKENS = 30
"""Of a phrase: SAM 3's text encoder takes 32, with a start and an end."""
_PIECE = re.compile(r"[^\W\d_]+|\d|[^\s\w]+|_+")


@dataclass(frozen=True, slots=True)
class ExampleSource:
    """Box or mask on some image that shows a class, or what it must not be."""

    image: Path
    box: Box | None = None
    mask: Path | Rle | None = None
    """An image whose pixels that are not black are the object, or a COCO RLE."""
    positive: bool = True

    def __post_init__(self) -> None:
        if (self.box is None) == (self.mask is None):
            raise InputError("an exemplar needs a box or a mask, and not both")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of the score rule for one class, all 0-1 with `review <= accept`.

    The defaults were chosen on procedural scenes; docs/labeling.md measures on others what they accept.
    """

    threshold: float = 0.35
    """Proposals that score less are rejected, whatever else speaks for them."""
    review: float = 0.35
    """Least quality of a label that a person should see."""
    accept: float = 0.75
    """Least quality of a label that is accepted without a person."""

    def __post_init__(self) -> None:
        for name in ("threshold", "review", "accept"):
            value: object = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{name} must be a number from 0 to 1, got {value!r:.40}")
        if self.review > self.accept:
            raise InputError(f"review ({self.review}) must not be over accept ({self.accept})")


@dataclass(frozen=True, slots=True)
class LabelClass:
    """Class of labels."""

    name: str
    phrases: tuple[str, ...] = ()
    """Noun phrases that each mean the class; what any of them finds is proposed."""
    negatives: tuple[str, ...] = ()
    """Phrases for what is easily mistaken for it and must not be labeled."""
    query: str | None = None
    """A sentence for what only the agent can find."""
    exemplars: tuple[ExampleSource, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    overlap: OverlapPolicy = "best"
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    """Written on every label of the class."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Attributes that the model decides label by label: name -> values, each asked as "VALUE PHRASE"."""
    taught: Concept | None = field(default=None, compare=False)
    """Version of the class that was learned from people's decisions; it is asked in place of phrases and exemplars."""

    place: str = field(default="", compare=False)
    """File and line where it is defined, for complaints that come later."""

    def __post_init__(self) -> None:
        name = self.name
        if not name.strip() or name != name.strip() or len(name) > MOST_NAME or not name.isprintable():
            raise InputError(
                f"a class name is 1 to {MOST_NAME} printable characters without outer spaces, got {name!r}"
            )
        if name.lower() in RESERVED_NAMES:
            raise InputError(f"the class name {name!r} means something else in label formats; choose another one")
        if not (self.phrases or self.query or self.exemplars):
            raise InputError(f"class {name!r} has neither phrases nor a query nor exemplars")
        both = {fold(p) for p in self.phrases} & {fold(p) for p in self.negatives}
        if both:
            raise InputError(f"class {name!r}: {sorted(both)[0]!r} is among its phrases and its negatives")


@dataclass(frozen=True, slots=True)
class Ontology:
    """All classes of a labeling run, in the order of the file; the number of a class in formats is its place."""

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise InputError("there are no classes; give at least one with a name")
        for _, conflict in conflicts(self.classes):
            raise InputError(conflict)

    @property
    def names(self) -> tuple[str, ...]:
        """List the class names in order."""
        return tuple(each.name for each in self.classes)

    def named(self, name: str) -> LabelClass:
        """Find a class by its name; raises InputError where there is none."""
        for each in self.classes:
            if each.name == name:
                return each
        raise InputError(f"unknown class {name!r}; known: {', '.join(self.names)}")

    def to_json(self) -> dict[str, Any]:
        """Give everything that a run depends on, in plain values; equal for equal ontologies."""
        return {"classes": [_class_json(each) for each in self.classes]}


def named_classes(phrases: Sequence[str]) -> Ontology:
    """Make an ontology of phrases, each a class of that name with the usual thresholds.

    Raises:
        InputError: one is empty, too long, or given twice.
    """
    names = [" ".join(phrase.split()) for phrase in phrases]
    for name in names:
        check_length(name)
    return Ontology(tuple(LabelClass(name, (name,)) for name in names))


def conflicts(classes: Sequence[LabelClass]) -> Iterator[tuple[int, str]]:
    """Find names and phrases that two classes share; gives the place of the second class, and what is wrong."""
    owners: dict[str, str] = {}
    told: set[int] = set()
    for place, each in enumerate(classes):
        for kind, words in (("name", [each.name]), ("phrase", each.phrases)):
            for word in words:
                key = f"{kind} {fold(word)}"
                if key in owners and place not in told:  # one complaint a class: its phrase is often its name
                    told.add(place)
                    yield place, f"the {kind} {word!r} belongs to class {owners[key]!r} and to {each.name!r}"
                owners.setdefault(key, each.name)


def fold(phrase: str) -> str:
    """Fold a phrase as the model compares it: case and spaces say nothing."""
    return " ".join(phrase.lower().split())


def attribute_phrases(each: LabelClass) -> list[tuple[str, str, str]]:
    """List (attribute, value, phrase to ask) of every choice of a class; nothing where it has no phrase of its own."""
    noun = each.phrases[0] if each.phrases else None
    if noun is None:
        return []
    return [(name, value, f"{value} {noun}") for name, values in each.choices.items() for value in values]


def check_length(phrase: str) -> None:
    """Refuse a phrase that no SAM 3 can take, before a model is loaded.

    CLIP's tokenizer splits a text into runs of letters, single digits and runs of other signs before it splits these
    further (openai/CLIP simple_tokenizer.py), so there are at least as many tokens as such pieces.

    Raises:
        InputError: it is too long.
    """
    pieces = len(_PIECE.findall(phrase))
    if pieces > MOST_TOKENS:
        raise InputError(f"the phrase is too long: {pieces} words and signs, at most {MOST_TOKENS} tokens fit")


def distinct(phrases: Sequence[str]) -> tuple[str, ...]:
    """List the phrases in order, each once."""
    return tuple({fold(phrase): " ".join(phrase.split()) for phrase in phrases}.values())


def _class_json(each: LabelClass) -> dict[str, Any]:
    strict = each.thresholds
    return {
        "name": each.name,
        "phrases": list(each.phrases),
        "negatives": list(each.negatives),
        "query": each.query,
        "exemplars": [
            {
                "image": str(e.image),
                "box": list(e.box) if e.box else None,
                "mask": e.mask.to_json() if isinstance(e.mask, Rle) else str(e.mask) if e.mask else None,
                "positive": e.positive,
            }
            for e in each.exemplars
        ],
        "threshold": strict.threshold,
        "review": strict.review,
        "accept": strict.accept,
        "overlap": each.overlap,
        "attributes": dict(each.attributes),
        "choices": {name: list(values) for name, values in each.choices.items()},
    }


class _Kept(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False)


class _KeptExemplar(_Kept):
    image: Annotated[str, pydantic.Field(min_length=1, pattern=r"^[^\x00]*$")]
    box: tuple[float, float, float, float] | None = None
    mask: Annotated[str, pydantic.Field(pattern=r"^[^\x00]*$")] | dict[str, Any] | None = None
    positive: bool = True


class _KeptClass(_Kept):
    name: str
    phrases: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    query: str | None = None
    exemplars: tuple[_KeptExemplar, ...] = ()
    threshold: float
    review: float
    accept: float
    overlap: OverlapPolicy = "best"
    attributes: dict[str, AttributeValue] = {}
    choices: dict[str, tuple[str, ...]] = {}


class _KeptOntology(_Kept):
    classes: Annotated[tuple[_KeptClass, ...], pydantic.Field(min_length=1)]


def ontology_of(document: object) -> Ontology:
    """Read what `Ontology.to_json` gave; raises InputError where the journal of a stranger holds something else."""
    try:
        given = _KeptOntology.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"the classes of this run are damaged: {place}: {first['msg']:.200}") from error
    return Ontology(tuple(_class_of(each) for each in given.classes))


def _class_of(each: _KeptClass) -> LabelClass:
    exemplars = tuple(
        ExampleSource(
            Path(e.image),
            e.box,
            from_json(e.mask) if isinstance(e.mask, dict) else Path(e.mask) if e.mask else None,
            e.positive,
        )
        for e in each.exemplars
    )
    facts = {name: getattr(each, name) for name in ("name", "phrases", "negatives", "query", "overlap")}
    thresholds = Thresholds(each.threshold, each.review, each.accept)
    return LabelClass(
        **facts, exemplars=exemplars, thresholds=thresholds, attributes=each.attributes, choices=each.choices
    )
