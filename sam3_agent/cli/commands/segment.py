"""`sam3-agent segment`: all instances of each concept."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sam3_agent.cli.batch import Shown, check_out, report_all
from sam3_agent.cli.concept_names import read_prompt
from sam3_agent.cli.images import Images, tell_apart
from sam3_agent.cli.loading import check_readable, open_workspace, write_marked
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import Looked, box_words, look_once, print_line, print_notes, print_table, say
from sam3_agent.cli.tile_forecast import tiles_forecast
from sam3_agent.masks import Box
from sam3_agent.tools.model_scope import known_nouns, words_hint
from sam3_agent.types import ConceptPrompt, Exemplar, Segmentation
from sam3_agent.workspace import OpenImage, TileMode, Workspace
from sam3_agent.workspace.crops import window_of

if TYPE_CHECKING:
    from sam3_agent.cli.served import ServedWorkspace


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
class Asked:
    """Images, and the prompts that each is asked."""

    images: Images
    prompts: tuple[ConceptPrompt, ...]


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """Report of what was found, and of the model."""

    looked: Looked
    results: tuple[Segmentation, ...]

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `segment` (README)."""
        return self.looked.document(results=[_result_json(result) for result in self.results])

    def line(self) -> str:
        """Say it in one line: how many of each concept, and the best score."""
        image = self.looked.image
        found = ", ".join(
            f"{result.prompt.label}: {len(result.instances)} (best {result.instances[0].score:.2f})"
            if result.instances
            else f"{result.prompt.label}: nothing"
            for result in self.results
        )
        return f"{image.source}  {image.width}x{image.height}  {found}"

    def print(self, out: Path | None) -> None:
        """Print a short table for a person."""
        print_report(self, out)


def read_arguments(
    arguments: Sequence[str],
    after: Sequence[str] | None,
    concepts: Sequence[str],
    like: Sequence[Box],
    unlike: Sequence[Box],
    model: str = "",
) -> Asked:
    """Tell images from concepts, say so where it was not plain; `after` is what stood after `--`, None without one.

    Raises:
        typer.BadParameter: no concept, or example boxes with several images.
        InputError: an unusable concept, or no image where one was named.
    """
    before = arguments[: len(arguments) - len(after or ())]
    if not before:
        raise typer.BadParameter("give at least one image before '--'", param_hint="'IMAGE'")
    understood = tell_apart(before, after, texts_apart=bool(concepts))
    option = next((text for text in after or () if text.startswith("--")), None)
    if option is not None:
        raise typer.BadParameter(f"{option} stands after '--', where only concepts are: put it before")
    prompts = prompts_of([*understood.texts, *concepts], like, unlike, model)
    if understood.images.many and (like or unlike):
        raise typer.BadParameter(
            "a box is an example on one image: `sam3-agent learn` makes a concept of it for many", param_hint="'--like'"
        )
    if understood.note:
        say(understood.note)
    return Asked(understood.images, tuple(prompts))


def prompts_of(
    concepts: Sequence[str], like: Sequence[Box], unlike: Sequence[Box], model: str = ""
) -> list[ConceptPrompt]:
    """One prompt per concept, the exemplars with each; raises InputError for an empty concept."""
    exemplars = tuple(Exemplar(box) for box in like) + tuple(Exemplar(box, positive=False) for box in unlike)
    if not concepts and not like:
        raise typer.BadParameter("give at least one concept, or an example box with --like", param_hint="'CONCEPT...'")
    return [read_prompt(concept, exemplars, model) for concept in concepts] or [ConceptPrompt(None, exemplars)]


def run(asked: Asked, how: How, model: ModelOptions, connect: str | None, shown: Shown, *, began: float) -> None:
    """Load the model once, or ask a server, and report on each image; `began` is when the person began to wait."""
    paths = check_out(asked.images, shown.out)
    check_readable(asked.images)
    with _workspace(model, connect) as workspace:

        def work(source: str) -> SegmentReport:
            report = segment(workspace, source, asked.prompts, how, began=began)
            if source in paths:
                write_result(workspace, report, paths[source])
            workspace.forget(report.looked.image.id)
            return report

        report_all(asked.images, work, shown, paths, partial(print_notes, workspace.info))


@contextmanager
def _workspace(model: ModelOptions, connect: str | None) -> "Generator[Workspace | ServedWorkspace]":
    if connect is None:
        yield open_workspace(model)
        return
    from sam3_agent.cli.served import connected

    with connected(connect) as served:
        yield served


def segment(
    workspace: "Workspace | ServedWorkspace",
    source: str,
    prompts: Sequence[ConceptPrompt],
    how: How,
    *,
    began: float,
) -> SegmentReport:
    """Open the image and answer the prompts; `began` (perf_counter) is when the person began to wait."""

    def find(image: OpenImage, encode_seconds: float) -> list[Segmentation]:
        window = window_of(how.region, image.width, image.height)
        mode = how.tiles if isinstance(workspace, Workspace) else "never"  # a server's times are not known here
        with tiles_forecast(mode, window, workspace.info, encode_seconds):
            return workspace.segment(
                image.id,
                prompts,
                threshold=how.threshold,
                region=how.region,
                tiles=how.tiles,
                assume_present=how.assume_present,
                max_iou=how.max_iou,
                max_containment=how.max_containment,
            )

    looked, results = look_once(workspace, source, find, began)
    return SegmentReport(looked, tuple(results))


def write_result(workspace: "Workspace | ServedWorkspace", report: SegmentReport, path: Path) -> None:
    """Write the marked picture, atomically."""
    found = list({i.id: i for result in report.results for i in result.instances}.values())
    if isinstance(workspace, Workspace):
        return write_marked(workspace, report.looked.image.id, [instance.id for instance in found], path)
    return workspace.write_marked(report.looked.image.id, found, path)


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
    if unknown := _unknown_words(report):
        print_line(f"not known to it: {', '.join(unknown)}; {words_hint(report.looked.info)}", style="dim")
    report.looked.print_end(out)


def _unknown_words(report: SegmentReport) -> list[str]:
    """The phrases that found nothing and hold no noun that the model was taught, where its nouns are known."""
    known = known_nouns(report.looked.info)
    if known is None:
        return []
    missed = [result.prompt for result in report.results if not result.instances and not result.prompt.exemplars]
    phrases = [prompt.phrase for prompt in missed if prompt.phrase and prompt.words_alone]
    return [each for each in phrases if not {word.removesuffix("s") for word in each.lower().split()} & known]


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
