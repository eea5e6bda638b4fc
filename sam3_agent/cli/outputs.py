"""Outputs of a command, checked before its work begins: nothing overwrites an input, no folder is made by a typo."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

import typer
from typer.core import TyperCommand

from sam3_agent.formats.remote_folder import is_remote

OUTPUTS = ("out", "trace", "page", "record")
"""Parameters, by name, that say where a command writes; a command that calls one otherwise is not checked."""
AFTER = "sam3_agent.after"
"""Key of a context's `meta` for the arguments after `--`; absent where there was no `--`."""


class CheckedCommand(TyperCommand):
    """Command that checks its outputs against its inputs, and remembers what stood after `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual; keep the arguments after the first `--` apart for whoever wants to know."""
        if "--" in args:
            ctx.meta[AFTER] = tuple(args[args.index("--") + 1 :])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Check, then run."""
        check_outputs(ctx.params)
        return super().invoke(ctx)


def check_outputs(parameters: Mapping[str, Any]) -> None:
    """Refuse an output that is an input, that another output uses too, or whose folder is missing.

    Raises:
        typer.BadParameter: with the option's name.
    """
    given = {name: parameters[name] for name in OUTPUTS if parameters.get(name) is not None}
    outputs = {name: Path(value).expanduser() for name, value in given.items() if not is_remote(str(value))}
    inputs = [path for name, value in parameters.items() if name not in OUTPUTS for path in input_paths(_texts(value))]
    seen: dict[Path, str] = {}
    for name, path in outputs.items():
        refuse_overwriting(path, inputs, f"--{name}")
        check_parent(path, f"--{name}")
        other = seen.setdefault(path.absolute(), name)
        if other != name:
            raise typer.BadParameter(f"'{path}' is where --{other} goes already", param_hint=repr(f"--{name}"))


def refuse_overwriting(path: Path, inputs: Iterable[Path], option: str) -> None:
    """Raise BadParameter when the output is one of the input files, by whatever name or link it is given."""
    if path.is_file() and any(os.path.isfile(each) and os.path.samefile(each, path) for each in inputs):  # noqa: PTH113, PTH121
        # os.path: many inputs are no paths at all, which is no error there
        raise typer.BadParameter(
            f"'{path}' is an input: a command overwrites nothing that it reads", param_hint=repr(option)
        )


def check_parent(path: Path, option: str) -> None:
    """Raise BadParameter unless the folder in which an output goes is there: a typo must not make folders."""
    parent = path.absolute().parent
    if not parent.exists():
        raise typer.BadParameter(
            f"there is no folder '{path.parent}': make it first (mkdir -p), or mend the path", param_hint=repr(option)
        )


def input_paths(texts: Iterable[str]) -> Iterator[Path]:
    """Paths that texts may name: as they are, as a file URL, as IMAGE:BOX or replay:FILE."""
    for text in texts:
        if text.startswith("data:") or is_remote(text):
            continue
        if text.startswith("file://"):
            yield Path(unquote(urlparse(text).path))
            continue
        yield from (Path(part).expanduser() for part in (text, text.rpartition(":")[0], text.partition(":")[2]) if part)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str | Path):
        return [str(value)]
    return [str(each) for each in cast(list[object], value)] if isinstance(value, list | tuple) else []
