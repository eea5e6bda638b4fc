"""Resident memory and speed over a procedural video of any length with five tracks of two concepts."""

import os
import sys
import tempfile
import time
from collections import Counter
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
    resident: list[float] = []
    shown: list[int] = []
    followed: list[int] = []
    clocks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        session = TrackingSession(video, segmenter, Path(folder))
        for told in session.run(query, "live"):
            resident.append(resident_mib())
            shown.append(sum(entry.frame.visible for entry in told.entries))
            followed.append(len(told.entries))
            clocks.append((time.monotonic(), time.process_time() - drawn.seconds))
            if told.frame % TOLD_EVERY == TOLD_EVERY - 1:
                print(
                    f"frame {told.frame}: {resident[-1]:.1f} MiB, {followed[-1]} tracks, {shown[-1]} seen",
                    file=sys.stderr,
                    flush=True,
                )
        ids = len(session.store.summaries())
    after = resident[SETTLED:] or resident
    warm = min(WARM, frames - 2)
    passed, worked = np.subtract(clocks[-1], clocks[warm]) / (frames - 1 - warm)
    return {
        "frames": frames,
        "concepts": ", ".join(nouns),
        "tracks in a frame (median)": int(np.median(shown)),
        "followed in a frame (median)": int(np.median(followed)),
        "ids": ids,
        "resident MiB at frame 100": round(after[0], 1),
        "resident MiB at the end": round(after[-1], 1),
        "most MiB": round(max(resident), 1),
        "growth_after_100": round(max(after) / after[0] - 1, 4),
        "frames a second": round(1 / passed, 2),
        "CPU-seconds a frame": round(worked, 3),
        "load of the machine": round(os.getloadavg()[0], 1),
    }


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20
