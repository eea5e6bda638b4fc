"""`sam3-agent teach`: a concept out of labeled images, trained on a frozen model."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from sam3_agent.cli.commands.learn import LearnReport, print_report
from sam3_agent.cli.loading import loading_model
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import progress_console, say
from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import SUFFIX, write_concept
from sam3_agent.labeling.io.teaching_images import TeachingSet, read_teaching_set

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Lesson:
    """Options of one call."""

    name: str
    source: Path
    out: Path
    images: Path | None = None
    class_name: str | None = None
    unlike: tuple[str, ...] = ()
    steps: int | None = None
    seed: int = 0
    replace: bool = False


@dataclass(frozen=True, slots=True)
class TeachReport:
    """Report of a taught concept."""

    learned: LearnReport
    given: TeachingSet

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        without = sum(not image.objects for image in self.given.images)
        return {
            **self.learned.to_json(),
            "class": self.given.class_name,
            "images_without": without,
            "left_out": list(self.given.notes),
        }


def teach_class(lesson: Lesson, model: ModelOptions) -> TeachReport:
    """Read the images, train, write the file; an equal call goes on where a killed one stopped.

    Raises:
        InputError: the name is taken, or the images cannot be used.
    """
    if lesson.out.exists() and not lesson.replace:
        raise InputError(f"{lesson.out} is there already: give another NAME or --out, or --replace it")
    given = read_teaching_set(lesson.source, lesson.name, lesson.images, lesson.class_name, lesson.unlike)
    for note in given.notes:
        say(note)
    with loading_model(model.model):
        from sam3_agent.model.sam3 import Sam3  # imports torch
        from sam3_agent.training.teaching.teach import forget_checkpoint, recipe_of, teach

        segmenter = Sam3.load(model.model, model.device, model.dtype)
    folder = checkpoint_folder(lesson.out)
    recipe = recipe_of(lesson.steps, lesson.seed)
    try:
        with teaching_progress() as show:
            concept = teach(segmenter, lesson.name, given.images, options=recipe, folder=folder, on_progress=show)
    except KeyboardInterrupt:
        say("stopped; the same call goes on from here")
        raise
    write_concept(concept, lesson.out)
    forget_checkpoint(folder)
    having = sum(bool(image.objects) for image in given.images)
    return TeachReport(LearnReport(concept, having, lesson.out, segmenter.info, "taught"), given)


def checkpoint_folder(out: Path) -> Path:
    """The folder beside a concept's file that keeps its training while it lasts."""
    return out.with_name(f".{out.name.removesuffix(SUFFIX)}.teaching")


@contextmanager
def teaching_progress() -> Generator[Callable[[Any], None]]:
    """A bar on a terminal; elsewhere a line for every tenth."""
    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    told: set[tuple[str, int]] = set()
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, left="")

        def show(now: Any) -> None:
            left = "" if now.seconds_left is None else time_left(now.seconds_left)
            bar.update(task, description=now.doing, total=now.of, completed=now.done, left=left)
            tenth = (now.doing, 10 * now.done // now.of)
            if not console.is_terminal and tenth not in told:
                told.add(tenth)
                sys.stderr.write(f"{now.doing}: {now.done} of {now.of}{', ' + left if left else ''}\n")

        yield show


def time_left(seconds: float) -> str:
    """Time in words, no more exact than it is known."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s left"
    return f"{seconds / MINUTE:.0f} min left"


def print_taught(report: TeachReport) -> None:
    """A few lines for a person."""
    print_report(report.learned)
