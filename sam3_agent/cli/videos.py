"""Videos that a command is given, and the frames, boxes and points on them that options name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from sam3_agent.cli.images import Kind, visible_files
from sam3_agent.cli.options import parse_box
from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.types import Point
from sam3_agent.video import Video
from sam3_agent.video.containers import SUFFIXES as CONTAINERS
from sam3_agent.video.pictures import SUFFIXES as FRAMES

SUFFIXES = (*CONTAINERS, ".gif")
"""Suffixes that are taken from a folder; a file that is named itself may be called anything."""
_NUMBER = r"\d+(?:\.\d+)?"
_PLACE = re.compile(rf"({_NUMBER})(s?)")
_ENDS = re.compile(rf"(?:({_NUMBER}s?))?:(?:({_NUMBER}s?))?")


def _videos_in(folder: str) -> list[str]:
    """Videos in a folder; the folder itself where it holds frames; or those folders in it that do."""
    files = visible_files(folder)
    videos = [str(path) for path in files if path.suffix.lower() in SUFFIXES]
    if videos:
        return videos
    if any(path.suffix.lower() in FRAMES for path in files):
        return [folder]
    below = [path for path in Path(folder).expanduser().iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [str(path) for path in below if any(each.suffix.lower() in FRAMES for each in visible_files(str(path)))]


VIDEOS = Kind("video", SUFFIXES, _videos_in)


@dataclass(frozen=True, slots=True)
class Place:
    """A frame by its index or its time, as a person writes it."""

    text: str
    seconds: bool

    def index(self, video: Video, option: str) -> int:
        """The frame that is meant; raises InputError where the video has none there."""
        number = float(self.text.removesuffix("s"))
        info = video.info
        if self.seconds:
            if number > info.duration:
                raise InputError(f"{option}: {self.text} is after the end of the video, {info.duration:.2f} s")
            return video.index_at(number)
        if number >= info.frames:
            raise InputError(f"{option}: there is no frame {self.text}; the video's frames are 0-{info.frames - 1}")
        return int(number)


@dataclass(frozen=True, slots=True)
class FrameRange:
    """First and last frame, both included; None for the end of the video on that side."""

    first: Place | None = None
    last: Place | None = None

    def frames(self, video: Video) -> tuple[int, int]:
        """(first, last) in a video; raises InputError where it has no such frames."""
        first = self.first.index(video, "--range") if self.first else 0
        last = self.last.index(video, "--range") if self.last else len(video) - 1
        if first > last:
            raise InputError(f"--range: it ends (frame {last}) before it begins (frame {first})")
        return first, last


@dataclass(frozen=True, slots=True)
class FrameBox:
    """A box on a frame."""

    frame: Place
    box: Box

    def on(self, video: Video, option: str) -> tuple[int, Box]:
        """(frame, box) in a video; raises InputError where they lie outside."""
        x0, y0, x1, y1 = self.box
        index = self.frame.index(video, option)
        _check_inside(video, option, (x0, y0), (x1, y1))
        return index, self.box


@dataclass(frozen=True, slots=True)
class FramePoint:
    """A point on a frame."""

    frame: Place
    point: Point

    def on(self, video: Video, option: str) -> tuple[int, Point]:
        """(frame, point) in a video; raises InputError where they lie outside."""
        index = self.frame.index(video, option)
        _check_inside(video, option, self.point)
        return index, self.point


def parse_range(text: str) -> FrameRange:
    """The range of "A:B", "A:" or ":B", frames or seconds ("1.5s"), all for ""; a usage error otherwise."""
    if not text:
        return FrameRange()
    found = _ENDS.fullmatch(text.strip())
    if found is None or found.group(1) is found.group(2) is None:
        raise _bad(f"{text!r} is no range of frames such as 0:99, or of seconds such as 2s:4.5s", "--range")
    first, last = (None if end is None else _place(end, text, "--range") for end in found.groups())
    return FrameRange(first, last)


def parse_frame_boxes(texts: Sequence[str], option: str) -> tuple[FrameBox, ...]:
    """A box on a frame from each "FRAME:X0,Y0,X1,Y1"; a usage error that names the option otherwise."""
    made: list[FrameBox] = []
    for text in texts:
        frame, colon, box = text.partition(":")
        if not colon:
            raise _bad(f"{text!r} is no FRAME:X0,Y0,X1,Y1, such as 12:40,30,90,80", option)
        made.append(FrameBox(_place(frame, text, option), parse_box(box, option)))
    return tuple(made)


def parse_frame_points(texts: Sequence[str], option: str) -> tuple[FramePoint, ...]:
    """A point on a frame from each "FRAME:X,Y"; a usage error that names the option otherwise."""
    made: list[FramePoint] = []
    for text in texts:
        frame, _, point = text.partition(":")
        try:
            x, y = (float(part) for part in point.split(","))
        except ValueError as error:
            raise _bad(f"{text!r} is no FRAME:X,Y, such as 12:64,50", option) from error
        made.append(FramePoint(_place(frame, text, option), (x, y)))
    return tuple(made)


def check_suitable(video: Video) -> None:
    """Refuse what holds no course of time; raises InputError."""
    if len(video) < 2:
        raise InputError(f"{video.info.name} has one frame only: `sam3-agent segment` is for images")


def _place(text: str, whole: str, option: str) -> Place:
    found = _PLACE.fullmatch(text.strip())
    if found is None or ("." in found.group(1) and not found.group(2)):
        raise _bad(f"{text!r} in {whole!r} is no frame such as 12, and no time such as 1.5s", option)
    return Place(text.strip(), bool(found.group(2)))


def _check_inside(video: Video, option: str, *points: Point) -> None:
    width, height = video.info.width, video.info.height
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(f"{option}: {x:g},{y:g} lies outside the video's frames, which are {width}x{height}")


def _bad(sentence: str, option: str) -> typer.BadParameter:
    return typer.BadParameter(sentence, param_hint=repr(option))
