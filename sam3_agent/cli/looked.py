"""One look at one picture: what every report of one tells beside what was found."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sam3_agent.cli.output import eye_words, print_line, print_notes
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import OpenImage, Workspace

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Looked:
    """The picture, the eye, and times in seconds."""

    image: OpenImage
    info: ModelInfo
    encode: float
    prompt: float
    total: float
    """Everything a person waited for, loading the eye included."""

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
        """The line above the table: which picture, seen by which eye."""
        print_line(f"{self.image.source}  {self.image.width}x{self.image.height}  {eye_words(self.info)}")

    def print_seconds(self, prompts: str) -> None:
        """The line below the table; `prompts` names what was asked."""
        print_line(f"encode {self.encode:.2f} s, {prompts} {self.prompt:.2f} s, in all {self.total:.2f} s")

    def print_end(self, out: Path | None) -> None:
        """Where the picture is, and which parts are the embedded ones."""
        print_line(f"marked picture: {out}" if out else "for the picture add --out FILE.png, for the masks --json")
        print_notes(self.info)


def look_once(workspace: Workspace, source: str, find: Callable[[str], Found], began: float) -> tuple[Looked, Found]:
    """Open the picture and have `find` ask about it; `began` (perf_counter) is when the person began to wait."""
    opening = time.perf_counter()
    image = workspace.open(source)
    opened = time.perf_counter()
    found = find(image.id)
    done = time.perf_counter()
    return Looked(image, workspace.info, opened - opening, done - opened, done - began), found
