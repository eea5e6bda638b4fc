"""Tables of tracks for people and spreadsheets: one line a track and frame, boxes and figures, no masks."""

import csv
import io
import math
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.reading import table_rows
from sam3_agent.formats.video.track_set import TrackSet, box_mask, check_extent, track_of
from sam3_agent.masks import Rle

COLUMNS = ("frame", "time", "id", "concept", "x1", "y1", "x2", "y2", "area", "score", "state")
"""Frames from 0, seconds, pixels."""


def write_tracks_csv(video: TrackSet, path: Path) -> list[str]:
    """Write the table in the order of the frames; gives warnings (there are none)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, entries in video.by_frame():
        for track, frame in entries:
            box = [f"{v:.1f}" for v in frame.box]
            # A concept may begin with "=", which spreadsheets would run as a formula.
            concept = f"'{track.concept}" if track.concept[:1] in "=+-@" else track.concept
            area, score = masks.area(frame.rle), f"{frame.score:.4f}"
            writer.writerow([index, f"{video.time(index):.4f}", track.id, concept, *box, area, score, frame.state])
    write_text(path, text.getvalue())
    return []


def read_tracks_csv(path: Path, size: tuple[int, int], frames: int | None = None) -> TrackSet:
    """Read a table; masks fill the boxes, since there are none in it. `size` is (height, width).

    Raises:
        InputError: a column is missing or a line broken.
    """
    head, *lines = table_rows(path) or [[]]
    rows = [dict(zip(head, line, strict=False)) for line in lines if line]
    found: dict[str, dict[int, tuple[Rle, float]]] = {}
    concepts: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        try:
            x0, y0, x1, y1 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
            entry = (box_mask((x0, y0, x1, y1), size), float(row["score"]))
            if not math.isfinite(entry[1]):
                raise ValueError("the score is not finite")
            check_extent(f"{path}:{number}", size, int(row["frame"]))
            found.setdefault(row["id"], {})[int(row["frame"])] = entry
            concepts[row["id"]] = row["concept"].removeprefix("'")
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a line of {','.join(COLUMNS)} ({error!r})") from error
    made = [track_of(track_id, concepts[track_id], entries) for track_id, entries in found.items()]
    tracks = tuple(track for track in made if track is not None)
    last = max((track.last for track in tracks), default=-1)
    return TrackSet(path.stem, size[1], size[0], frames or last + 1, tracks)
