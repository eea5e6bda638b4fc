"""The commands of adapters, `finetune` and `adapter`, as `app.py` takes them up."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from sam3_agent.cli.label_commands import ImagesOption, UnlikeClassOption
from sam3_agent.cli.options import DeviceOption, DtypeOption, JsonOption, ModelOption, ModelOptions

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE|DIR",
        help="The --out folder of `label`, a label file (COCO, YOLO, LabelMe, CVAT), or a folder with one.",
        show_default=False,
    ),
]
ClassOption = Annotated[
    str, typer.Option("--class", metavar="CLASS", help="The class of the labels.", show_default=False)
]
NameOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="It is then also asked for as '@NAME' [the class].")
]
PhraseOption = Annotated[
    list[str] | None, typer.Option(metavar="P", help="A phrase that it answers to [the class]; repeatable.")
]
AlwaysOnOption = Annotated[
    bool, typer.Option("--always-on", help="On for every word, for a whole domain; others are replayed and measured.")
]
StepsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=100_000, help="Steps of each of two parts [120; always on 160].")
]
RankOption = Annotated[int | None, typer.Option(metavar="R", min=1, max=64, help="Rank of each part's changes [4].")]
BudgetOption = Annotated[
    float | None,
    typer.Option(metavar="SHARE", min=0.0, max=1.0, help="What --always-on may cost other words [0.02]."),
]
AcceptOption = Annotated[
    bool, typer.Option("--accept-forgetting", help="Write it although it passes the budget; the report says so.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Tell time, memory and what there is; train nothing.")]
SeedOption = Annotated[int, typer.Option(metavar="S", min=0, help="The same seed trains the same adapter.")]
AdapterOutOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write it [NAME.adapter].")]


def finetune(
    source: SourceArgument,
    class_name: ClassOption,
    name: NameOption = None,
    phrase: PhraseOption = None,
    images: ImagesOption = None,
    unlike: UnlikeClassOption = None,
    always_on: AlwaysOnOption = False,
    dry_run: DryRunOption = False,
    steps: StepsOption = None,
    rank: RankOption = None,
    seed: SeedOption = 0,
    budget: BudgetOption = None,
    accept_forgetting: AcceptOption = False,
    out: AdapterOutOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an adapter that is there.")] = False,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the model to a class of labeled images: an adapter, on for its own words alone unless --always-on.

    Every object must be marked. The model stays as it is; a call that was interrupted goes on when it is given again.
    """
    from sam3_agent.cli.commands import finetune as command
    from sam3_agent.cli.output import print_json

    called = name or re.sub(r"[^\w.-]+", "-", class_name).strip("-_.")
    tuning = command.Tuning(
        source, called, out or Path(f"{called}.adapter"), tuple(phrase or (class_name,)), class_name, images,
        tuple(unlike or ()), always_on, steps, rank, seed, budget, accept_forgetting, replace,
    )  # fmt: skip
    report = command.tune(tuning, ModelOptions(model, device, dtype), dry_run=dry_run)
    if as_json:
        print_json(report.to_json())
    else:
        command.print_tuning(report)


def adapter(
    action: Annotated[
        Literal["show", "merge"],
        typer.Argument(metavar="show|merge", help="Tell what an adapter is, or write a model with one in its weights."),
    ],
    target: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's folder; to merge, MODEL+ADAPTER.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="merge: where the model's folder goes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show an adapter, or merge one that is always on into a model's folder."""
    from sam3_agent.cli.commands import adapter as command
    from sam3_agent.cli.output import print_json, print_line

    if action == "show":
        shown = command.show(Path(target))
        if as_json:
            print_json(shown.to_json())
        else:
            shown.print()
        return
    if out is None:
        raise typer.BadParameter("say where the model goes", param_hint="'--out'")
    manifest = command.merge(target, out)
    if as_json:
        print_json({"adapter": manifest.to_json(), "out": str(out)})
    else:
        print_line(f"merged '{manifest.name}' into {out}: --model {out}")


COMMANDS = (finetune, adapter)
"""In the order of `--help`."""
