"""`sam3-agent segment-at`: one object by clicks or a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.loading import write_marked
from sam3_agent.cli.output import Looked, box_words, look_once, print_table
from sam3_agent.masks import Box
from sam3_agent.types import ClickPrompt, ClickSegmentation, Point
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SegmentAtReport:
    """The best mask, and other readings of the same clicks."""

    looked: Looked
    found: ClickSegmentation

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`: the scores are the IoU that the model expects of each mask."""
        return self.looked.document(
            asked=self.found.prompt.label,
            instances=[instance.to_json() for instance in self.found.instances],
            near_misses=[instance.to_json() for instance in self.found.near_misses],
        )


def parse_point(text: str, option: str) -> Point:
    """A point from "X,Y" (pixels); a usage error that names the option otherwise."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no X,Y in pixels", param_hint=repr(option)) from error
    return x, y


def prompt_of(on: Sequence[Point], beside: Sequence[Point], box: Box | None) -> ClickPrompt:
    """The clicks and the box as one prompt; a usage error where nothing says which object."""
    if not on and box is None:
        raise typer.BadParameter("say which object: a point on it, or --box around it", param_hint="'--on'")
    return ClickPrompt((*on, *beside), (True,) * len(on) + (False,) * len(beside), box)


def segment_at(
    workspace: Workspace, source: str, prompt: ClickPrompt, region: Box | None, *, began: float
) -> SegmentAtReport:
    """Open the picture and segment the object; `began` (perf_counter) is when the person began to wait."""
    looked, found = look_once(
        workspace,
        source,
        lambda image_id: workspace.segment_at(
            image_id, points=prompt.points, labels=prompt.labels, box=prompt.box, region=region
        ),
        began,
    )
    return SegmentAtReport(looked, found)


def write_result(workspace: Workspace, report: SegmentAtReport, path: Path) -> None:
    """Write the picture with the best mask marked, atomically."""
    write_marked(workspace, report.looked.image.id, [instance.id for instance in report.found.instances], path)


def print_report(report: SegmentAtReport, out: Path | None) -> None:
    """A short table for a person."""
    report.looked.print_head()
    pixels = report.looked.image.width * report.looked.image.height
    rows = [
        [name, each.id, f"{each.score:.2f}", f"{each.area / pixels:.1%}", box_words(each.box)]
        for name, instances in (("best", report.found.instances), ("other reading", report.found.near_misses))
        for each in instances
    ]
    print_table(("", "id", "expected IoU", "area", "box"), rows or [["nothing", "", "", "", ""]])
    report.looked.print_seconds("prompt")
    report.looked.print_end(out)
