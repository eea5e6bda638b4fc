"""Output of the commands: results on stdout, everything else on stderr."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sam3_agent.formats.control_characters import visible_json, visible_line, visible_text
from sam3_agent.masks import Box
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import OpenImage, Workspace

if TYPE_CHECKING:
    from sam3_agent.cli.served import ServedWorkspace

TINY_NOTE = "tiny: the embedded demonstration model; use --model facebook/sam3 for real images"
RULES_NOTE = (
    "rules: the embedded planner without a language model; --llm anthropic:MODEL (or openai:, chat:) understands more"
)


def progress_console() -> Console:
    """Console of spinners and bars; they show on a terminal only."""
    return Console(stderr=True, highlight=False)


def result_console() -> Console:
    """Console of a person's result; colors on a terminal only, no line is ever cut in a pipe."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=160)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(visible_json(document, indent=2) + "\n")


def print_json_line(document: Any) -> None:
    """Print one JSON document as one line on stdout, at once."""
    sys.stdout.write(visible_json(document) + "\n")
    sys.stdout.flush()


def say(sentence: str) -> None:
    """Write one line about the work itself on stderr."""
    sys.stderr.write(visible_line(sentence) + "\n")
    sys.stderr.flush()


def print_line(text: str, style: str = "", *, before: tuple[str, str] = ("", "")) -> None:
    """One line of a person's result, `before` it a (text, style); never read as markup, nor by the terminal."""
    head, its_style = before
    result_console().print(Text.assemble((visible_line(head), its_style), (visible_text(text), style)))


def print_notes(info: ModelInfo, *, llm: str | None = None) -> None:
    """Say which parts are the embedded ones."""
    if info.name.partition("+")[0] == "tiny":
        print_line(TINY_NOTE, style="dim")
    if llm == "rules":
        print_line(RULES_NOTE, style="dim")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A plain table; the columns named in `right` are aligned right."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(visible_line(column)), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible_line(cell)) for cell in row))
    result_console().print(table)


def box_words(box: Box) -> str:
    """The box in whole pixels."""
    return ",".join(f"{value:.0f}" for value in box)


def model_words(info: ModelInfo) -> str:
    """The model in words."""
    return f"{info.name} on {info.device} ({info.dtype})"


Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Looked:
    """The image, the model, and times in seconds."""

    image: OpenImage
    info: ModelInfo
    encode: float
    prompt: float
    total: float
    """Everything a person waited for, loading the model included."""

    def document(self, **found: Any) -> dict[str, Any]:
        """One JSON document: image and model, what was found, seconds."""
        return {
            "image": {"source": self.image.source, "width": self.image.width, "height": self.image.height},
            "model": self.info.to_json(),
            **found,
            "seconds": {
                "encode": round(self.encode, 3),
                "prompt": round(self.prompt, 3),
                "total": round(self.total, 3),
            },
        }

    def print_head(self) -> None:
        """The line above the table: which picture, seen by which model."""
        print_line(f"{self.image.source}  {self.image.width}x{self.image.height}  {model_words(self.info)}")

    def print_seconds(self, prompts: str) -> None:
        """The line below the table; `prompts` names what was asked."""
        print_line(f"encode {self.encode:.2f} s, {prompts} {self.prompt:.2f} s, in all {self.total:.2f} s")

    def print_end(self, out: Path | None) -> None:
        """Print where the picture is, and which parts are the embedded ones."""
        print_line(f"marked picture: {out}" if out else "for the picture add --out FILE.png, for the masks --json")
        print_notes(self.info)


def look_once(
    workspace: "Workspace | ServedWorkspace",
    source: str,
    find: Callable[[OpenImage, float], Found],
    began: float,
) -> tuple[Looked, Found]:
    """Open the image and have `find` ask about it; it is told how many seconds the opening took.

    `began` (perf_counter) is when the person began to wait.
    """
    opening = time.perf_counter()
    image = workspace.open(source)
    opened = time.perf_counter()
    found = find(image, opened - opening)
    done = time.perf_counter()
    return Looked(image, workspace.info, opened - opening, done - opened, done - began), found
