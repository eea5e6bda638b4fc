"""Resident memory and speed over a procedural video of any length with five tracks of two concepts."""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.video import ClipOptions, plan_clip
from sam3_agent.types import ConceptPrompt
from sam3_agent.video.video import Video, VideoInfo
from sam3_agent.workspace.tracking.profiles import TINY
from sam3_agent.workspace.tracking.query import AskedConcept, TrackingQuery
from sam3_agent.workspace.tracking.session import TrackingSession

SEED = 50_005
"""Of a clip with three cats and two rings, so that two concepts are all of its objects."""
SIZE = (640, 360)
OBJECTS = 5
SETTLED = 100
"""Frames after which memory is to be flat."""
FLAT = 0.05
FAST_ENOUGH = 2.0
"""Frames a second on 2 cores."""
WARM = 16
"""Frames before speed is measured: by then every object looks back as far as it ever does."""
TOLD_EVERY = 100
OPTIONS = ClipOptions(
    min_objects=OBJECTS, max_objects=OBJECTS, twins=0.0, occlusions=0.0, roles=(("stay", 1.0), ("wander", 1.0))
)


class _Drawn:
    """Frames that are drawn when they are asked for, so that the video itself takes no memory."""

    def __init__(self, frames: int) -> None:
        self.plan = plan_clip(SEED, frames, SIZE, OPTIONS)
        self.seconds = 0.0

    def read(self, indices: Any) -> Any:
        """(index, picture, damaged) of frames."""
        for index in indices:
            started = time.process_time()
            image = self.plan.frame(index).image
            self.seconds += time.process_time() - started
            yield index, image, False


def long_run(segmenter: Sam3, frames: int) -> dict[str, Any]:
    """Megabytes at 100 frames and at the end, growth in shares, frames a second and tracks.

    Drawing the frames is not counted in the CPU-seconds of a frame, but in the frames a second.
    """
    drawn = _Drawn(frames)
    times = np.arange(frames) / 25.0
    video = Video(VideoInfo("procedural", *SIZE, times, 25.0, "drawn", "none"), drawn)
    nouns = [noun for noun, _ in Counter(thing.noun for thing in drawn.plan.objects).most_common(2)]
    asked = tuple(AskedConcept(noun, ConceptPrompt(noun)) for noun in nouns)
    query = TrackingQuery(asked, (), 0, frames - 1, profile=TINY)
    seen: list[_Line] = []
    with tempfile.TemporaryDirectory() as folder:
        session = TrackingSession(video, segmenter, Path(folder))
        for told in session.run(query, "live"):
            shown = sum(entry.frame.visible for entry in told.entries)
            now = (time.monotonic(), time.process_time() - drawn.seconds)
            seen.append(_Line(resident_mib(), shown, len(told.entries), *now))
            if told.frame % TOLD_EVERY == TOLD_EVERY - 1:
                words = f"{seen[-1].resident:.1f} MiB, {seen[-1].followed} tracks, {shown} seen"
                print(f"frame {told.frame}: {words}", file=sys.stderr, flush=True)
        ids = len(session.store.summaries())
    return {"frames": frames, "concepts": ", ".join(nouns), "ids": ids} | _figures(seen)


@dataclass(frozen=True, slots=True)
class _Line:
    """One frame."""

    resident: float
    """MiB"""
    shown: int
    """Tracks in sight."""
    followed: int
    """Tracks, those out of sight too: they cost as much."""
    clock: float
    """Seconds."""
    worked: float
    """CPU-seconds of the process, without those that drew the frames."""


def _figures(seen: Sequence[_Line]) -> dict[str, Any]:
    after = [line.resident for line in seen[SETTLED:] or seen]
    warm, last = seen[min(WARM, len(seen) - 2)], seen[-1]
    count = len(seen) - 1 - min(WARM, len(seen) - 2)
    return {
        "tracks in a frame (median)": int(np.median([line.shown for line in seen])),
        "followed in a frame (median)": int(np.median([line.followed for line in seen])),
        "resident MiB at frame 100": round(after[0], 1),
        "resident MiB at the end": round(after[-1], 1),
        "most MiB": round(max(line.resident for line in seen), 1),
        "growth_after_100": round(max(after) / after[0] - 1, 4),
        "frames a second": round(count / (last.clock - warm.clock), 2),
        "CPU-seconds a frame": round((last.worked - warm.worked) / count, 3),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20
