"""Concept files: ontologies as YAML, checked so that every complaint names a line and all come at once."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, cast

import pydantic
import yaml

from sam3_agent import masks
from sam3_agent.errors import FileFaults, InputError
from sam3_agent.formats.reading import decode_text, read_bytes
from sam3_agent.formats.yaml_document import YamlTooLarge, compose_yaml, scalar_value
from sam3_agent.labeling.ontology.ontology import (
    AttributeValue,
    ExampleSource,
    LabelClass,
    Ontology,
    OverlapPolicy,
    Thresholds,
    check_length,
    conflicts,
    distinct,
)

Location = tuple[str | int, ...]
MOST_BYTES = 8_000_000
"""Of the file; a character of `yaml_document.MOST_CHARACTERS` has at most 4 bytes in UTF-8."""
MOST_DEPTH = 8
"""Mappings and lists in one another; the deepest that a concept file needs is 6, the runs of an exemplar's mask."""
MOST_COMPLAINTS = 20
"""Said at once; whoever has more has one fault many times over."""

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
    classes: Annotated[list[Any], pydantic.Field(min_length=1)]
    """Each is read as a `_Class` of its own, so that one that is wrong hides no complaint about another."""
    overlap: OverlapPolicy | None = None
    threshold: _Share | None = None
    review: _Share | None = None
    accept: _Share | None = None


class _Complaints:
    """Complaints about one file, each with its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        """The line (from 1) of everything in the document."""
        self.misread: set[Location] = set()
        """Mappings of which a key could not be read, so that what they seem to lack may be there."""
        self._found: list[tuple[int, str]] = []

    def add(self, place: Location, message: str) -> None:
        """Note what is wrong with what stands at a place of the document."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        where = ".".join(str(part) for part in known)
        extra = next((str(part) for part in place[len(known) :] if isinstance(part, str)), "")
        field = f"{where}: " if where else f"{extra}: " if extra else ""
        self.add_line(self.lines.get(known, 1), f"{field}{message}")

    def add_line(self, line: int, message: str) -> None:
        """Note what is wrong in a line."""
        self._found.append((line, message))

    def add_all(self, error: pydantic.ValidationError, place: Location = ()) -> None:
        """Note everything that pydantic found wrong below a place."""
        found = [((*place, *e["loc"]), e) for e in error.errors(include_url=False, include_input=False)]
        meant = {(*at[:-1], _meant(at)) for at, each in found if each["type"] == "extra_forbidden"}
        for at, each in found:
            if each["type"] == "missing" and (at[:-1] in self.misread or at in meant):
                continue  # it is there, under a name that is complained about
            self.add(at, _words(each["type"], each["msg"], at))

    def raise_all(self) -> None:
        """Raise InputError if there is one, FileFaults if there are more; "FILE:LINE: what is wrong" each, in order."""
        if not self._found:
            return
        said = [f"{self.path}:{line}: {message}" for line, message in sorted(dict.fromkeys(self._found))]
        more = len(said) - MOST_COMPLAINTS
        if more > 0:
            said = [*said[:MOST_COMPLAINTS], f"{self.path}: and {more} more"]
        raise FileFaults(said) if len(said) > 1 else InputError(said[0])


def read_ontology(path: Path) -> Ontology:
    """Read and check a concept file; paths in it are relative to its folder.

    Raises:
        InputError: it cannot be read, is no YAML or does not fit; each line of the message is "FILE:LINE: what is
            wrong", all faults at once.
    """
    return parse_ontology(read_text(path), path, check_files=True)


def read_text(path: Path) -> str:
    """Read the text of a concept file: UTF-8, or what its byte order mark says.

    Raises:
        InputError: it cannot be read; the message names the line where there is one.
    """
    try:
        data = read_bytes(path, MOST_BYTES)
    except InputError as error:
        raise InputError(str(error).replace(f"cannot read {path}", f"cannot read the concept file '{path}'")) from error
    try:
        return decode_text(data, path)
    except InputError as error:
        cause = error.__cause__
        before = data[: cause.start] if isinstance(cause, UnicodeDecodeError) else b""
        line = before.count(b"\n") + 1
        raise InputError(f"{path}:{line}: {str(error).removeprefix(f'{path}: ')}; save it as UTF-8") from error


def parse_ontology(text: str, path: Path, *, check_files: bool = False) -> Ontology:
    """Read and check the text of a concept file.

    `path` is named in complaints, and exemplars are relative to its folder.

    Raises:
        InputError: see `read_ontology`; with `check_files` also where an exemplar's image is not there.
    """
    complaints = _Complaints(path)
    document = _load(text, complaints)
    try:
        file = _File.model_validate(document)
    except pydantic.ValidationError as error:
        complaints.add_all(error)
        given = cast(dict[str, Any], document).get("classes") if isinstance(document, dict) else None
        listed = cast(list[Any], given) if isinstance(given, list) else []
        file = _File.model_construct(classes=listed)  # without defaults for all: a class may still be wrong by itself
    built: list[tuple[int, LabelClass]] = []
    for number, entry in enumerate(file.classes):
        made = _build(entry, file, number, complaints, check_files=check_files)
        if made is not None:
            built.append((number, made))
    for index, conflict in conflicts([made for _, made in built]):
        complaints.add(("classes", built[index][0]), conflict)
    complaints.raise_all()
    return Ontology(tuple(made for _, made in built))


def _build(entry: Any, file: _File, number: int, complaints: _Complaints, *, check_files: bool) -> LabelClass | None:
    """Read one class; None where there is something to complain about, which is noted."""
    here: Location = ("classes", number)
    try:
        each = _Class.model_validate(entry)
    except pydantic.ValidationError as error:
        complaints.add_all(error, here)
        return None
    sound = True
    for place, phrase in _phrases(each, number):
        try:
            check_length(phrase)
        except InputError as error:
            complaints.add(place, str(error))
            sound = False
    exemplars: list[ExampleSource] = []
    for index, exemplar in enumerate(each.exemplars):
        try:
            exemplars.append(_exemplar(exemplar, complaints.path.parent, check_files=check_files))
        except InputError as error:
            complaints.add((*here, "exemplars", index), str(error))
            sound = False
    try:
        made = _label_class(each, file, exemplars, f"{complaints.path}:{complaints.lines.get(here, 1)}")
    except InputError as error:
        if sound:  # else it may only lack what was complained about
            complaints.add(here, str(error))
        return None
    return made if sound else None


def _label_class(each: _Class, file: _File, exemplars: Sequence[ExampleSource], place: str) -> LabelClass:
    alone = not (each.phrases or each.query or each.exemplars)
    return LabelClass(
        name=each.name,
        phrases=distinct([each.name] if alone else each.phrases),
        negatives=distinct(each.negatives),
        query=" ".join(each.query.split()) if each.query else None,
        exemplars=tuple(exemplars),
        thresholds=_thresholds(each, file),
        overlap=each.overlap or file.overlap or ("keep" if each.query else "best"),
        attributes={k: v for k, v in each.attributes.items() if not isinstance(v, list)},
        choices={k: tuple(v) for k, v in each.attributes.items() if isinstance(v, list)},
        place=place,
    )


def _phrases(each: _Class, number: int) -> Iterator[tuple[Location, str]]:
    """List every phrase that is asked for a class, and where it stands."""
    here: Location = ("classes", number)
    if not (each.phrases or each.query or each.exemplars):
        yield (*here, "name"), each.name
    for key, listed in (("phrases", each.phrases), ("negatives", each.negatives)):
        yield from (((*here, key, index), phrase) for index, phrase in enumerate(listed))
    noun = each.phrases[0] if each.phrases else each.name
    for key, value in each.attributes.items():
        if isinstance(value, list):
            yield from (((*here, "attributes", key, index), f"{one} {noun}") for index, one in enumerate(value))


def _thresholds(each: _Class, file: _File) -> Thresholds:
    """Choose the class's own thresholds, the file's, or the defaults; a `threshold` alone moves `review`."""
    given = {name: getattr(each, name) for name in ("threshold", "review", "accept")}
    given = {name: getattr(file, name) if value is None else value for name, value in given.items()}
    chosen = {name: value for name, value in given.items() if value is not None}
    accept = chosen.get("accept", max(Thresholds().accept, chosen.get("review", 0.0)))
    review = chosen.get("review", min(chosen.get("threshold", Thresholds().review), accept))
    return Thresholds(chosen.get("threshold", Thresholds().threshold), review, accept)


def _exemplar(given: _Exemplar, folder: Path, *, check_files: bool) -> ExampleSource:
    box = cast(masks.Box, tuple(given.box)) if given.box is not None else None
    mask = masks.from_json(given.mask) if isinstance(given.mask, dict) else given.mask
    for name in (given.image, mask) if check_files else ():
        if isinstance(name, str) and ("\0" in name or not (folder / name).is_file()):
            raise InputError(f"there is no image {folder / name}")
    return ExampleSource(
        folder / given.image, box, folder / mask if isinstance(mask, str) else mask, positive=given.positive
    )


def _load(text: str, complaints: _Complaints) -> object:
    """Read the document in plain values; the lines of everything in it are noted."""
    path = complaints.path
    try:
        node = compose_yaml(text)
    except YamlTooLarge as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: {error.problem}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1  # a character that YAML does not allow
        raise InputError(f"{path}:{line}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if node is None:
        raise InputError(f"{path}:1: the file is empty; it needs 'classes:' with a list of classes")
    return _plain(node, (), complaints)


def _plain(node: yaml.Node, place: Location, complaints: _Complaints) -> object:
    line = node.start_mark.line + 1
    complaints.lines[place] = line
    if len(place) > MOST_DEPTH:
        raise InputError(f"{complaints.path}:{line}: nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        items = cast(list[yaml.Node], node.value)
        return [_plain(item, (*place, index), complaints) for index, item in enumerate(items)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, complaints)
    values: dict[object, object] = {}
    for key_node, value_node in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
        key_line = key_node.start_mark.line + 1
        key = _scalar(key_node, complaints) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            given = f"{getattr(key_node, 'value', '?')!r:.60}"
            complaints.add_line(key_line, f"a key must be a word, got {given}")
            complaints.misread.add(place)
        elif key in values:
            complaints.add_line(key_line, f"{key!r} is given twice")
        else:
            values[key] = _plain(value_node, (*place, key), complaints)
            complaints.lines[(*place, key)] = key_line
    return values


def _scalar(node: yaml.Node, complaints: _Complaints) -> object:
    try:
        return scalar_value(node)
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        complaints.add_line(node.start_mark.line + 1, f"cannot read {node.value!r:.60}: {said}")
        return None


def _words(kind: str, message: str, place: Location) -> str:
    """Say what pydantic says in the words of the file."""
    last = "".join(str(part) for part in place[-1:])
    if kind == "missing":
        return f"{last!r} is missing"
    if kind == "model_type":
        return "expected keys with values, such as 'classes:' with a list of classes"
    if kind == "list_type" and place == ("classes",):
        return "expected a list of classes, each beginning with '- name: ...'"
    if kind != "extra_forbidden":
        return message
    meant = f"; did you mean {_meant(place)!r}?" if _meant(place) else ""
    return f"unknown key; known here: {', '.join(_model_at(place).model_fields)}{meant}"


def _meant(place: Location) -> str:
    """Guess which key an unknown one is meant to be; "" for none."""
    near = get_close_matches("".join(str(part) for part in place[-1:]), _model_at(place).model_fields, 1)
    return near[0] if near else ""


def _model_at(place: Location) -> type[_Strict]:
    return _Exemplar if "exemplars" in place else _Class if len(place) > 1 else _File
