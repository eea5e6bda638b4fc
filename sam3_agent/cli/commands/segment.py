"""`sam3-agent segment`: all instances of each concept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.loading import write_marked
from sam3_agent.cli.output import Looked, box_words, look_once, print_line, print_table
from sam3_agent.formats.concept_file import SUFFIX, read_concept
from sam3_agent.masks import Box
from sam3_agent.types import ConceptPrompt, Exemplar, Segmentation
from sam3_agent.workspace import OpenImage, TileMode, Workspace


@dataclass(frozen=True, slots=True)
class How:
    """Detection options of a call; see `Workspace.segment`."""

    threshold: float = 0.5
    region: Box | None = None
    tiles: TileMode = "auto"
    assume_present: bool = False
    max_iou: float = 1.0
    max_containment: float = 1.0


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """Report of what was found, and of the model."""

    looked: Looked
    results: tuple[Segmentation, ...]

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `segment` (README)."""
        return self.looked.document(results=[_result_json(result) for result in self.results])


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
    looked, results = look_once(
        workspace,
        source,
        lambda image_id: workspace.segment(
            image_id,
            prompts,
            threshold=how.threshold,
            region=how.region,
            tiles=how.tiles,
            assume_present=how.assume_present,
            max_iou=how.max_iou,
            max_containment=how.max_containment,
        ),
        began,
    )
    return SegmentReport(looked, tuple(results))


def write_result(workspace: Workspace, report: SegmentReport, path: Path) -> None:
    """Write the marked picture, atomically."""
    found = [instance.id for result in report.results for instance in result.instances]
    write_marked(workspace, report.looked.image.id, list(dict.fromkeys(found)), path)


def print_report(report: SegmentReport, out: Path | None) -> None:
    """A short table for a person."""
    report.looked.print_head()
    numbers = ("presence", "score", "object", "area", "near misses")
    columns = ("concept", "presence", "near misses", "id", "score", "object", "area", "box")
    print_table(
        columns, [row for result in report.results for row in _rows(result, report.looked.image)], right=numbers
    )
    report.looked.print_seconds("prompts")
    if any(result.tiles for result in report.results):
        print_line(f"looked at more closely in {max(result.tiles for result in report.results)} tiles")
    report.looked.print_end(out)


def _prompt(concept: str, exemplars: tuple[Exemplar, ...]) -> ConceptPrompt:
    """A phrase, or a learned concept by its file."""
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
