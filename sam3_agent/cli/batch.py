"""One command over many images: one load, a line an image, and one bad image does not stop the others."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sam3_agent.cli.images import Images
from sam3_agent.cli.options import PICTURES
from sam3_agent.cli.output import print_json, print_json_line, print_line, progress_console, say
from sam3_agent.cli.outputs import input_paths, refuse_overwriting
from sam3_agent.errors import Sam3AgentError, ToolError

LONG = 10.0
"""Seconds of remaining work from which on a forecast is worth a line."""


class Report(Protocol):
    """Report of one image."""

    def to_json(self) -> dict[str, Any]:
        """Make the document of `--json`."""
        ...

    def line(self) -> str:
        """Say it in one line: the image and what was found."""
        ...

    def print(self, out: Path | None) -> None:
        """Print it for a person, as the only result; `out` is where the picture was written."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """Destination of results: stdout as text or JSON, and images."""

    out: Path | None = None
    """An image, or of many images a folder."""
    as_json: bool = False


def check_out(images: Images, out: Path | None, suffix: str = ".png", option: str = "--out") -> dict[str, Path]:
    """Choose the file for each source, before any work: of one image `out` itself, of many a file in the folder.

    Raises:
        typer.BadParameter: a folder where a file belongs, the other way round, or a file that is an input.
    """
    if out is None:
        return {}
    folder = out.is_dir() or not out.suffix
    if images.many and not folder:
        raise typer.BadParameter(f"'{out}' is a file: name a folder for many images", param_hint=repr(option))
    if not images.many and folder:
        wanted = ", ".join(PICTURES) if suffix == ".png" else suffix
        raise typer.BadParameter(f"'{out}' is no file that ends in {wanted}", param_hint=repr(option))
    paths: dict[str, Path] = {}
    taken: set[str] = set()
    for number, source in enumerate(images.sources):
        stem = f"image-{number}" if source.startswith("data:") else Path(source).stem
        while stem in taken:
            stem = f"{stem}-{number}"
        taken.add(stem)
        paths[source] = out / f"{stem}{suffix}" if images.many else out
    for path in paths.values():
        refuse_overwriting(path, input_paths(images.sources), option)
    return paths


def report_all(
    images: Images,
    work: Callable[[str], Report],
    shown: Shown,
    paths: dict[str, Path],
    print_notes: Callable[[], None] = lambda: None,
) -> None:
    """Do the work for each image, print each result as soon as it is there.

    Args:
        images: their sources.
        work: opens, answers and writes one, and forgets it.
        shown: text or JSON.
        paths: the picture of each source, where one is written.
        print_notes: what is to be said of the model after the lines of many; the report of one says it itself.

    Raises:
        ToolError: of the only image.
        Sam3AgentError: some of many images failed; what is to be said of each has been said.
    """
    if not images.many:
        (source,) = images.sources
        report = work(source)
        print_json(report.to_json()) if shown.as_json else report.print(paths.get(source))
        return
    failed = sum(not _told(images, source, work, shown) for source in _counted(images))
    if shown.out is not None:
        say(f"{'marked pictures' if images.word == 'image' else 'results'}: {shown.out}")
    if not shown.as_json:
        print_notes()
    if failed:
        raise Sam3AgentError(f"{failed} of {len(images.sources)} {images.word}s failed; see above")


def _told(images: Images, source: str, work: Callable[[str], Report], shown: Shown) -> bool:
    """Do the work for one of many and print it in a line; False where it failed, which is said."""
    try:
        report = work(source)
    except ToolError as error:
        if shown.as_json:
            print_json_line({images.word: {"source": source}, "error": str(error)})
        say(f"error: {source}: {error}")
        return False
    print_json_line(report.to_json()) if shown.as_json else print_line(report.line())
    return True


def _counted(images: Images) -> Iterator[str]:
    """The sources, with a bar on a terminal, else with one forecast after the first where much is left."""
    console = progress_console()
    # Results on a terminal are progress enough, and a video has a bar of its own.
    bar = images.word == "image" and console.is_terminal and not sys.stdout.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    began = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not bar) as progress:
        task = progress.add_task(f"{images.word}s", total=len(images.sources))
        for number, source in enumerate(images.sources):
            yield source
            progress.advance(task)
            left = (len(images.sources) - 1) * (time.perf_counter() - began)
            if number == 0 and not bar and left >= LONG:
                say(f"{len(images.sources) - 1} more {images.word}s: about {left:.0f} s")
