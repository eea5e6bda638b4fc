"""The commands around labeling, `label`, `review`, `check`, `export`, `teach` and `geo`, as `app.py` takes them up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sam3_agent.cli.options import (
    DeviceOption,
    DtypeOption,
    FastOption,
    JsonOption,
    LlmOption,
    LlmRetriesOption,
    LlmTimeoutOption,
    ModelOption,
    ModelOptions,
    ThresholdOption,
    TilesOption,
)

if TYPE_CHECKING:
    from sam3_agent.labeling.ontology.ontology import Ontology

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The --out folder of `label`.", file_okay=False, show_default=False)
]
ReviewedArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="The --out folder of `label`, or of `track`.", file_okay=False, show_default=False
    ),
]
ConceptsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.yaml", help="The concept file: classes and their phrases.", show_default=False),
]
ClassesOption = Annotated[
    list[str] | None,
    typer.Option("--concept", metavar="PHRASE", help="A class by its phrase, without a concept file; repeatable."),
]
ImagesArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="IMAGES",
        help="A folder of images and videos, or one of them; s3://, gs://, hf:// or https:// too (to DIR/source).",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the journal of labels goes; with --suggest, the new file.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what DIR holds already.")]
SuggestOption = Annotated[
    bool, typer.Option("--suggest", help="Only let --llm draft more phrases and negatives: a new concept file.")
]
NoJudgeOption = Annotated[
    bool, typer.Option("--no-judge", help="Verify by the score rule alone, also where --llm sees pictures.")
]
ImportOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--import", metavar="FILE", help="Labels to extend: COCO, LabelMe, YOLO, CVAT or FiftyOne; repeatable."
    ),
]
EngineOption = Annotated[
    Literal["threads", "ray"],
    typer.Option("--engine", metavar="ENGINE", help="threads of this process, or ray: a Ray cluster."),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, max=1024, help="Images in work at once [1; on a GPU 8; ray: one a GPU, or 2 CPUs]."
    ),
]
BudgetOption = Annotated[
    float | None, typer.Option("--budget-usd", metavar="D", min=0.0, help="Stop when so many dollars are spent.")
]

TaughtFromOption = Annotated[
    Path,
    typer.Option(
        "--from",
        metavar="RUN|FILE|DIR",
        help="The --out folder of `label`, a label file (COCO, YOLO, LabelMe, CVAT), or a folder with one.",
        show_default=False,
    ),
]
ImagesOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The images of a label file [its folder].", file_okay=False)
]
ClassOption = Annotated[
    str | None, typer.Option("--class", metavar="CLASS", help="The class of the labels [NAME, or the only one].")
]
UnlikeClassOption = Annotated[
    list[str] | None, typer.Option("--unlike", metavar="CLASS", help="A class of look-alikes; repeatable.")
]
StepsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=10_000, help="Steps of each of four parts [60].")
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="coco, coco-polygons, yolo, voc, labelme, cvat, label-studio, semantic, mllm, fiftyone, parquet or "
        "webdataset; of videos ytvis, veval, mot, mots, mots-txt, davis, cvat, cvat-polygon, label-studio, sav or csv.",
    ),
]
ExportOutOption = Annotated[
    str | None, typer.Option(metavar="OUT", help="Where it goes [DIR/export/FORMAT]; s3://, gs:// or hf:// too.")
]
GeoAction = Annotated[
    Literal["segment", "tiles", "export"],
    typer.Argument(metavar="segment|tiles|export", help="Of a raster, or of the labels of its tiles."),
]
GeoSource = Annotated[Path, typer.Argument(metavar="TIFF|DIR", help="A GeoTIFF; of export, the --out of `label`.")]
GeoOut = Annotated[Path, typer.Option(metavar="OUT", help="Folder for what is written.", show_default=False)]
GeoConcepts = Annotated[list[str] | None, typer.Argument(metavar="CONCEPT...", help="Of segment: phrases.")]
BandsOption = Annotated[
    str, typer.Option(metavar="R,G,B", help="Bands shown as red, green, blue [those named so, else 1,2,3].")
]
StretchOption = Annotated[
    Literal["auto", "none", "percent", "minmax"],
    typer.Option(metavar="HOW", help="auto (8 bits as they are, else percent), none, percent (2-98 %) or minmax."),
]
TileOption = Annotated[int, typer.Option(metavar="PX", min=16, max=14_000, help="Of tiles: their side.")]
OverlapOption = Annotated[int, typer.Option(metavar="PX", min=0, help="Of tiles: shared with the next one.")]
GeoReviewOption = Annotated[bool, typer.Option("--with-review", help="Of export: also what waits for a person.")]


def label(
    images: ImagesArgument = None,
    concepts: ConceptsOption = None,
    concept: ClassesOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    existing: ImportOption = None,
    suggest: SuggestOption = False,
    engine: EngineOption = "threads",
    jobs: JobsOption = None,
    no_judge: NoJudgeOption = False,
    budget_usd: BudgetOption = None,
    tiles: TilesOption = "auto",
    llm: LlmOption = "rules",
    llm_timeout: LlmTimeoutOption = None,
    llm_retries: LlmRetriesOption = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    fast: FastOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Label a folder of images and videos by a concept file: propose, verify, journal. A track of a video is a label.

    An interrupted run goes on with --resume. An LLM that sees pictures judges every label and what is missing.
    """
    from sam3_agent.cli.commands import label as command
    from sam3_agent.cli.output import print_json
    from sam3_agent.loop.load_llm import with_patience

    asked = with_patience(llm, llm_timeout, llm_retries)
    if suggest:
        return _suggest(concepts, asked, images, out, as_json=as_json)
    if images is None or out is None:
        raise typer.BadParameter("give IMAGES and --out DIR (only --suggest does without)")
    order, known = command.Order(command.local_images(images, out), budget_usd, llm), tuple(existing or ())
    named = _classes(concepts, concept)
    options = command.LabelOptions(order, named, out, resume, known, tiles, not no_judge, engine, jobs, asked)
    report = command.label(options, ModelOptions(model, device, dtype, fast))
    return print_json(report.to_json()) if as_json else command.print_report(report)


def _classes(concepts: Path | None, phrases: list[str] | None) -> "Path | Ontology":
    """Read the classes of a label run: a concept file, or phrases that are classes."""
    from sam3_agent.labeling.ontology.ontology import named_classes

    if (concepts is None) == (not phrases):
        raise typer.BadParameter("give a concept file with --concepts, or each class with --concept, and not both")
    return concepts if concepts is not None else named_classes(phrases or ())


def _suggest(concepts: Path | None, llm: str, images: str | None, out: Path | None, *, as_json: bool) -> None:
    from sam3_agent.cli.commands import suggest as command
    from sam3_agent.cli.commands.label import local_images
    from sam3_agent.cli.output import print_json

    if concepts is None:
        raise typer.BadParameter("--suggest drafts words for a concept file: give it with --concepts")
    samples = local_images(images, None) if images is not None else None
    report = command.suggest_words(command.SuggestOptions(concepts, llm, samples, out))
    if as_json:
        print_json(report.to_json())
    else:
        command.print_draft(report)


def review(
    folder: ReviewedArgument,
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
    """Look at labels of images, or at tracks of a video, in the browser: accept, reject and mend them.

    The page is served on this machine only, at an address with a key in it. The model is loaded at the first click.
    """
    from sam3_agent.cli.commands import review as command
    from sam3_agent.cli.output import print_json

    if not calibrate:
        return command.serve(folder, command.Page(port, reviewer), ModelOptions(model, device, dtype))
    fits = command.fit_rule(folder, precision)
    return print_json([fit.to_json() for fit in fits]) if as_json else command.print_fits(fits)


def check(
    folder: FolderArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the page goes [DIR/health.html].")] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Also find labels unlike their class; --model encodes every image once.")
    ] = False,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    fast: FastOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Report on the health of labels: classes, tiny and cut objects, overlaps, leaks, images to see next."""
    from sam3_agent.cli.commands import check as command
    from sam3_agent.cli.output import print_json

    health, page = command.check(folder, out, ModelOptions(model, device, dtype, fast) if look else None)
    if as_json:
        print_json({**health.to_json(), "page": str(page)})
    else:
        command.print_health(health, page)


def export(
    folder: ReviewedArgument,
    form: FormatOption,
    out: ExportOutOption = None,
    val: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=0.9, help="Share of images for a validation split.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="S", help="Draws the split; near duplicates stay on one side.")] = 0,
    review: Annotated[bool, typer.Option("--with-review", help="Also what still waits for a person.")] = False,
    pictures: Annotated[bool, typer.Option("--images", "--pictures", help="Copy the images too, upright.")] = False,
    simplify: Annotated[
        float,
        typer.Option(metavar="PX", min=0.0, max=100.0, help="Polygons of few vertices, off by at most so many pixels."),
    ] = 0.0,
    shard_mb: Annotated[
        int, typer.Option("--shard-mb", metavar="MB", min=1, help="Size of the files of parquet and webdataset.")
    ] = 500,
    as_json: JsonOption = False,
) -> None:
    """Write the accepted labels of a run in a label format, or all tracks but the rejected ones in one of tracks."""
    from sam3_agent.cli.commands import export as command
    from sam3_agent.cli.output import print_json
    from sam3_agent.labeling.io.journal_labels import Selection

    selection = Selection(
        ("accepted", "review") if review else ("accepted",), val, seed, simplify, shard_mb * 1_000_000
    )
    report = command.export_run(folder, form, out, selection, pictures=pictures)
    if as_json:
        print_json(report.to_json())
    else:
        command.print_report(report)


def teach(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; it is then asked for as '@NAME'.")],
    source: TaughtFromOption,
    images: ImagesOption = None,
    class_name: ClassOption = None,
    unlike: UnlikeClassOption = None,
    steps: StepsOption = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed trains the same tokens.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it [NAME.concept.json].")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a concept of this name.")] = False,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Teach a concept from labeled images with and without it: minutes, where `learn` takes seconds.

    Every object must be marked. The model stays as it is; a call that was interrupted goes on when it is given again.
    """
    from sam3_agent.cli.commands import teach as command
    from sam3_agent.cli.commands.learn import concept_path
    from sam3_agent.cli.output import print_json

    path = concept_path(name, out)
    lesson = command.Lesson(name, source, path, images, class_name, tuple(unlike or ()), steps, seed, replace)
    report = command.teach_class(lesson, ModelOptions(model, device, dtype))
    if as_json:
        print_json(report.to_json())
    else:
        command.print_taught(report)


def relabel(
    folder: FolderArgument,
    class_name: Annotated[
        list[str] | None, typer.Option("--class", metavar="CLASS", help="A class to teach; repeatable [all decided].")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is to be taught.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=10_000, help="Steps of each of four parts [60]; 0: `learn` instead."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed trains the same tokens.")] = 0,
    jobs: JobsOption = None,
    llm: LlmOption = "rules",
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Teach the classes of a run from what people decided, and label anew what they have not.

    Decided labels stay. A version of a class is used where it beats what was asked before; a stopped call goes on.
    """
    from sam3_agent.cli.commands import relabel as command
    from sam3_agent.cli.output import print_json

    options = command.RelabelOptions(folder, tuple(class_name or ()), steps, seed, jobs, llm)
    if dry_run:
        lessons = command.plan(options)
        return print_json([command.lesson_json(x) for x in lessons]) if as_json else command.print_plan(lessons)
    report = command.relabel(options, ModelOptions(model, device, dtype))
    return print_json(command.report_json(report)) if as_json else command.print_report(report, folder)


def geo(
    action: GeoAction,
    source: GeoSource,
    out: GeoOut,
    concepts: GeoConcepts = None,
    bands: BandsOption = "",
    stretch: StretchOption = "auto",
    tile: TileOption = 1024,
    overlap: OverlapOption = 0,
    review: GeoReviewOption = False,
    threshold: ThresholdOption = 0.5,
    tiles: TilesOption = "auto",
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    fast: FastOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Segment a GeoTIFF, cut it into tiles to label, or put a run's labels on the map: GeoJSON, GeoPackage, COCO.

    `segment` takes rasters of up to 200 megapixels; of larger ones make tiles, label these, and export.
    """
    from sam3_agent.cli.commands import geo as command
    from sam3_agent.cli.output import print_json

    try:
        chosen = command.Bands(tuple(int(band) for band in bands.split(",")) if bands else (), stretch)
    except ValueError as error:
        raise typer.BadParameter(f"three numbers such as 4,3,2, not {bands!r}", param_hint="'--bands'") from error
    if action != "segment" and concepts:
        raise typer.BadParameter(f"{action} takes no concepts", param_hint="'CONCEPT...'")
    if action == "tiles":
        report = command.cut(source, out, chosen, tile, overlap)
    elif action == "export":
        report = command.put_on_map(source, out, review=review)
    else:
        options = ModelOptions(model, device, dtype, fast)
        report = command.segment(source, concepts or [], out, chosen, threshold, tiles, options)
    return print_json(report.to_json()) if as_json else report.print()


COMMANDS = (label, review, relabel, check, export, teach, geo)
"""In the order of `--help`."""
