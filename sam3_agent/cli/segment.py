"""`sam3-agent segment`: all instances of each concept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.marked import write_marked
from sam3_agent.cli.terminal import box_words, eye_words, print_line, print_notes, print_table
from sam3_agent.formats.concept_file import SUFFIX, read_concept
from sam3_agent.masks import Box
from sam3_agent.types import ConceptPrompt, Exemplar, ModelInfo, Segmentation
from sam3_agent.workspace import OpenImage, TileMode, Workspace


@dataclass(frozen=True, slots=True)
class How:
    """How to look; see `Workspace.segment`."""

    threshold: float = 0.5
    region: Box | None = None
    tiles: TileMode = "auto"
    assume_present: bool = False
    max_iou: float = 1.0
    max_containment: float = 1.0


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What was found; times in seconds."""

    image: OpenImage
    info: ModelInfo
    results: tuple[Segmentation, ...]
    encode: float
    prompt: float
    total: float
    """Everything a person waited for, loading the eye included."""

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `segment` (README)."""
        return {
            "image": {"source": self.image.source, "width": self.image.width, "height": self.image.height},
            "model": self.info.to_json(),
            "results": [_result_json(result) for result in self.results],
            "seconds": {
                "encode": round(self.encode, 3),
                "prompt": round(self.prompt, 3),
                "total": round(self.total, 3),
            },
        }


def prompts_of(concepts: Sequence[str], like: Sequence[Box], unlike: Sequence[Box]) -> list[ConceptPrompt]:
    """One prompt per concept, the exemplars with each; raises InputError for an empty concept."""
    exemplars = tuple(Exemplar(box) for box in like) + tuple(Exemplar(box, positive=False) for box in unlike)
    if not concepts and not like:
        raise typer.BadParameter("give at least one concept, or an example box with --like", param_hint="'CONCEPT...'")
    return [_prompt(concept, exemplars) for concept in concepts] or [ConceptPrompt(None, exemplars)]


def segment(
    workspace: Workspace,
    source: str,
    prompts: Sequence[ConceptPrompt],
    how: How,
    *,
    began: float,
) -> SegmentReport:
    """Open the picture and answer the prompts; `began` (perf_counter) is when the person began to wait."""
    opening = time.perf_counter()
    image = workspace.open(source)
    opened = time.perf_counter()
    results = workspace.segment(
        image.id,
        prompts,
        threshold=how.threshold,
        region=how.region,
        tiles=how.tiles,
        assume_present=how.assume_present,
        max_iou=how.max_iou,
        max_containment=how.max_containment,
    )
    done = time.perf_counter()
    return SegmentReport(image, workspace.info, tuple(results), opened - opening, done - opened, done - began)


def write_result(workspace: Workspace, report: SegmentReport, path: Path) -> None:
    """Write the marked picture, atomically."""
    found = [instance.id for result in report.results for instance in result.instances]
    write_marked(workspace, report.image.id, list(dict.fromkeys(found)), path)


def print_report(report: SegmentReport, out: Path | None) -> None:
    """A short table for a person."""
    print_line(f"{report.image.source}  {report.image.width}x{report.image.height}  {eye_words(report.info)}")
    numbers = ("presence", "score", "object", "area", "near misses")
    columns = ("concept", "presence", "near misses", "id", "score", "object", "area", "box")
    print_table(columns, [row for result in report.results for row in _rows(result, report.image)], right=numbers)
    print_line(f"encode {report.encode:.2f} s, prompts {report.prompt:.2f} s, in all {report.total:.2f} s")
    if any(result.tiles for result in report.results):
        print_line(f"looked at more closely in {max(result.tiles for result in report.results)} tiles")
    print_line(f"marked picture: {out}" if out else "for the picture add --out FILE.png, for the masks --json")
    print_notes(report.info)


def _prompt(concept: str, exemplars: tuple[Exemplar, ...]) -> ConceptPrompt:
    """A phrase, or a learnt concept by its file."""
    if not concept.endswith(SUFFIX):
        return ConceptPrompt(concept, exemplars)
    learned = read_concept(Path(concept))
    return ConceptPrompt(learned.phrase, exemplars, learned)


def _result_json(result: Segmentation) -> dict[str, Any]:
    return {
        "concept": result.prompt.label,
        "presence": round(result.presence, 4),
        "instances": [instance.to_json() for instance in result.instances],
        "near_misses": len(result.near_misses),
    }


def _rows(result: Segmentation, image: OpenImage) -> list[list[str]]:
    concept = [result.prompt.label, f"{result.presence:.2f}", str(len(result.near_misses))]
    if not result.instances:
        return [[*concept, "nothing", "", "", "", ""]]
    rows: list[list[str]] = []
    for instance in result.instances:
        share = instance.area / (image.width * image.height)
        scores = [f"{instance.score:.2f}", f"{instance.object_score:.2f}", f"{share:.1%}"]
        rows.append([*(concept if not rows else ["", "", ""]), instance.id, *scores, box_words(instance.box)])
    return rows
