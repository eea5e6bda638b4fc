"""MOTS: masks that do not overlap, as 16-bit PNGs (class * 1000 + instance) or as lines with an RLE.

https://www.vision.rwth-aachen.de/page/mots. The PNGs lie in `instances/` with `labels.txt` beside them, as CVAT and
Datumaro have it; the text file has `frame id class height width rle`, its id being class * 1000 + instance too.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.reading import read_text
from sam3_agent.formats.video.track_set import TrackSet, check_extent, numbers_of, overlap_warning, painted, track_of
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track

_INSTANCES = 1000
IGNORE = 10
"""The class of regions that do not count, in MOTS' own files."""
CLASSES = {1: "car", 2: "pedestrian", IGNORE: "ignore"}
"""Of MOTS' own files, which have no labels.txt."""


def write_mots_png(video: TrackSet, out: Path) -> list[str]:
    """Write `instances/000000.png` for every frame and `instances/labels.txt`; gives warnings."""
    values, classes, warnings = _values(video, 65)  # 65 * 1000 + 535 is the most that 16 bits hold
    overlapped = 0
    for index, entries in video.by_frame():
        canvas, lost = painted(entries, [values[track.id] for track, _ in entries], (video.height, video.width))
        overlapped += lost > 0
        with replacing(out / "instances" / f"{index:06d}.png") as temporary:
            Image.fromarray(canvas.astype(np.uint16)).save(temporary, format="PNG")
    write_text(out / "instances" / "labels.txt", "\n".join(classes))
    return warnings + overlap_warning(overlapped)


def write_mots_txt(video: TrackSet, path: Path, classes: dict[str, int] | None = None) -> list[str]:
    """Write one text file; gives warnings. `classes` are the numbers of concepts, from 1 in order unless given."""
    values, _, warnings = _values(video, 10**6, classes)
    lines: list[str] = []
    overlapped = 0
    for index, entries in video.by_frame():
        canvas, lost = painted(entries, range(1, len(entries) + 1), (video.height, video.width))
        overlapped += lost > 0
        for number, (track, frame) in enumerate(entries, start=1):
            rle = masks.encode(canvas == number) if lost else frame.rle
            value = values[track.id]
            size = f"{video.height} {video.width}"
            # Frames count from 0 on the page of the format, from 1 in the challenge's files and TrackEval.
            lines.append(f"{index + 1} {value} {value // _INSTANCES} {size} {rle.counts}\n")
    write_text(path, "".join(lines))
    return warnings + overlap_warning(overlapped)


def read_mots_png(folder: Path) -> TrackSet:
    """Read `instances/*.png` in the order of their names.

    Raises:
        InputError: there are none, or one is no 16-bit image or of another size than the first.
    """
    paths = sorted((folder / "instances").rglob("*.png"))
    if not paths:
        raise InputError(f"{folder}: no MOTS images here (instances/*.png)")
    names = _class_names(folder / "instances" / "labels.txt")
    found: dict[int, dict[int, tuple[Rle, float]]] = {}
    size: tuple[int, int] | None = None
    for index, path in enumerate(paths):
        values = _picture(path)
        size = size or values.shape
        if values.shape != size:
            raise InputError(f"{path}: {values.shape[1]}x{values.shape[0]}, the first image is {size[1]}x{size[0]}")
        for value in np.unique(values).tolist():
            if value >= _INSTANCES:
                found.setdefault(value, {})[index] = (masks.encode(values == value), 1.0)
    height, width = size or (0, 0)
    return TrackSet(folder.name, width, height, len(paths), _tracks(found, names))


def read_mots_txt(path: Path, frames: int | None = None, names: dict[int, str] | None = None) -> TrackSet:
    """Read one text file; `names` are the concepts of its classes, MOTS' own unless given.

    Raises:
        InputError: a line is broken, or there is none.
    """
    found: dict[int, dict[int, tuple[Rle, float]]] = {}
    size: tuple[int, int] | None = None
    last = 0
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            index, value, _, height, width, counts = line.split(" ")
            rle = masks.from_json({"size": [int(height), int(width)], "counts": counts})
            found.setdefault(int(value), {})[int(index) - 1] = (rle, 1.0)
        except (ValueError, InputError) as error:
            raise InputError(f"{path}:{number}: not 'frame id class height width rle' ({error})") from error
        check_extent(f"{path}:{number}", rle.size, int(index) - 1)
        size, last = rle.size, max(last, int(index))
    if size is None:
        raise InputError(f"{path}: no line in it")
    return TrackSet(path.stem, size[1], size[0], frames or last, _tracks(found, names or CLASSES))


def _values(
    video: TrackSet, most_classes: int, classes: dict[str, int] | None = None
) -> tuple[dict[str, int], list[str], list[str]]:
    """(track id -> class * 1000 + instance, names of the classes, warnings)."""
    names = [concept for concept in video.concepts if concept not in video.absent]
    given = classes or {concept: number for number, concept in enumerate(names, start=1)}
    if len(names) > most_classes or set(names) - set(given):
        raise InputError(f"MOTS has room for {most_classes} numbered concepts, got {', '.join(names)}")
    numbers, warnings = numbers_of(video.tracks, 535 if max(given.values(), default=0) >= most_classes else 999)
    return {t.id: given[t.concept] * _INSTANCES + numbers[t.id] for t in video.tracks}, names, warnings


def _tracks(found: dict[int, dict[int, tuple[Rle, float]]], names: dict[int, str]) -> tuple[Track, ...]:
    numbers: Sequence[int] = [value % _INSTANCES for value in found]
    unique = len(set(numbers)) == len(numbers)
    made = (
        track_of(f"t{value % _INSTANCES if unique else value}", names.get(value // _INSTANCES, "object"), entries)
        for value, entries in sorted(found.items())
    )
    return tuple(track for track in made if track is not None)


def _class_names(path: Path) -> dict[int, str]:
    lines = read_text(path).splitlines() if path.is_file() else []
    return {number: name.strip() for number, name in enumerate(lines, start=1)} or CLASSES


def _picture(path: Path) -> NDArray[np.int64]:
    try:
        with Image.open(path) as picture:
            values = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: not an image ({error})") from error
    if values.ndim != 2:
        raise InputError(f"{path}: a MOTS image has one channel of 16 bits, this one has shape {values.shape}")
    return values.astype(np.int64)
