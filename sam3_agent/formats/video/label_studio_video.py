"""Label Studio for videos: tasks with a sequence of boxes for each track, in percent, frames from 1.

https://labelstud.io/tags/videorectangle: between keyframes boxes move in a line, and from one with "enabled": false on
there is none. Label Studio has no masks in videos.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import xml_text
from sam3_agent.formats.files import write_json, write_text
from sam3_agent.formats.palette import voc_colors
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.formats.video.track_set import TrackSet, box_mask, check_extent, track_of
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track


def write_label_studio_video(
    videos: Sequence[TrackSet], out: Path, prefix: str = "/data/local-files/?d=", model: str = ""
) -> list[str]:
    """Write tasks.json and interface.xml; gives warnings: videos without a rate are told to play at 25 frames a second.

    `prefix` is put before the name of each video: that of Label Studio's local storage unless told otherwise.
    """
    tasks = [
        {
            "data": {"video": f"{prefix}{video.source or video.name}"},
            "predictions": [
                {
                    "model_version": model,
                    "score": round(min((track.score for track in video.tracks), default=1.0), 4),
                    "result": [_result(track, video) for track in video.tracks if track.visible],
                }
            ],
        }
        for video in videos
    ]
    write_json(out / "tasks.json", tasks)
    concepts = tuple(dict.fromkeys(concept for video in videos for concept in video.concepts))
    write_text(out / "interface.xml", _interface(concepts, next((v.fps for v in videos if v.fps), 25.0)))
    unknown = [video.name for video in videos if not video.fps]
    return [f"no frame rate is known of {', '.join(unknown)}: times are left out"] if unknown else []


def read_label_studio_video(path: Path, sizes: Sequence[tuple[int, int]]) -> tuple[TrackSet, ...]:
    """Read tasks, people's annotations before predictions; masks fill the boxes. `sizes` are (height, width) of videos.

    Raises:
        InputError: the file is not such a file; the message names task and field.
    """
    try:
        tasks = _Tasks.model_validate(read_json(path)).root
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error
    if len(sizes) != len(tasks):
        raise InputError(f"{path}: {len(tasks)} tasks, sizes of {len(sizes)} videos")
    try:
        return tuple(_video(task, size) for task, size in zip(tasks, sizes, strict=True))
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


class _Key(pydantic.BaseModel):
    frame: int
    enabled: bool = True
    x: float
    y: float
    width: float
    height: float


class _Value(pydantic.BaseModel):
    framesCount: int
    sequence: list[_Key]
    labels: list[str] = []
    duration: float | None = None


class _Result(pydantic.BaseModel):
    id: str
    type: str
    value: dict[str, Any]
    score: float = 1.0


class _Answer(pydantic.BaseModel):
    result: list[_Result]


class _Task(pydantic.BaseModel):
    data: dict[str, Any]
    annotations: list[_Answer] = []
    predictions: list[_Answer] = []


class _Tasks(pydantic.RootModel[list[_Task]]):
    pass


def _video(task: _Task, size: tuple[int, int]) -> TrackSet:
    answers = task.annotations or task.predictions
    rectangles = [
        (result, _Value.model_validate(result.value))
        for result in (answers[0].result if answers else [])
        if result.type == "videorectangle"
    ]
    frames = max((value.framesCount for _, value in rectangles), default=0)
    duration = next((value.duration for _, value in rectangles if value.duration), None)
    made = [
        track_of(result.id, (value.labels or ["object"])[0], _entries(value, size, result.score))
        for result, value in rectangles
    ]
    name = str(task.data.get("video", "")).rpartition("=")[2]
    tracks = tuple(track for track in made if track is not None)
    return TrackSet(name, size[1], size[0], frames, tracks, frames / duration if duration else 0.0, source=name)


def _entries(value: _Value, size: tuple[int, int], score: float) -> dict[int, tuple[Rle, float]]:
    check_extent("a track", size, value.framesCount, *(key.frame for key in value.sequence))
    entries: dict[int, tuple[Rle, float]] = {}
    keys = sorted(value.sequence, key=lambda key: key.frame)
    for place, key in enumerate(keys):
        following = keys[place + 1] if place + 1 < len(keys) else None
        stop = following.frame if following else value.framesCount + 1
        for frame in range(key.frame, key.frame + 1 if not key.enabled else stop):
            share = (frame - key.frame) / (stop - key.frame) if following else 0.0
            entries[frame - 1] = (box_mask(_box(key, following or key, share, size), size), score)
    return entries


def _box(one: _Key, other: _Key, share: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    x, y, w, h = (
        (getattr(one, name) + (getattr(other, name) - getattr(one, name)) * share) / 100 * side
        for name, side in (("x", size[1]), ("y", size[0]), ("width", size[1]), ("height", size[0]))
    )
    return (x, y, x + w, y + h)


def _result(track: Track, video: TrackSet) -> dict[str, Any]:
    seen = track.visible
    sequence: list[dict[str, Any]] = []
    for place, frame in enumerate(seen):
        x0, y0, x1, y1 = frame.box
        key: dict[str, Any] = {
            "frame": frame.index + 1,
            # The last box of a stretch is its own frame only: without this it would wander to the next one.
            "enabled": place + 1 < len(seen) and seen[place + 1].index == frame.index + 1,
            "rotation": 0,
            "x": round(100 * x0 / video.width, 4),
            "y": round(100 * y0 / video.height, 4),
            "width": round(100 * (x1 - x0) / video.width, 4),
            "height": round(100 * (y1 - y0) / video.height, 4),
        }
        sequence.append(key | ({"time": round(video.time(frame.index), 4)} if video.fps else {}))
    value: dict[str, Any] = {"framesCount": video.frames, "sequence": sequence, "labels": [track.concept]}
    value |= {"duration": round(video.frames / video.fps, 4)} if video.fps else {}
    return {
        "id": track.id, "type": "videorectangle", "from_name": "box", "to_name": "video",
        "score": round(track.score, 4), "origin": "prediction", "value": value,
    }  # fmt: skip


def _interface(concepts: Sequence[str], fps: float) -> str:
    colors = voc_colors().tolist()[1:]
    shades = ["".join(f"{v:02x}" for v in colors[i % len(colors)]) for i in range(len(concepts))]
    labels = "".join(
        f'    <Label value={quoteattr(xml_text(concept))} background="#{shade}"/>\n'
        for concept, shade in zip(concepts, shades, strict=True)
    )
    return (
        f'<View>\n  <Labels name="labels" toName="video">\n{labels}  </Labels>\n'
        f'  <Video name="video" value="$video" framerate="{fps:g}"/>\n'
        '  <VideoRectangle name="box" toName="video"/>\n</View>\n'
    )
