"""YAML documents of strangers in plain values: PyYAML's safe loaders and dumper behind bounds and full types.

A few lines of aliases to aliases stand for billions of values, and a document that nests deep enough exhausts the
stack of whoever walks it. So the events of a document are counted, aliases with all that they stand for, before
anything is built of them.
"""

from typing import Any, cast

import yaml

# The stubs of PyYAML leave arguments and results untyped, and which ones changes from release to release: a strict
# type check of every call goes red by itself one day. So this file alone calls it, untyped on purpose.
_pyyaml = cast(Any, yaml)

MOST_CHARACTERS = 2_000_000
"""30,000 classes with a phrase each are 1 MB; libyaml reads about 2 MB a second into nodes."""
MOST_ENTRIES = 200_000
"""Keys, values and list items, counted wherever an alias puts them: about what 2 MB can hold without aliases."""
MOST_DEPTH = 32
"""Concept files nest 5 deep and data.yaml 2; Python's own stack would bear about 300."""


class YamlTooLarge(yaml.MarkedYAMLError):
    """Document that is YAML, and more of it than is read."""


def load_yaml(text: str) -> object:
    """Read one document; raises `yaml.YAMLError`."""
    loader = _loader("SafeLoader")
    _check_bounds(text, loader)
    return cast(object, _pyyaml.load(text, Loader=loader))


def load_yaml_texts(text: str) -> object:
    """Read one document of which every scalar stays a text, so that "no" is no False; raises `yaml.YAMLError`."""
    loader = _loader("BaseLoader")
    _check_bounds(text, loader)
    return cast(object, _pyyaml.load(text, Loader=loader))


def dump_yaml(document: object, *, width: int = 80) -> str:
    """Write plain values in block style, keys in their own order; lines fold at `width` characters."""
    return cast(str, _pyyaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=width))


def compose_yaml(text: str) -> yaml.Node | None:
    """Read one document as nodes, which know their lines; None if it is empty. Raises `yaml.YAMLError`."""
    loader = _loader("SafeLoader")
    _check_bounds(text, loader)
    return cast("yaml.Node | None", _pyyaml.compose(text, Loader=loader))


def scalar_value(node: yaml.Node) -> object:
    """Give the plain value of a scalar node; raises `yaml.YAMLError` or ValueError."""
    if node.tag == "tag:yaml.org,2002:str":  # nearly all: a loader for each would double the time of a file
        return cast(str, node.value)
    return cast(object, _pyyaml.SafeLoader("").construct_object(node))


def _loader(name: str) -> Any:
    """Prefer libyaml, which parses ten times as fast; a PyYAML that was built without it has the Python ones."""
    return getattr(_pyyaml, f"C{name}", None) or getattr(_pyyaml, name)


def _check_bounds(text: str, loader: Any) -> None:
    """Refuse a document that is too long, too deep or too large once its aliases are followed.

    Raises:
        YamlTooLarge: it is; the mark is where it gets too much.
    """
    if len(text) > MOST_CHARACTERS:
        raise YamlTooLarge(problem=f"{len(text)} characters, at most {MOST_CHARACTERS} are read")
    entries = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []  # anchor, and the entries before it
    for event in _pyyaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in opened):
                raise _refused(event, f"the alias *{event.anchor} stands inside of what it stands for")
            entries += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            entries += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, entries))
            entries += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = entries - before
        if entries > MOST_ENTRIES:
            raise _refused(event, f"more than {MOST_ENTRIES} entries; are there aliases of aliases?")
        if len(opened) > MOST_DEPTH:
            raise _refused(event, f"nested more than {MOST_DEPTH} deep")


def _refused(event: Any, problem: str) -> YamlTooLarge:
    return YamlTooLarge(problem=problem, problem_mark=event.start_mark)
