"""The commands, each a few lines: options in, one room does the work, a report out.

Rooms are imported when their command runs, so that `--help` and a mistyped option answer at once.
"""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from sam3_agent.cli import label_commands, serve_commands, tuning_commands
from sam3_agent.cli.options import (
    AskArgument,
    AssumeOption,
    ConceptOption,
    ConnectOption,
    DeviceOption,
    DtypeOption,
    FrameLikeOption,
    FramePointOption,
    FrameUnlikeOption,
    ImagesArgument,
    JsonOption,
    JudgeOption,
    LikeOption,
    LiveOption,
    LlmOption,
    LlmRetriesOption,
    LlmTimeoutOption,
    MaxCallsOption,
    MaxContainmentOption,
    MaxIouOption,
    MaxSecondsOption,
    MaxTokensOption,
    MaxTurnsOption,
    MaxUsdOption,
    ModelOption,
    ModelOptions,
    NewScoreOption,
    PageOption,
    PictureOption,
    ProfileOption,
    QueryOption,
    RangeOption,
    RateOption,
    RecordOption,
    RegionOption,
    RescueOption,
    SegmentArgument,
    StrideOption,
    ThresholdOption,
    TilesOption,
    TraceOption,
    TrackArgument,
    TrackFormatOption,
    TracksOption,
    UnlikeOption,
    VotesOption,
    parse_box,
    parse_boxes,
)
from sam3_agent.cli.outputs import AFTER, CheckedCommand

app = typer.Typer(
    name="sam3-agent",
    help="Find what a sentence describes, with masks: SAM 3 joined with reasoning.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sam3_agent import __version__

        typer.echo(f"sam3-agent {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find what a sentence describes, with masks: SAM 3 joined with reasoning."""


@app.command(cls=CheckedCommand)
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where pictures and traces go.")] = Path("demo"),
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    llm: LlmOption = "rules",
    as_json: JsonOption = False,
) -> None:
    """See it work: a scene, three questions, answers."""
    from sam3_agent.cli.commands import demo as room
    from sam3_agent.cli.loading import open_workspace
    from sam3_agent.cli.output import print_json
    from sam3_agent.loop.load_llm import load_llm

    room.check_folder(out)
    loaded_llm = load_llm(llm)
    began = time.perf_counter()
    workspace = open_workspace(ModelOptions(model, device, dtype))
    report = room.run_demo(workspace, loaded_llm, loading=time.perf_counter() - began)
    room.write_demo(report, out)
    if as_json:
        print_json(report.to_json(out))
    else:
        room.print_report(report, out)


@app.command(cls=CheckedCommand)
def segment(
    ctx: typer.Context,
    arguments: SegmentArgument,
    concept: ConceptOption = None,
    like: LikeOption = None,
    unlike: UnlikeOption = None,
    threshold: ThresholdOption = 0.5,
    region: RegionOption = None,
    tiles: TilesOption = "auto",
    assume_present: AssumeOption = False,
    max_iou: MaxIouOption = 1.0,
    max_containment: MaxContainmentOption = 1.0,
    out: PictureOption = None,
    connect: ConnectOption = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find every instance of each concept, in one image or in many."""
    from sam3_agent.cli.batch import Shown
    from sam3_agent.cli.commands import segment as room

    began = time.perf_counter()
    boxes = parse_boxes(like or [], "--like"), parse_boxes(unlike or [], "--unlike")
    window = parse_box(region, "--region") if region is not None else None
    asked = room.read_arguments(arguments, ctx.meta.get(AFTER), concept or [], *boxes, model)
    how = room.How(threshold, window, tiles, assume_present, max_iou, max_containment)
    room.run(asked, how, ModelOptions(model, device, dtype), connect, Shown(out, as_json), began=began)


@app.command(cls=CheckedCommand)
def segment_at(
    images: ImagesArgument,
    on: Annotated[
        list[str] | None, typer.Option("--on", metavar="X,Y", help="A point on the object; repeatable.")
    ] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--beside", metavar="X,Y", help="A point that is not on it; repeatable.")
    ] = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A tight box around the object.")
    ] = None,
    region: RegionOption = None,
    out: PictureOption = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Segment exactly one object by pointing at it; of many images, at the same place of each."""
    from sam3_agent.cli.batch import Shown
    from sam3_agent.cli.commands import segment_at as room
    from sam3_agent.cli.images import find_images

    began = time.perf_counter()
    points = [[room.parse_point(t, name) for t in given or []] for given, name in ((on, "--on"), (beside, "--beside"))]
    prompt = room.prompt_of(points[0], points[1], parse_box(box, "--box") if box is not None else None)
    window = parse_box(region, "--region") if region is not None else None
    asked = room.Asked(find_images(images), prompt, window)
    room.run(asked, ModelOptions(model, device, dtype), Shown(out, as_json), began=began)


@app.command(cls=CheckedCommand)
def learn(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; it is then asked for as '@NAME'.")],
    like: Annotated[
        list[str], typer.Option("--like", metavar="IMAGE:X0,Y0,X1,Y1", help="A box around an example; repeatable.")
    ],
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", metavar="IMAGE:X0,Y0,X1,Y1", help="A box around what it is not; repeatable."),
    ] = None,
    phrase: Annotated[str, typer.Option(metavar="TEXT", help="A noun phrase to ask together with the examples.")] = "",
    mode: Annotated[
        Literal["auto", "tokens", "canvas"],
        typer.Option(
            metavar="MODE", help="tokens read from the examples, a canvas that shows them, or auto: the better."
        ),
    ] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it [NAME.concept.json].")] = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Learn a concept from examples, for other images: give the file to `segment` as a CONCEPT."""
    from sam3_agent.cli.commands import learn as room
    from sam3_agent.cli.loading import open_workspace
    from sam3_agent.cli.output import print_json

    examples = room.parse_examples(like, "--like"), room.parse_examples(unlike or [], "--unlike")
    path = room.concept_path(name, out)
    report = room.learn(open_workspace(ModelOptions(model, device, dtype)), name, phrase, *examples, path, mode)
    if as_json:
        print_json(report.to_json())
    else:
        room.print_report(report)


@app.command(cls=CheckedCommand)
def ask(
    ctx: typer.Context,
    arguments: AskArgument,
    query: QueryOption = None,
    llm: LlmOption = "rules",
    llm_timeout: LlmTimeoutOption = None,
    llm_retries: LlmRetriesOption = None,
    judge: JudgeOption = None,
    votes: VotesOption = 1,
    rescue: RescueOption = False,
    max_turns: MaxTurnsOption = 24,
    max_llm_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    max_usd: MaxUsdOption = None,
    max_seconds: MaxSecondsOption = None,
    trace: TraceOption = None,
    page: PageOption = None,
    record: RecordOption = None,
    out: PictureOption = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Answer one referring expression, about one image or video, or each of many."""
    from sam3_agent.cli.batch import Shown
    from sam3_agent.cli.commands import ask as room
    from sam3_agent.cli.commands import ask_video

    asked = room.read_arguments(arguments, ctx.meta.get(AFTER), query, model)
    given = room.LlmOptions(llm, llm_timeout, llm_retries, record)
    budget = room.Budget(max_turns, max_llm_calls, max_usd, max_seconds, max_tokens)
    written = room.Written(trace, page)
    loaded, shown = ModelOptions(model, device, dtype), Shown(out, as_json)
    if ask_video.check_options(asked.images, votes, rescue=rescue):
        return ask_video.run(asked, given, budget, judge, written, loaded, shown)
    return room.run(asked, given, budget, judge, written, loaded, shown, votes, rescue=rescue)


@app.command(cls=CheckedCommand)
def scenes(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new folder, or an unfinished one of the same call.")
    ],
    count: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="How many scenes.")],
    seed: Annotated[
        int, typer.Option(metavar="S", min=0, max=1_000_000_000, help="The same seed draws the same scenes.")
    ] = 0,
    form: Annotated[
        Literal["coco", "reasonseg", "mp4", "webm", "frames"] | None,
        typer.Option("--format", metavar="FORMAT", help="coco (usual) or reasonseg; of videos mp4, webm or frames."),
    ] = None,
    video: Annotated[bool, typer.Option("--video", help="Videos with truth in every frame instead of images.")] = False,
    frames: Annotated[
        int | None, typer.Option(metavar="T", min=1, max=100_000, help="Frames of each video; 24 unless given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw scenes or videos with exact ground truth.

    An interrupted call goes on where it stopped when it is given again.
    """
    from sam3_agent.cli.commands import scenes as room
    from sam3_agent.cli.output import print_json, print_line

    report = room.write_scenes(room.make_order(count, seed, form, video, frames), out)
    if as_json:
        print_json(report.to_json())
    else:
        print_line(report.words())


@app.command(cls=CheckedCommand)
def track(
    ctx: typer.Context,
    arguments: TrackArgument,
    concept: ConceptOption = None,
    like: FrameLikeOption = None,
    unlike: FrameUnlikeOption = None,
    at: FramePointOption = None,
    span: RangeOption = "",
    stride: StrideOption = 1,
    live: LiveOption = False,
    threshold: NewScoreOption = None,
    profile: ProfileOption = None,
    fps: RateOption = None,
    out: TracksOption = None,
    form: TrackFormatOption = None,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find every instance of each concept in a video, or in many, and follow each under an id that never changes."""
    from sam3_agent.cli import videos
    from sam3_agent.cli.batch import Shown
    from sam3_agent.cli.commands import track as room
    from sam3_agent.cli.track_files import parse_formats

    began = time.perf_counter()
    boxes = videos.parse_frame_boxes(like or [], "--like"), videos.parse_frame_boxes(unlike or [], "--unlike")
    points = videos.parse_frame_points(at or [], "--at")
    formats = parse_formats(form or [], out)
    how = room.How(videos.parse_range(span), stride, live, threshold, profile, fps)
    asked = room.read_arguments(arguments, ctx.meta.get(AFTER), concept or [], *boxes, points, model)
    room.run(asked, how, formats, ModelOptions(model, device, dtype), Shown(out, as_json), began=began)


@app.command(cls=CheckedCommand)
def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the Hugging Face Hub for access to facebook/sam3.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at what is installed and say what to do where something is missing.

    Exits with 1 when something is missing without which nothing works. Tokens are never shown.
    """
    from sam3_agent.cli.commands import doctor as command
    from sam3_agent.cli.output import print_json

    report = command.examine(online=not offline)
    if as_json:
        print_json(report.to_json())
    else:
        command.print_report(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command(cls=CheckedCommand)
def skill(
    action: Annotated[Literal["install"], typer.Argument(metavar="install", help="Write the skill's folder.")],
    target: Annotated[
        str, typer.Option("--target", metavar="TARGET", help="claude-code (~/.claude/skills), or a folder of skills.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Teach an agent such as Claude Code how to use this project: a SKILL.md with its references.

    An older copy is replaced; files of yours in it are refused to be overwritten.
    """
    from sam3_agent.cli.commands import skill as command
    from sam3_agent.cli.output import print_json, print_line

    folder = command.install(target)
    if as_json:
        print_json({"action": action, "folder": str(folder), "files": [path.name for path in command.files()]})
    else:
        print_line(f"installed the skill sam3-agent in {folder}")


@app.command(cls=CheckedCommand)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that completes commands and options: eval "$(sam3-agent completion bash)"."""
    from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

    typer.echo(get_completion_script(prog_name="sam3-agent", complete_var="_SAM3_AGENT_COMPLETE", shell=shell))


for _command in (*label_commands.COMMANDS, *tuning_commands.COMMANDS):
    app.command(cls=CheckedCommand)(_command)
app.add_typer(serve_commands.serve)
