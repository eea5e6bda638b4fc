"""SA-V JSON: masklets by annotated frame and object, every fourth frame of 24 a second in Meta's own files.

Schema: facebookresearch/sam2 sav_dataset/README.md. A frame in which an object is not seen has an empty mask.
"""

from pathlib import Path
from typing import Annotated, Any

import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.formats.video.track_set import TrackSet, check_extent, numbers_of, track_of
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track, TrackFrame


def write_sav(video: TrackSet, path: Path, stride: int = 1) -> list[str]:
    """Write one file; gives warnings. With a `stride` only frames 0, stride, 2 * stride, ... are written.

    Raises:
        InputError: the stride is below 1.
    """
    if stride < 1:
        raise InputError(f"a stride is 1 or more, got {stride}")
    numbers, warnings = numbers_of(video.tracks, 10**9)
    annotated = range(0, video.frames, stride)
    nothing = masks.empty(video.height, video.width)
    shown = {track.id: {frame.index: frame for frame in track.visible} for track in video.tracks}
    document: dict[str, Any] = {
        "video_id": video.name,
        "video_duration": video.frames / video.fps if video.fps else None,
        "video_frame_count": video.frames,
        "video_height": video.height,
        "video_width": video.width,
        "video_resolution": video.height * video.width,
        "masklet_type": "auto",
        "masklet_num": len(video.tracks),
        "masklet_id": [numbers[track.id] for track in video.tracks],
        "masklet_concept": [track.concept for track in video.tracks],
        "masklet_score": [round(track.score, 4) for track in video.tracks],
        "masklet_frame_count": [len(shown[track.id]) for track in video.tracks],
        "masklet_first_appeared_frame": [min(shown[track.id], default=-1) for track in video.tracks],
        "masklet_size_abs": [_mean_area(track.visible) for track in video.tracks],
        "masklet_size_rel": [_mean_area(track.visible) / (video.height * video.width) for track in video.tracks],
        "masklet_visibility_changes": [_changes(track, video.frames) for track in video.tracks],
        "masklet": [
            [(shown[t.id][index].rle if index in shown[t.id] else nothing).to_json() for t in video.tracks]
            for index in annotated
        ],
    }
    write_json(path, document)
    # SA-V has no field for it: without one, files of 24 frames a second have every fourth frame.
    return warnings + ([f"only every {stride}th frame is written"] if stride > 1 else [])


def read_sav(path: Path) -> TrackSet:
    """Read one file; frame i of the masklets is frame i * stride of the video, the stride that its counts imply.

    Raises:
        InputError: the file is not such a file; the message names the field.
    """
    try:
        parsed = _File.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error
    size = (round(parsed.video_height), round(parsed.video_width))
    count, frames = len(parsed.masklet), round(parsed.video_frame_count)
    check_extent(path, size, frames)
    stride = max(1, -(-frames // count)) if count else 1
    entries: list[dict[int, tuple[Rle, float]]] = [{} for _ in parsed.masklet_id]
    for place, objects in enumerate(parsed.masklet):
        if len(objects) != len(entries):
            raise InputError(f"{path}: masklet.{place}: {len(objects)} masks for {len(entries)} objects")
        for number, value in enumerate(objects):
            rle = masks.from_json(value)
            if rle.size != size:
                raise InputError(f"{path}: masklet.{place}.{number}: size {list(rle.size)} in a video of {size}")
            entries[number][place * stride] = (rle, 1.0)
    concepts = parsed.masklet_concept or ["object"] * len(entries)
    scores = parsed.masklet_score or [1.0] * len(entries)
    made = [
        track_of(f"t{number}", concept, found, score)
        for number, concept, found, score in zip(parsed.masklet_id, concepts, entries, scores, strict=True)
    ]
    fps = frames / parsed.video_duration if parsed.video_duration else 0.0
    kept = tuple(track for track in made if track is not None)
    return TrackSet(parsed.video_id, size[1], size[0], frames, kept, fps)


class _File(pydantic.BaseModel):
    video_id: str
    video_frame_count: Annotated[float, pydantic.Field(gt=0)]
    video_height: Annotated[float, pydantic.Field(gt=0)]
    video_width: Annotated[float, pydantic.Field(gt=0)]
    video_duration: float | None = None
    masklet: list[list[dict[str, Any]]]
    masklet_id: list[int]
    masklet_concept: list[str] | None = None
    masklet_score: list[float] | None = None


def _mean_area(frames: tuple[TrackFrame, ...]) -> float:
    return sum(masks.area(frame.rle) for frame in frames) / len(frames) if frames else 0.0


def _changes(track: Track, frames: int) -> int:
    """Count how often it comes or goes."""
    there = {frame.index for frame in track.visible}
    return sum((index in there) != (index - 1 in there) for index in range(1, frames))
