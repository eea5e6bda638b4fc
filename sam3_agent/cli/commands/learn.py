"""`sam3-agent learn`: a concept out of examples, as a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.options import parse_box
from sam3_agent.cli.output import model_words, print_line, print_notes
from sam3_agent.formats.concept_file import SUFFIX, write_concept
from sam3_agent.masks import Box
from sam3_agent.types import Concept, ModelInfo
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.concept_trials import ConceptMode

Example = tuple[str, Box]
"""An image's path and a box on it."""


@dataclass(frozen=True, slots=True)
class LearnReport:
    """Report of a learned concept, and of its file."""

    concept: Concept
    images: int
    path: Path
    info: ModelInfo
    done: str = "learned"
    """Verb for people."""

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        return {
            "concept": f"@{self.concept.name}",
            "phrase": self.concept.phrase,
            "examples": self.concept.example_count,
            "images": self.images,
            "tokens": self.concept.tokens.count,
            "mode": "canvas" if self.concept.canvas else "tokens",
            "threshold": self.concept.threshold,
            "least_presence": self.concept.least_presence,
            "estimate": self.concept.estimate.to_json() if self.concept.estimate is not None else None,
            "notes": list(self.concept.notes),
            "model": self.info.to_json(),
            "out": str(self.path),
        }


def parse_examples(texts: Sequence[str], option: str) -> list[Example]:
    """A path and a box from each "IMAGE:X0,Y0,X1,Y1"; a usage error that names the option otherwise."""
    examples: list[Example] = []
    for text in texts:
        path, colon, box = text.rpartition(":")
        if not colon or not path:
            raise typer.BadParameter(f"{text!r} is no IMAGE:X0,Y0,X1,Y1", param_hint=repr(option))
        examples.append((path, parse_box(box, option)))
    return examples


def concept_path(name: str, out: Path | None) -> Path:
    """Path of the concept; its name must end so that `segment` knows it."""
    path = out if out is not None else Path(f"{name}{SUFFIX}")
    if not path.name.endswith(SUFFIX):
        raise typer.BadParameter(f"'{path}' must end in {SUFFIX}", param_hint="'--out'")
    return path


def learn(
    workspace: Workspace,
    name: str,
    phrase: str,
    like: Sequence[Example],
    unlike: Sequence[Example],
    path: Path,
    mode: ConceptMode = "auto",
) -> LearnReport:
    """Open each image once, read the examples, write the file."""
    ids = {source: workspace.open(source).id for source in dict.fromkeys(source for source, _ in (*like, *unlike))}
    concept = workspace.learn(
        name,
        phrase,
        positive_boxes=[(ids[source], box) for source, box in like],
        negative_boxes=[(ids[source], box) for source, box in unlike],
        mode=mode,
    )
    write_concept(concept, path)
    return LearnReport(concept, len(ids), path, workspace.info)


def print_report(report: LearnReport) -> None:
    """A few lines for a person."""
    count, images = report.concept.example_count, report.images
    print_line(
        f"{report.done} '@{report.concept.name}' from {count} example{'' if count == 1 else 's'} on {images}"
        f" image{'' if images == 1 else 's'}  {model_words(report.info)}"
    )
    if report.concept.estimate is not None:
        print_line(str(report.concept.estimate))
    for note in report.concept.notes:
        print_line(note)
    concept = report.path if report.path.name != report.path.as_posix() else f"@{report.path.name[: -len(SUFFIX)]}"
    print_line(f"use it on other images: sam3-agent segment IMAGE... -- {concept}")
    print_notes(report.info)
