"""Ontologies as YAML files, checked so that every complaint names a line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import pydantic
import yaml

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import decode_text
from sam3_agent.formats.yaml_document import compose_yaml, scalar_value
from sam3_agent.labeling.ontology.ontology import (
    AttributeValue,
    ExampleSource,
    LabelClass,
    Ontology,
    OverlapPolicy,
    Strictness,
    check_length,
    distinct,
)

Location = tuple[str | int, ...]
MOST_BYTES = 2_000_000
MOST_ENTRIES = 200_000
"""Keys, values and list items, counted wherever an alias puts them."""

_Text = Annotated[str, pydantic.Field(min_length=1, max_length=300, pattern=r"\S")]
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class _Exemplar(_Strict):
    image: _Text
    box: Annotated[list[float], pydantic.Field(min_length=4, max_length=4)] | None = None
    mask: _Text | dict[str, Any] | None = None
    positive: bool = True


class _Class(_Strict):
    name: _Text
    phrases: list[_Text] = []
    negatives: list[_Text] = []
    query: _Text | None = None
    exemplars: list[_Exemplar] = []
    threshold: _Share | None = None
    review: _Share | None = None
    accept: _Share | None = None
    overlap: OverlapPolicy | None = None
    attributes: dict[str, AttributeValue | list[_Text]] = {}


class _File(_Strict):
    classes: Annotated[list[_Class], pydantic.Field(min_length=1)]
    overlap: OverlapPolicy | None = None
    threshold: _Share | None = None
    review: _Share | None = None
    accept: _Share | None = None


def read_ontology(path: Path) -> Ontology:
    """Read and check a concept file; paths in it are relative to its folder.

    Raises:
        InputError: it cannot be read, is no YAML or does not fit; the message is "FILE:LINE: what is wrong".
    """
    return parse_ontology(read_text(path), path)


def read_text(path: Path) -> str:
    """Read the text of a concept file: UTF-8, or what its byte order mark says.

    Raises:
        InputError: it cannot be read; the message names the line where there is one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the concept file '{path}': {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: {len(data)} bytes are too many for a concept file")
    try:
        return decode_text(data, path)
    except InputError as error:
        cause = error.__cause__
        before = data[: cause.start] if isinstance(cause, UnicodeDecodeError) else b""
        line = before.count(b"\n") + 1
        raise InputError(f"{path}:{line}: {str(error).removeprefix(f'{path}: ')}; save it as UTF-8") from error


def parse_ontology(text: str, path: Path) -> Ontology:
    """The ontology in a text; `path` is named in complaints, and exemplars are relative to its folder."""
    document, lines = _load(text, path)
    try:
        parsed = _File.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            _complaint(path, lines, first["loc"], _words(first["type"], first["msg"], first["loc"]))
        ) from error
    classes = [_build(each, parsed, path, lines, number) for number, each in enumerate(parsed.classes)]
    for count in range(1, len(classes) + 1):  # one by one, so that the complaint names the class that is too much
        try:
            ontology = Ontology(tuple(classes[:count]))
        except InputError as error:
            raise InputError(_complaint(path, lines, ("classes", count - 1), str(error))) from error
    return ontology  # pyright: ignore[reportPossiblyUnboundVariable] - there is at least one class


def _build(each: _Class, file: _File, path: Path, lines: Mapping[Location, int], number: int) -> LabelClass:
    place: Location = ("classes", number)
    try:
        for where, phrase in _phrases(each, number):
            place = where
            check_length(phrase)
        exemplars: list[ExampleSource] = []
        for index, exemplar in enumerate(each.exemplars):
            place = ("classes", number, "exemplars", index)
            exemplars.append(_exemplar(exemplar, path.parent))
        place = ("classes", number)
        alone = not (each.phrases or each.query or each.exemplars)
        return LabelClass(
            name=each.name,
            phrases=distinct([each.name] if alone else each.phrases),
            negatives=distinct(each.negatives),
            query=" ".join(each.query.split()) if each.query else None,
            exemplars=tuple(exemplars),
            strictness=_strictness(each, file),
            overlap=each.overlap or file.overlap or ("keep" if each.query else "best"),
            attributes={k: v for k, v in each.attributes.items() if not isinstance(v, list)},
            choices={k: tuple(v) for k, v in each.attributes.items() if isinstance(v, list)},
            place=f"{path}:{lines.get(('classes', number), 1)}",
        )
    except InputError as error:
        raise InputError(_complaint(path, lines, place, str(error))) from error


def _phrases(each: _Class, number: int) -> Iterator[tuple[Location, str]]:
    """Every phrase that is asked for a class, and where it stands."""
    here: Location = ("classes", number)
    if not (each.phrases or each.query or each.exemplars):
        yield (*here, "name"), each.name
    for key, listed in (("phrases", each.phrases), ("negatives", each.negatives)):
        yield from (((*here, key, index), phrase) for index, phrase in enumerate(listed))
    noun = each.phrases[0] if each.phrases else each.name
    for key, value in each.attributes.items():
        if isinstance(value, list):
            yield from (((*here, "attributes", key, index), f"{one} {noun}") for index, one in enumerate(value))


def _strictness(each: _Class, file: _File) -> Strictness:
    """The class's own lines, the file's where it has none, else the defaults; a `threshold` alone moves `review`."""
    given = {name: getattr(each, name) for name in ("threshold", "review", "accept")}
    given = {name: getattr(file, name) if value is None else value for name, value in given.items()}
    chosen = {name: value for name, value in given.items() if value is not None}
    accept = chosen.get("accept", max(Strictness().accept, chosen.get("review", 0.0)))
    review = chosen.get("review", min(chosen.get("threshold", Strictness().review), accept))
    return Strictness(chosen.get("threshold", Strictness().threshold), review, accept)


def _exemplar(given: _Exemplar, folder: Path) -> ExampleSource:
    box = cast(masks.Box, tuple(given.box)) if given.box is not None else None
    mask = masks.from_json(given.mask) if isinstance(given.mask, dict) else given.mask
    for name in (given.image, mask):
        if isinstance(name, str) and ("\0" in name or not (folder / name).is_file()):
            raise InputError(f"there is no image {folder / name}")
    return ExampleSource(
        folder / given.image, box, folder / mask if isinstance(mask, str) else mask, positive=given.positive
    )


def _load(text: str, path: Path) -> tuple[object, dict[Location, int]]:
    """The document in plain values, and the line (from 1) of everything in it."""
    lines: dict[Location, int] = {}
    try:
        node = compose_yaml(text)
        if node is None:
            raise InputError(f"{path}:1: the file is empty; it needs 'classes:' with a list of classes")
        return _plain(node, (), lines, path), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1  # a character that YAML does not allow
        raise InputError(f"{path}:{line}: not YAML: {' '.join(str(error).split())[:200]}") from error
    except RecursionError as error:
        raise InputError(f"{path}:1: nested too deeply") from error


def _plain(node: yaml.Node, place: Location, lines: dict[Location, int], path: Path) -> object:
    line = node.start_mark.line + 1
    lines[place] = line
    if len(place) > 8:
        raise InputError(f"{path}:{line}: nested too deeply")
    if len(lines) > MOST_ENTRIES:  # a few lines of aliases to aliases stand for billions
        raise InputError(f"{path}:{line}: more than {MOST_ENTRIES} entries; are there aliases of aliases?")
    if isinstance(node, yaml.SequenceNode):
        items = cast(list[yaml.Node], node.value)
        return [_plain(item, (*place, index), lines, path) for index, item in enumerate(items)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, path, line)
    values: dict[object, object] = {}
    for key_node, value_node in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
        key_line = key_node.start_mark.line + 1
        key = _scalar(key_node, path, key_line) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise InputError(f"{path}:{key_line}: a key must be a word, got {getattr(key_node, 'value', '?')!r:.60}")
        if key in values:
            raise InputError(f"{path}:{key_line}: {key!r} is given twice")
        values[key] = _plain(value_node, (*place, key), lines, path)
        lines[(*place, key)] = key_line
    return values


def _scalar(node: yaml.Node, path: Path, line: int) -> object:
    try:
        return scalar_value(node)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}:{line}: cannot read {node.value!r}: {error}") from error


def _words(kind: str, message: str, place: Location) -> str:
    """What pydantic says, in the words of the file."""
    if kind == "missing":
        return f"{place[-1]!r} is missing"
    if kind == "model_type":
        return "expected keys with values, such as 'classes:' with a list of classes"
    if kind != "extra_forbidden":
        return message
    model = _Exemplar if "exemplars" in place else _Class if len(place) > 1 else _File
    return f"unknown key; known here: {', '.join(model.model_fields)}"


def _complaint(path: Path, lines: Mapping[Location, int], place: Location, message: str) -> str:
    """FILE:LINE: PLACE: message, the line being that of the innermost known part of the place."""
    known = place
    while known and known not in lines:
        known = known[:-1]
    where = ".".join(str(part) for part in known)
    extra = next((str(part) for part in place[len(known) :] if isinstance(part, str)), "")
    field = f"{where}: " if where else f"{extra}: " if extra else ""
    return f"{path}:{lines.get(known, 1)}: {field}{message}"
