"""MOT Challenge: boxes as `frame,id,x,y,w,h,conf,class,visibility` in lines, frames from 1.

One folder a video: `gt/gt.txt`, `gt/labels.txt` (a class a line, the first one is class 1) and `seqinfo.ini`.
"""

import configparser
import math
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import visible_line
from sam3_agent.formats.files import write_text
from sam3_agent.formats.reading import read_text, table_rows
from sam3_agent.formats.video.track_set import TrackSet, box_mask, check_extent, numbers_of, track_of
from sam3_agent.masks import Rle

MOST_RATE = 10_000.0
"""Frames a second, as `seqinfo.ini` says; cameras for crash tests make as many."""


def write_mot(video: TrackSet, out: Path, *, predictions: bool = False) -> list[str]:
    """Write the folder of a video; gives warnings.

    With `predictions` the seventh column is the score, as trackers hand it in; in a truth it says "counts" (1).
    """
    numbers, warnings = numbers_of(video.tracks, 10**9)
    classes = [concept for concept in video.concepts if concept not in video.absent]
    lines: list[str] = []
    for index, entries in video.by_frame():
        for track, frame in entries:
            x0, y0, x1, y1 = frame.box
            trust = f"{frame.score:.4f}" if predictions else "1"
            place = f"{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f}"
            lines.append(f"{index + 1},{numbers[track.id]},{place},{trust},{classes.index(track.concept) + 1},1.0\n")
    write_text(out / "gt" / "gt.txt", "".join(lines))
    write_text(out / "gt" / "labels.txt", "\n".join(map(visible_line, classes)))
    suffix = Path(video.frame_name(0)).suffix or ".jpg"
    values = {
        "name": video.name, "imDir": "img1", "frameRate": round(video.fps) or 1, "seqLength": video.frames,
        "imWidth": video.width, "imHeight": video.height, "imExt": suffix,
    }  # fmt: skip
    write_text(
        out / "seqinfo.ini",
        "[Sequence]\n" + "".join(f"{key}={visible_line(str(value))}\n" for key, value in values.items()),
    )
    return warnings


def read_mot(folder: Path, size: tuple[int, int] | None = None) -> TrackSet:
    """Read the folder of a video; masks fill the boxes. Entries without a track or that do not count are left out.

    `size` is (height, width), for a folder without `seqinfo.ini`.

    Raises:
        InputError: a file is missing or broken; the message names file and line.
    """
    path, info = folder / "gt" / "gt.txt", _info(folder / "seqinfo.ini")
    if not path.is_file():
        raise InputError(f"{folder}: no MOT sequence here (gt/gt.txt is missing)")
    if info is None and size is None:
        raise InputError(f"{folder}: seqinfo.ini is missing; say how large the frames are")
    height, width = size or (int((info or {})["imheight"]), int((info or {})["imwidth"]))
    check_extent(folder, (height, width), int(info["seqlength"]) if info else 0)
    labels = path.with_name("labels.txt")
    classes = read_text(labels).splitlines() if labels.is_file() else []
    rows: dict[int, dict[int, tuple[Rle, float]]] = {}
    concepts: dict[int, str] = {}
    last = 0
    for number, row in enumerate(table_rows(path), start=1):
        try:
            frame, track = int(row[0]), int(row[1])
            x, y, w, h, trust = (float(value) for value in row[2:7])
            label = int(row[7]) if len(row) > 7 else -1
            if not all(math.isfinite(value) for value in (x, y, w, h, trust)):
                raise ValueError("not finite")
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}:{number}: not frame,id,x,y,w,h,conf,... ({error})") from error
        check_extent(f"{path}:{number}", (height, width), frame - 1)
        last = max(last, frame)
        if track > 0 and trust > 0:
            rows.setdefault(track, {})[frame - 1] = (box_mask((x, y, x + w, y + h), (height, width)), trust)
            concepts[track] = classes[label - 1] if 0 < label <= len(classes) else "object"
    tracks = (track_of(f"t{track}", concepts[track], entries) for track, entries in sorted(rows.items()))
    frames = int(info["seqlength"]) if info else last
    rate, name = (float(info["framerate"]), info["name"]) if info else (0.0, folder.name)
    return TrackSet(name, width, height, frames, tuple(track for track in tracks if track is not None), rate)


def _info(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    parser = configparser.ConfigParser()
    try:
        parser.read_string(read_text(path))
        found: dict[str, str] = dict(parser["Sequence"])
        for key in ("imwidth", "imheight", "seqlength"):
            int(found[key])
        known = {"framerate": "0", "name": path.parent.name} | found
        if not 0 <= float(known["framerate"]) <= MOST_RATE:
            raise ValueError(f"frameRate is {known['framerate']:.40}")
        return known
    except (configparser.Error, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a MOT seqinfo.ini ({error})") from error
