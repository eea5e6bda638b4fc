"""`sam3-agent segment-at`: one object by clicks or a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer

from sam3_agent.cli.batch import Shown, check_out, report_all
from sam3_agent.cli.images import Images
from sam3_agent.cli.loading import check_readable, open_workspace, write_marked
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import Looked, box_words, look_once, print_line, print_notes, print_table
from sam3_agent.masks import Box
from sam3_agent.tools.segment_at import disagreement
from sam3_agent.types import ClickPrompt, ClickSegmentation, Point
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SegmentAtReport:
    """The best mask, and other readings of the same clicks."""

    looked: Looked
    found: ClickSegmentation

    def to_json(self) -> dict[str, Any]:
        """Make the document for `--json`, in the shape of that of `segment`; there is no presence of a click.

        Scores are the IoU that the model expects of each mask. The keys `asked`, `instances` and `near_misses` beside
        `results` are those of version 0.1, and go with 0.3.
        """
        best = [instance.to_json() for instance in self.found.instances]
        others = [instance.to_json() for instance in self.found.near_misses]
        asked = self.found.prompt.label
        result = {"concept": asked, "presence": None, "instances": best, "near_misses": len(others)}
        hints = [hint] if (hint := disagreement(self.found)) else []
        return self.looked.document(results=[result], hints=hints, asked=asked, instances=best, near_misses=others)

    def line(self) -> str:
        """Say it in one line: the best mask and its expected IoU."""
        image = self.looked.image
        best = ", ".join(f"expected IoU {each.score:.2f} at {box_words(each.box)}" for each in self.found.instances)
        return f"{image.source}  {image.width}x{image.height}  {self.found.prompt.label}: {best or 'nothing'}"

    def print(self, out: Path | None) -> None:
        """Print a short table for a person."""
        print_report(self, out)


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


@dataclass(frozen=True, slots=True)
class Asked:
    """Images, and the one object that is pointed at on each."""

    images: Images
    prompt: ClickPrompt
    region: Box | None = None


def run(asked: Asked, model: ModelOptions, shown: Shown, *, began: float) -> None:
    """Load the model once and report on each image; `began` is when the person began to wait."""
    paths = check_out(asked.images, shown.out)
    check_readable(asked.images)
    workspace = open_workspace(model)

    def work(source: str) -> SegmentAtReport:
        report = segment_at(workspace, source, asked.prompt, asked.region, began=began)
        if source in paths:
            write_result(workspace, report, paths[source])
        workspace.forget(report.looked.image.id)
        return report

    report_all(asked.images, work, shown, paths, partial(print_notes, workspace.info))


def segment_at(
    workspace: Workspace, source: str, prompt: ClickPrompt, region: Box | None, *, began: float
) -> SegmentAtReport:
    """Open the image and segment the object; `began` (perf_counter) is when the person began to wait."""
    looked, found = look_once(
        workspace,
        source,
        lambda image, _: workspace.segment_at(
            image.id, points=prompt.points, labels=prompt.labels, box=prompt.box, region=region
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
    if doubts := disagreement(report.found):
        print_line(doubts)
    report.looked.print_seconds("prompt")
    report.looked.print_end(out)
