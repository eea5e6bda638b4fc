"""DAVIS: an 8-bit palette PNG a frame, its index the object; and the images that servers of RVOS benchmarks take."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.palette import index_picture
from sam3_agent.formats.video.track_set import TrackSet, numbers_of, overlap_warning, painted, track_of
from sam3_agent.masks import Rle

VOID = 255
"""Pixels that count neither for nor against."""


def write_davis(video: TrackSet, out: Path) -> list[str]:
    """Write `00000.png` and on, and `objects.json` (index -> id and concept), for which the format has no room."""
    numbers, warnings = numbers_of(video.tracks, VOID - 1)
    overlapped = 0
    for index, entries in video.by_frame():
        canvas, lost = painted(entries, [numbers[track.id] for track, _ in entries], (video.height, video.width))
        overlapped += lost > 0
        with replacing(out / f"{_stem(video, index)}.png") as temporary:
            index_picture(canvas.astype(np.uint8)).save(temporary, format="PNG")
    objects = {str(numbers[track.id]): {"id": track.id, "concept": track.concept} for track in video.tracks}
    write_json(out / "objects.json", objects, indent=2)
    return warnings + overlap_warning(overlapped)


def write_rvos(video: TrackSet, expression: str, chosen: Sequence[str], out: Path) -> list[str]:
    """Write `VIDEO/EXPRESSION/FRAME.png` (0 and 255) of the tracks chosen for one expression: the union of several.

    Zip the folder for the servers of MeViS and Ref-YouTube-VOS.

    Raises:
        InputError: a chosen track is not in the video.
    """
    if unknown := set(chosen) - {track.id for track in video.tracks}:
        raise InputError(f"{video.name}: no track {', '.join(sorted(unknown))}")
    for index, entries in video.by_frame():
        canvas = np.zeros((video.height, video.width), dtype=bool)
        for track, frame in entries:
            if track.id in chosen:
                canvas |= masks.decode(frame.rle)
        with replacing(out / video.name / expression / f"{_stem(video, index)}.png") as temporary:
            Image.fromarray(canvas.astype(np.uint8) * 255).save(temporary, format="PNG")
    return []


def read_davis(folder: Path, concepts: dict[int, str] | None = None) -> TrackSet:
    """Read the images of a folder in the order of their names; `concepts` are those of the indices ("object").

    Raises:
        InputError: there are none, or one is no palette picture or of another size than the first.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise InputError(f"{folder}: no images here (00000.png, ...)")
    found: dict[int, dict[int, tuple[Rle, float]]] = {}
    size: tuple[int, int] | None = None
    for index, path in enumerate(paths):
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L"):
                raise InputError(f"{path}: expected a palette picture, got mode {picture.mode}")
            values = np.asarray(picture)
        size = size or values.shape
        if values.shape != size:
            raise InputError(f"{path}: {values.shape[1]}x{values.shape[0]}, the first image is {size[1]}x{size[0]}")
        for value in set(np.unique(values).tolist()) - {0, VOID}:
            found.setdefault(value, {})[index] = (masks.encode(values == value), 1.0)
    names = concepts or {}
    tracks = (track_of(f"t{value}", names.get(value, "object"), found[value]) for value in sorted(found))
    height, width = size or (0, 0)
    return TrackSet(
        folder.name, width, height, len(paths), tuple(track for track in tracks if track is not None),
        file_names=tuple(path.name for path in paths),
    )  # fmt: skip


def _stem(video: TrackSet, index: int) -> str:
    return Path(video.frame_name(index)).stem
