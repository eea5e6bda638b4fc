"""Scripted tracks: boxes that move along lines, as Track values and as lines of a journal."""

from collections.abc import Mapping, Sequence

import numpy as np

from sam3_agent import masks
from sam3_agent.tracks import Track, TrackFrame, TrackState
from sam3_agent.workspace.tracking.journal import Entry, FrameLine

SIZE = (60, 100)
"""(height, width) of every scripted video."""
Box = tuple[int, int, int, int]


def rle_of(box: Box) -> masks.Rle:
    x0, y0, x1, y1 = box
    mask = np.zeros(SIZE, dtype=bool)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return masks.encode(mask)


def frame_of(index: int, box: Box, state: TrackState = "confirmed", score: float = 0.9) -> TrackFrame:
    rle = rle_of(box)
    return TrackFrame(index, rle, masks.box(rle), score, state, detection=score)


def track_of(track_id: str, boxes: Mapping[int, Box], concept: str = "fish", score: float = 0.9) -> Track:
    frames = tuple(frame_of(index, boxes[index], score=score) for index in sorted(boxes))
    return Track(track_id, concept, frames[0].index, frames[-1].index, frames[-1].state, score, frames)


def moving(start: Box, step: tuple[float, float], indices: Sequence[int], grow: float = 0.0) -> dict[int, Box]:
    """The boxes of something that moves by `step` pixels and grows by `grow` pixels a side a frame."""
    x0, y0, x1, y1 = start
    found: dict[int, Box] = {}
    for index in indices:
        dx, dy, more = round(step[0] * index), round(step[1] * index), round(grow * index)
        found[index] = (x0 + dx - more, y0 + dy - more, x1 + dx + more, y1 + dy + more)
    return found


def lines_of(tracks: Sequence[Track], frames: int, fps: float = 10.0) -> list[FrameLine]:
    """One line a frame with all tracks that have an entry there."""
    return [
        FrameLine(
            index,
            index / fps,
            tuple(Entry(t.id, t.concept, frame) for t in tracks if (frame := t.at(index)) is not None),
        )
        for index in range(frames)
    ]
