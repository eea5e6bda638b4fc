"""The commands around labelling, `label`, `review` and `export`, as `app.py` takes them up."""

from pathlib import Path
from typing import Annotated

import typer

from sam3_agent.cli.options import DeviceOption, DtypeOption, Eye, JsonOption, LlmOption, ModelOption, TilesOption

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The --out folder of `label`.", file_okay=False, show_default=False)
]


def label(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or one picture.")],
    concepts: Annotated[Path, typer.Option(metavar="FILE.yaml", help="The concept file: classes and their phrases.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the journal of labels goes.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what DIR holds already.")] = False,
    existing: Annotated[
        list[Path] | None,
        typer.Option("--import", metavar="FILE", help="Labels to extend: COCO JSON, or YOLO data.yaml; repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Images in work at once.")] = 1,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", metavar="D", min=0.0, help="Stop when so many dollars are spent.")
    ] = None,
    tiles: TilesOption = "auto",
    llm: LlmOption = "rules",
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Label a folder of pictures by a concept file: propose, verify, journal.

    An interrupted run goes on with --resume.
    """
    from sam3_agent.cli import label as room
    from sam3_agent.cli.terminal import print_json
    from sam3_agent.labeling.run import Order

    order = Order(images, jobs, budget_usd, llm)
    asked = room.Asked(order, concepts, out, resume, tuple(existing or ()), tiles)
    report = room.label(asked, Eye(model, device, dtype))
    if as_json:
        print_json(report.to_json())
    else:
        room.print_report(report)


def review(
    folder: FolderArgument,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only fit the rule to what has been decided, then stop.")
    ] = False,
    precision: Annotated[
        float, typer.Option(metavar="P", min=0.5, max=0.999, help="What --calibrate aims at for accepted labels.")
    ] = 0.95,
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 takes a free one.")] = 0,
    reviewer: Annotated[str, typer.Option(metavar="NAME", help="Written into each decision.")] = "person",
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Look at labels in the browser, accept, reject and mend them.

    The page is served on this machine only, at an address with a key in it. The eye is loaded at the first click.
    """
    from sam3_agent.cli import review as room
    from sam3_agent.cli.terminal import print_json

    if not calibrate:
        return room.serve(folder, room.Page(port, reviewer), Eye(model, device, dtype))
    fits = room.fit_rule(folder, precision)
    return print_json([fit.to_json() for fit in fits]) if as_json else room.print_fits(fits)


def export(
    folder: FolderArgument,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="coco, coco-polygons, yolo, voc, labelme, cvat, label-studio, semantic or mllm.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="OUT", help="Where it goes [DIR/export/FORMAT].")] = None,
    val: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=0.9, help="Share of pictures for a validation split.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="S", help="Draws the split; near duplicates stay on one side.")] = 0,
    review: Annotated[bool, typer.Option("--with-review", help="Also what still waits for a person.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Copy the pictures too, upright.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the accepted labels of a run in a label format."""
    from sam3_agent.cli import export as room
    from sam3_agent.cli.terminal import print_json
    from sam3_agent.labeling.export import Selection

    selection = Selection(("accepted", "review") if review else ("accepted",), val, seed)
    report = room.export_run(folder, form, out, selection, pictures=pictures)
    if as_json:
        print_json(report.to_json())
    else:
        room.print_report(report)


COMMANDS = (label, review, export)
"""In the order of `--help`."""
