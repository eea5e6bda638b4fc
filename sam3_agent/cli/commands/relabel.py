"""`sam3-agent relabel`: a run's classes taught from what people decided, and the rest of it labeled anew."""

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent.cli.commands.teach import teaching_progress
from sam3_agent.cli.loading import load_for_teaching
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_table, say
from sam3_agent.labeling.relabel.lesson import Lesson, Recipe
from sam3_agent.labeling.relabel.round import RoundOptions, RoundReport, plan_of, run_round
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import ROUTES
from sam3_agent.loop.load_llm import load_llm

MOST_LISTED = 8


@dataclass(frozen=True, slots=True)
class RelabelOptions:
    """Options of one call."""

    folder: Path
    classes: tuple[str, ...] = ()
    steps: int | None = None
    seed: int = 0
    jobs: int | None = None
    llm: str = "rules"


def relabel(options: RelabelOptions, model: ModelOptions) -> RoundReport:
    """Run one round; an equal call goes on where a stopped one was.

    Raises:
        InputError: there is no run, or it was labeled by another model.
    """
    with closing(Journal.open(options.folder)) as journal:
        chosen = RoundOptions(options.classes, Recipe(options.steps, options.seed), options.jobs)
        segmenter = load_for_teaching(model)
        try:
            with teaching_progress() as show:
                return run_round(journal, segmenter, chosen, show, lambda: load_llm(options.llm))
        except KeyboardInterrupt:
            say("stopped; the same call goes on from here")
            raise


def plan(options: RelabelOptions) -> list[Lesson]:
    """Say what a round would teach from; nothing is loaded or changed."""
    with closing(Journal.open(options.folder)) as journal:
        return plan_of(journal, RoundOptions(options.classes))


def lesson_json(lesson: Lesson) -> dict[str, Any]:
    """One document for `--json`."""
    version = lesson.version
    return {
        "class": lesson.class_name,
        "objects": lesson.objects,
        "images": lesson.images,
        "absent": lesson.absent,
        "version": f"@{version.name}" if version is not None else None,
        "how": version.how if version is not None else None,
        "used": version is not None and version.kept,
        "says": lesson.says,
        "left_out": list(lesson.notes),
    }


def report_json(report: RoundReport) -> dict[str, Any]:
    """One document for `--json`."""
    return {
        "resumed": report.resumed,
        "lessons": [lesson_json(each) for each in report.lessons],
        "relabeled": report.relabeled,
        "changes": {name: {"found": each.found, "lost": each.lost} for name, each in report.changes.items()},
        "before": report.before,
        "classes": report.after,
        "next": [{"image": each.image, "sha": each.sha, "reasons": list(each.reasons)} for each in report.next],
    }


def print_plan(lessons: list[Lesson]) -> None:
    """Say for a person what there is to be taught."""
    if not lessons:
        print_line("no label of this run was decided by a person yet: sam3-agent review shows them")
    for each in lessons:
        print_line(_given(each), before=(f"{each.class_name}: ", "bold"))
        for line in (*each.notes, *([each.says] if each.says else [])):
            print_line(f"  {line}")


def print_report(report: RoundReport, folder: Path) -> None:
    """Say for a person what was taught, what changed and what to look at next."""
    if report.resumed:
        print_line("went on with the round that was stopped; what was decided since then is for the next one")
    elif not report.lessons:
        print_line("no label of this run was decided by a person yet: sam3-agent review shows them")
    for each in report.lessons:
        name = f" -> @{each.version.name} ({each.version.how})" if each.version is not None else ""
        print_line(f"{_given(each)}{name}", before=(f"{each.class_name}: ", "bold"))
        for line in (each.says, *each.notes):
            print_line(f"  {line}")
    if not report.relabeled:
        print_line("nothing was labeled anew")
    else:
        print_line(f"{report.relabeled} images labeled anew; labels before -> after")
        names = [
            name for name in report.after if name in report.changes or report.before.get(name) != report.after[name]
        ]
        print_table(("class", *ROUTES, "found", "lost"), [_row(name, report) for name in names], right=ROUTES)
    for each in report.next[:MOST_LISTED]:
        print_line(f"{each.image}: {'; '.join(each.reasons)}", before=("next: ", "bold"))
    print_line(f"look at them: sam3-agent review {folder}   ('next' in the list)")
    sys.stdout.flush()


def _given(lesson: Lesson) -> str:
    return f"{lesson.objects} objects on {lesson.images} images, {lesson.absent} without"


def _row(name: str, report: RoundReport) -> list[str]:
    before, after, change = report.before.get(name, {}), report.after[name], report.changes.get(name)
    moved = [f"{before.get(route, 0)} -> {after[route]}" for route in ROUTES]
    return [name, *moved, str(change.found if change else 0), str(change.lost if change else 0)]
