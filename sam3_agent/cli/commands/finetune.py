"""`sam3-agent finetune`: an adapter of the model out of labeled images."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam3_agent.cli.commands.teach import teaching_progress
from sam3_agent.cli.loading import loading_model
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, say
from sam3_agent.errors import InputError
from sam3_agent.formats.adapter_folder import JOIN, PAGE, SUFFIX, split_model
from sam3_agent.labeling.io.teaching_images import TeachingSet, read_teaching_set

if TYPE_CHECKING:
    from sam3_agent.model.sam3 import Sam3
    from sam3_agent.training.finetuning.finetune import Finetuned, FinetuneOptions
    from sam3_agent.training.finetuning.forecast import Forecast

_MEGA = 1e6
_LONG = 3600
"""Seconds from which on a CPU is only used when it was asked for."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Options of one call."""

    source: Path
    name: str
    out: Path
    words: tuple[str, ...]
    """That the adapter answers to."""
    class_name: str | None = None
    images: Path | None = None
    unlike: tuple[str, ...] = ()
    always_on: bool = False
    steps: int | None = None
    rank: int | None = None
    seed: int = 0
    budget: float | None = None
    accept_forgetting: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True)
class TuningReport:
    """Report of an adapter, or of the forecast of one."""

    given: TeachingSet
    plan: "Forecast"
    model: str
    made: "Finetuned | None" = None
    out: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        report = self.made.report.to_json() if self.made is not None else None
        return {
            "class": self.given.class_name,
            "left_out": list(self.given.notes),
            "model": self.model,
            "forecast": self.plan.to_json(),
            "report": report,
            "out": str(self.out) if self.out is not None else None,
        }


def tune(tuning: Tuning, model: ModelOptions, *, dry_run: bool) -> TuningReport:
    """Read the images, tell what it will take, train, measure, write; an equal call goes on where a killed one stopped.

    Raises:
        InputError: the folder is taken, the images cannot be used, or a CPU would take hours and was not asked for.
        Forgets: an adapter that is always on passes its budget.
    """
    if tuning.out.exists() and not tuning.replace:
        raise InputError(f"{tuning.out} is there already: give another --out, or --replace it")
    given = read_teaching_set(tuning.source, tuning.name, tuning.images, tuning.class_name, tuning.unlike)
    for note in given.notes:
        say(note)
    segmenter, recipe = _loaded(tuning, model)
    from sam3_agent.training.finetuning.forecast import forecast

    plan = forecast(segmenter, tuning.name, given.images, tuning.words[0], recipe)
    _say_plan(plan, tuning, segmenter.info.device)
    if dry_run:
        return TuningReport(given, plan, segmenter.info.name)
    if segmenter.info.device == "cpu" and plan.seconds > _LONG and model.device != "cpu":
        raise InputError(
            f"that is {_time(plan.seconds)} on a CPU: give --device cpu to do it all the same, or use a GPU"
        )
    made = _trained(segmenter, tuning, given, recipe)
    made.write(tuning.out, accept_forgetting=tuning.accept_forgetting)
    from sam3_agent.training.teaching.teach import forget_checkpoint

    forget_checkpoint(checkpoint_folder(tuning.out))
    return TuningReport(given, plan, segmenter.info.name, made, tuning.out)


def _loaded(tuning: Tuning, model: ModelOptions) -> "tuple[Sam3, FinetuneOptions]":
    with loading_model(model.model):
        from sam3_agent.model.sam3 import Sam3  # imports torch
        from sam3_agent.training.finetuning.finetune import recipe_of

        if split_model(model.model)[1]:
            raise InputError(f"'{model.model}' has an adapter already: fine-tune the model that it belongs to")
        segmenter = Sam3.load(model.model, model.device, model.dtype)
    recipe = recipe_of(segmenter, always_on=tuning.always_on, steps=tuning.steps, seed=tuning.seed, rank=tuning.rank)
    return segmenter, recipe if tuning.budget is None else replace(recipe, budget=tuning.budget)


def _trained(segmenter: "Sam3", tuning: Tuning, given: TeachingSet, recipe: "FinetuneOptions") -> "Finetuned":
    from sam3_agent.training.finetuning.finetune import finetune

    folder = checkpoint_folder(tuning.out)
    try:
        with teaching_progress() as show:
            return finetune(
                segmenter,
                tuning.name,
                given.images,
                words=tuning.words,
                options=recipe,
                folder=folder,
                on_progress=show,
            )
    except KeyboardInterrupt:
        say("stopped; the same call goes on from here")
        raise


def checkpoint_folder(out: Path) -> Path:
    """The folder beside an adapter that keeps its training while it lasts."""
    return out.with_name(f".{out.name.removesuffix(SUFFIX)}.finetuning")


def _say_plan(plan: "Forecast", tuning: Tuning, device: str) -> None:
    say(
        f"{plan.objects} objects on {plan.having} images, {plan.lacking} without it, {plan.lookalikes} look-alikes;"
        f" as it is, the model finds '{tuning.words[0]}' with F1 {_share(plan.base_f1)} and refuses it where it is not"
        f" {_share(plan.base_refusal)}"
    )
    parts = ", ".join(f"{part} {count / _MEGA:.2f} M" for part, count in plan.numbers.items())
    say(f"trained: {parts}; the adapter has {plan.adapter_bytes / _MEGA:.1f} MB; everything else is frozen")
    gpu = f", {plan.device_bytes / 2**30:.1f} GiB of the GPU" if plan.device_bytes is not None else ""
    say(
        f"about {_time(plan.seconds)} on {device} at most; {plan.views} views, {plan.cached_bytes / _MEGA:.0f} MB of"
        f" their features in memory{gpu}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_tuning(report: TuningReport) -> None:
    """A few lines for a person."""
    if report.made is None or report.out is None:
        print_line("dry run: nothing was trained")
        return
    for name, pair in (*report.made.report.own, *report.made.report.others.figures):
        print_line(f"{name:24} {pair.before}  ->  {pair.after}")
    others = report.made.report.others
    if not others.figures:
        same = "answer as before, bit for bit" if others.identical else "do not all answer as before"
        print_line(f"other words {same} ({others.asked} on {others.images} images)")
    for each in report.made.report.over:
        print_line(f"over the budget: {each}")
    print_line(f"use it: --model {report.model}{JOIN}{report.out}   report: {report.out / PAGE}")
