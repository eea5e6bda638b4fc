"""Options that several commands share, and how their texts become values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.model.devices import DEVICE_HELP, Fast, names_devices
from sam3_agent.types import check_box

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".html")
"""Endings of `--out`; .html is a page that shows the masks in a browser."""


def _device(text: str) -> str:
    if not names_devices(text):
        raise typer.BadParameter(f"{text!r} is none of {DEVICE_HELP}")
    return text


def _picture(path: Path | None) -> Path | None:
    if path is not None and path.suffix and not path.is_dir() and path.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"'{path}' must end in one of {', '.join(PICTURES)}")
    return path


Dtype = Literal["auto", "bfloat16", "float32"]

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "--segmenter",
        metavar="NAME",
        help="tiny (embedded), facebook/sam3, a checkpoint's folder, or Meta's sam3.pt, each with +ADAPTER; "
        "serve:APP or ray://HOST:PORT/APP for what 'serve model' serves.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", callback=_device, help=f"{DEVICE_HELP}."),
]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", metavar="DTYPE", help="auto, bfloat16 or float32.")]
FastOption = Annotated[
    Fast, typer.Option("--fast", metavar="FAST", help="auto: compile for a CUDA GPU where there is much to do; off.")
]
LlmOption = Annotated[
    str,
    typer.Option(
        "--llm",
        metavar="SPEC",
        help="The LLM: rules (embedded), anthropic:MODEL, openai:MODEL, chat:MODEL@URL or replay:FILE.",
    ),
]
LlmTimeoutOption = Annotated[
    float | None,
    typer.Option("--llm-timeout", metavar="S", min=0.1, help="Give one call of the LLM up after so many seconds."),
]
LlmRetriesOption = Annotated[
    int | None, typer.Option("--llm-retries", metavar="N", min=0, help="Repeat a failed call of the LLM so often.")
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout (of many images one a line), the rest on stderr."),
]
PictureOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        callback=_picture,
        help="Also write the marked picture there; .html: a page to look at the masks in. Of many images: a folder.",
    ),
]
JudgeOption = Annotated[
    Literal["off", "once", "strict"] | None,
    typer.Option(
        "--judge", metavar="WHEN", help="A second look at the answer: off, once or strict [once; off with rules]."
    ),
]
VotesOption = Annotated[
    int,
    typer.Option(
        "--votes", metavar="K", min=1, max=15, help="Ask up to K times until two answers agree; masks by majority."
    ),
]
RescueOption = Annotated[
    bool,
    typer.Option("--rescue", help="Where nothing was found, try other phrases and boxes, and compare the answers."),
]
MaxTurnsOption = Annotated[
    int, typer.Option("--max-turns", metavar="N", min=1, help="Stop after so many replies of the LLM.")
]
MaxCallsOption = Annotated[
    int | None,
    typer.Option("--max-llm-calls", metavar="N", min=1, help="Stop after so many calls, the judge's included."),
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="Stop after so many tokens.")
]
MaxUsdOption = Annotated[
    float | None, typer.Option("--max-usd", metavar="D", min=0.0, help="Stop when so many dollars are spent.")
]
MaxSecondsOption = Annotated[
    float | None, typer.Option("--max-seconds", metavar="S", min=0.0, help="Stop after so many seconds.")
]
TraceOption = Annotated[
    Path | None,
    typer.Option("--trace", metavar="FILE", help="Write every step there, as JSON lines, pictures included."),
]
PageOption = Annotated[
    Path | None, typer.Option("--page", metavar="FILE", help="Write the run there as one HTML page to replay it.")
]
RecordOption = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Write what the LLM says there, for --llm replay:FILE."),
]
ImagesArgument = Annotated[
    list[str], typer.Argument(metavar="IMAGE", help="Image files, folders, globs, file URLs or data URIs.")
]
SegmentArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE... [--] CONCEPT",
        help="Image files, folders, globs or URIs, then short noun phrases such as 'yellow school bus', @NAME or"
        " FILE.concept.json; '--' between them says where concepts begin.",
    ),
]
TrackArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEO... [--] CONCEPT",
        help="Video files, folders (of videos, or of the frames of one) or globs, then noun phrases such as 'person',"
        " @NAME or FILE.concept.json; '--' between them says where concepts begin.",
    ),
]
AskArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE... [--] QUERY",
        help="Image files, folders, globs or URIs; last what to find, such as 'the cup left of the lamp'.",
    ),
]
ConceptOption = Annotated[
    list[str] | None, typer.Option("--concept", metavar="CONCEPT", help="A concept; all arguments are then images.")
]
QueryOption = Annotated[
    str | None, typer.Option("--query", metavar="QUERY", help="The query; all arguments are then images.")
]
ConnectOption = Annotated[
    str | None,
    typer.Option(
        "--connect", metavar="URL", help="Ask a running `sam3-mcp --transport http` there instead of loading a model."
    ),
]
LikeOption = Annotated[
    list[str] | None, typer.Option("--like", metavar="X0,Y0,X1,Y1", help="A box around an example; repeatable.")
]
UnlikeOption = Annotated[
    list[str] | None, typer.Option("--unlike", metavar="X0,Y0,X1,Y1", help="A box around what it is not; repeatable.")
]
FrameLikeOption = Annotated[
    list[str] | None,
    typer.Option("--like", metavar="FRAME:X0,Y0,X1,Y1", help="A box around an example on a frame; repeatable."),
]
FrameUnlikeOption = Annotated[
    list[str] | None,
    typer.Option("--unlike", metavar="FRAME:X0,Y0,X1,Y1", help="A box around what it is not; repeatable."),
]
FramePointOption = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="FRAME:X,Y", help="A point on one object, followed both ways; repeatable."),
]
RangeOption = Annotated[
    str, typer.Option("--range", metavar="A:B", help="Frames to track, both included, or seconds (2s:4.5s).")
]
StrideOption = Annotated[
    int, typer.Option("--stride", metavar="N", min=1, help="Look for new objects in every N-th frame only: faster.")
]
LiveOption = Annotated[
    bool, typer.Option("--live", help="Tell every frame at once, and take back what nothing confirms.")
]
NewScoreOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="T", min=0.0, max=1.0, help="Least score of what begins a track [.7; .6 with tiny]."
    ),
]
ProfileOption = Annotated[
    Literal["paper", "3.0", "3.1", "tiny"] | None,
    typer.Option(
        "--profile",
        metavar="PROFILE",
        help="Rules of tracks: paper, 3.0, 3.1 or tiny [tiny for that model, else paper].",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option("--fps", metavar="FPS", min=0.01, max=1000.0, help="Rate of a folder of frames [25]."),
]
TracksOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for tracks and files; the same call again goes on there."),
]
TrackFormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Files to write: overlay, ytvis, veval, mot, mots, mots-txt, davis, cvat, cvat-polygon, label-studio, sav,"
        " csv or all; repeatable [overlay, ytvis].",
    ),
]
ThresholdOption = Annotated[
    float, typer.Option("--threshold", metavar="T", min=0.0, max=1.0, help="Least score of an instance.")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="X0,Y0,X1,Y1", help="Look only here, at full resolution.")
]
TilesOption = Annotated[
    Literal["auto", "never", "always"],
    typer.Option(
        "--tiles",
        metavar="WHEN",
        help="Look closer, tile by tile: auto (where things are small or many), never, always.",
    ),
]
AssumeOption = Annotated[
    bool, typer.Option("--assume-present", help="The concepts are there: the threshold is for the object score alone.")
]
MaxIouOption = Annotated[
    float,
    typer.Option(
        "--max-iou", metavar="IOU", min=0.0, max=1.0, help="Drop the worse of two masks of a concept that overlap more."
    ),
]
MaxContainmentOption = Annotated[
    float,
    typer.Option(
        "--max-containment", metavar="SHARE", min=0.0, max=1.0, help="Drop a mask that lies in a larger one by more."
    ),
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of the model: its name, device and number format."""

    model: str = "tiny"
    device: str = "auto"
    dtype: Dtype = "auto"
    fast: Fast = "auto"


def parse_box(text: str, option: str) -> Box:
    """A box from "X0,Y0,X1,Y1" (xyxy pixels); a usage error that names the option otherwise."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
        check_box((x0, y0, x1, y1))
    except (ValueError, InputError) as error:
        raise typer.BadParameter(
            f"{text!r} is no X0,Y0,X1,Y1 in pixels with X0 < X1 and Y0 < Y1", param_hint=repr(option)
        ) from error
    return (x0, y0, x1, y1)


def parse_boxes(texts: Sequence[str], option: str) -> tuple[Box, ...]:
    """A box from each text."""
    return tuple(parse_box(text, option) for text in texts)
