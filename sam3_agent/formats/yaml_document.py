"""YAML documents in plain values: PyYAML's safe loader and dumper behind full types."""

from typing import Any, cast

import yaml

# The stubs of PyYAML leave arguments and results untyped, and which ones changes from release to release: a strict
# type check of every call goes red by itself one day. So this file alone calls it, untyped on purpose.
_pyyaml = cast(Any, yaml)


def load_yaml(text: str) -> object:
    """Read one document; raises `yaml.YAMLError`."""
    return cast(object, _pyyaml.safe_load(text))


def load_yaml_texts(text: str) -> object:
    """Read one document of which every scalar stays a text, so that "no" is no False; raises `yaml.YAMLError`."""
    return cast(object, _pyyaml.load(text, Loader=yaml.BaseLoader))


def dump_yaml(document: object, *, width: int = 80) -> str:
    """Write plain values in block style, keys in their own order; lines fold at `width` characters."""
    return cast(str, _pyyaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=width))


def compose_yaml(text: str) -> yaml.Node | None:
    """Read one document as nodes, which know their lines; None if it is empty. Raises `yaml.YAMLError`."""
    return cast("yaml.Node | None", _pyyaml.compose(text, Loader=yaml.SafeLoader))


def scalar_value(node: yaml.Node) -> object:
    """Give the plain value of a scalar node; raises `yaml.YAMLError` or ValueError."""
    return cast(object, _pyyaml.SafeLoader("").construct_object(node))
