"""YouTube-VIS JSON, with SA-Co/VEval's additions: masklets as one RLE or null a frame, and pairs of video and phrase.

Schema: facebookresearch/sam3 scripts/eval/veval/README.md; YTVIS is the same without `video_np_pairs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import pydantic

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import xywh
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.formats.video.track_set import TrackSet, track_of
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track

Counts = Literal["string", "list"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A question of SA-Co/VEval: one phrase on one video; without masklets it is a negative one."""

    id: int
    video_id: int
    category_id: int
    phrase: str


@dataclass(frozen=True, slots=True)
class YtvisVideo:
    """A video of a file with its tracks by category; masklets of one category are those of one phrase."""

    id: int
    tracks: TrackSet
    pairs: tuple[Pair, ...] = ()


def write_ytvis(videos: Sequence[TrackSet], path: Path, counts: Counts = "string") -> list[str]:
    """Write truth: videos, annotations, categories and `video_np_pairs`; gives warnings (there are none).

    SA-Co/VEval has the runs of masks as compressed strings, YouTube-VIS and TrackEval as lists of numbers.
    """
    concepts = tuple(dict.fromkeys(concept for video in videos for concept in video.concepts))
    pairs = [(number, video, concept) for number, video in enumerate(videos) for concept in video.concepts]
    masklets = [(number, video, track) for number, video in enumerate(videos) for track in video.tracks]
    document = {
        "info": {"description": "tracks by sam3-agent"},
        "videos": [_video_json(number, video) for number, video in enumerate(videos)],
        "annotations": [
            {
                "id": index, "video_id": number, "category_id": concepts.index(track.concept) + 1,
                "noun_phrase": track.concept, "track": track.id, "height": video.height, "width": video.width,
                "iscrowd": 0, **_masklet(track, video, counts),
            }
            for index, (number, video, track) in enumerate(masklets, start=1)
        ],
        "categories": [{"id": index, "name": concept} for index, concept in enumerate(concepts, start=1)],
        "video_np_pairs": [
            {
                "id": index, "video_id": number, "category_id": concepts.index(concept) + 1, "noun_phrase": concept,
                "num_masklets": sum(track.concept == concept for track in video.tracks),
            }
            for index, (number, video, concept) in enumerate(pairs, start=1)
        ],
    }  # fmt: skip
    write_json(path, document)
    return []


def write_predictions(videos: Sequence[tuple[int, TrackSet]], categories: dict[str, int], path: Path) -> list[str]:
    """Write predictions as evaluators take them: a list of masklets with scores.

    Args:
        videos: (video_id of the truth, tracks).
        categories: concept -> category_id of the truth.
        path: of the file.

    Raises:
        InputError: a track's concept is no category.
    """
    entries: list[dict[str, Any]] = []
    for video_id, video in videos:
        for track in video.tracks:
            if track.concept not in categories:
                raise InputError(f"{video.name}: the concept {track.concept!r} of {track.id} is no category")
            ids = {"video_id": video_id, "category_id": categories[track.concept], "id": len(entries) + 1}
            entries.append({**ids, "score": track.score, **_masklet(track, video, "string")})
    write_json(path, entries)
    return []


def read_ytvis(path: Path) -> tuple[YtvisVideo, ...]:
    """Read truth; tracks are named "t" and the annotation's id.

    Raises:
        InputError: the file is not such a file; the message names file, entry and field.
        OSError: the file cannot be read.
    """
    parsed = _parse(path, _File)
    names = {category.id: category.name for category in parsed.categories}
    pairs: dict[int, list[Pair]] = {}
    for pair in parsed.video_np_pairs:
        pairs.setdefault(pair.video_id, []).append(Pair(pair.id, pair.video_id, pair.category_id, pair.noun_phrase))
    tracks: dict[int, list[Track]] = {}
    videos = {video.id: video for video in parsed.videos}
    for entry in parsed.annotations:
        where = f"{path}: annotation {entry.id}"
        if entry.video_id not in videos:
            raise InputError(f"{where}: video_id {entry.video_id} is not in videos")
        concept = entry.noun_phrase or names.get(entry.category_id, "")
        if not concept:
            raise InputError(f"{where}: category_id {entry.category_id} is not in categories")
        track = _track(where, entry, videos[entry.video_id], f"t{entry.id}", concept)
        if track is not None:
            tracks.setdefault(entry.video_id, []).append(track)
    return tuple(_read_video(video, tracks.get(video.id, []), pairs.get(video.id, [])) for video in parsed.videos)


def read_predictions(path: Path, truth: Sequence[YtvisVideo]) -> dict[tuple[int, int], tuple[Track, ...]]:
    """(video_id, category_id) -> predicted masklets with scores, for the videos of a truth.

    Raises:
        InputError: as `read_ytvis`, or a video is not in the truth.
    """
    parsed = _parse(path, _Predictions).root
    videos = {video.id: video.tracks for video in truth}
    found: dict[tuple[int, int], list[Track]] = {}
    for number, entry in enumerate(parsed, start=1):
        where = f"{path}: prediction {number}"
        if entry.video_id not in videos:
            raise InputError(f"{where}: video_id {entry.video_id} is not in the truth")
        video = videos[entry.video_id]
        shape = _Video(id=entry.video_id, width=video.width, height=video.height, length=video.frames)
        track = _track(where, entry, shape, f"t{number}", str(entry.category_id))
        key = (entry.video_id, entry.category_id)
        found.setdefault(key, [])
        if track is not None:
            found[key].append(track)
    return {key: tuple(tracks) for key, tracks in found.items()}


_Model = TypeVar("_Model", bound=pydantic.BaseModel)


class _Video(pydantic.BaseModel):
    id: int
    width: Annotated[int, pydantic.Field(gt=0)]
    height: Annotated[int, pydantic.Field(gt=0)]
    length: int | None = None
    file_names: list[str] = []
    video_name: str = ""
    fps: float = 0.0

    @property
    def frames(self) -> int:
        return len(self.file_names) or self.length or 0


class _Masklet(pydantic.BaseModel):
    video_id: int
    category_id: int
    segmentations: list[dict[str, Any] | None]
    score: float = 1.0


class _Annotation(_Masklet):
    id: int
    noun_phrase: str | None = None


class _Category(pydantic.BaseModel):
    id: int
    name: str


class _Pair(pydantic.BaseModel):
    id: int
    video_id: int
    category_id: int
    noun_phrase: Annotated[str, pydantic.Field(min_length=1)]


class _File(pydantic.BaseModel):
    videos: Annotated[list[_Video], pydantic.Field(min_length=1)]
    annotations: list[_Annotation]
    categories: list[_Category] = []
    video_np_pairs: list[_Pair] = []


class _Predictions(pydantic.RootModel[list[_Masklet]]):
    pass


def _parse(path: Path, kind: type[_Model]) -> _Model:
    try:
        return kind.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error


def _read_video(video: _Video, tracks: list[Track], pairs: list[Pair]) -> YtvisVideo:
    there = {track.concept for track in tracks}
    name = video.video_name or (video.file_names[0].rpartition("/")[0] if video.file_names else str(video.id))
    made = TrackSet(
        name, video.width, video.height, video.frames, tuple(tracks), video.fps, tuple(video.file_names),
        absent=tuple(dict.fromkeys(pair.phrase for pair in pairs if pair.phrase not in there)),
    )  # fmt: skip
    return YtvisVideo(video.id, made, tuple(pairs))


def _track(where: str, entry: _Masklet, video: _Video, track_id: str, concept: str) -> Track | None:
    if len(entry.segmentations) != video.frames:
        raise InputError(f"{where}: {len(entry.segmentations)} segmentations for {video.frames} frames")
    entries: dict[int, tuple[Rle, float]] = {}
    for index, value in enumerate(entry.segmentations):
        if value is None:
            continue
        try:
            rle = masks.from_json(value)
        except InputError as error:
            raise InputError(f"{where}: segmentations.{index}: {error}") from error
        if rle.size != (video.height, video.width):
            raise InputError(
                f"{where}: segmentations.{index}: size {list(rle.size)} in a video of {video.width}x{video.height}"
            )
        entries[index] = (rle, entry.score)
    made = track_of(track_id, concept, entries, entry.score)
    return made and replace(made, score=entry.score)


def _video_json(number: int, video: TrackSet) -> dict[str, Any]:
    names = [video.frame_name(index) if video.file_names else f"{video.name}/{video.frame_name(index)}"
             for index in range(video.frames)]  # fmt: skip
    return {
        "id": number, "video_name": video.name, "file_names": names, "width": video.width, "height": video.height,
        "length": video.frames, "fps": video.fps,
    }  # fmt: skip


def _masklet(track: Track, video: TrackSet, counts: Counts) -> dict[str, Any]:
    segmentations: list[dict[str, Any] | None] = [None] * video.frames
    boxes: list[list[float] | None] = [None] * video.frames
    areas: list[int | None] = [None] * video.frames
    for frame in track.visible:
        segmentations[frame.index] = frame.rle.to_json() if counts == "string" else _run_lengths(frame.rle)
        boxes[frame.index] = xywh(frame.box)
        areas[frame.index] = masks.area(frame.rle)
    return {"segmentations": segmentations, "bboxes": boxes, "areas": areas}


def _run_lengths(rle: Rle) -> dict[str, Any]:
    """COCO's uncompressed form: runs down the columns, beginning with those outside."""
    flat = masks.decode(rle).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(rle.size), "counts": [0, *runs] if flat.size and flat[0] else runs}
