"""Resident memory and speed over a long procedural video with several tracks."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.video.ways import TINY_PAPER
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.video import ClipOptions, plan_clip
from sam3_agent.types import ConceptPrompt
from sam3_agent.video.video import Video, VideoInfo
from sam3_agent.workspace.tracking.query import AskedConcept, TrackingQuery
from sam3_agent.workspace.tracking.session import TrackingSession

SEED = 50_003
SIZE = (640, 360)
OBJECTS = 5
SETTLED = 100
"""Frames after which memory is to be flat."""
FLAT = 0.05
OPTIONS = ClipOptions(
    min_objects=OBJECTS, max_objects=OBJECTS, twins=0.0, occlusions=0.0, roles=(("stay", 1.0), ("wander", 1.0))
)


class _Drawn:
    """Frames that are drawn when they are asked for, so that the video itself takes no memory."""

    def __init__(self, frames: int) -> None:
        self.plan = plan_clip(SEED, frames, SIZE, OPTIONS)

    def read(self, indices: Any) -> Any:
        """(index, picture, damaged) of frames."""
        for index in indices:
            yield index, self.plan.frame(index).image, False


def long_run(segmenter: Sam3, frames: int) -> dict[str, Any]:
    """Megabytes at 100 frames and at the end, growth in shares, frames a second and tracks."""
    drawn = _Drawn(frames)
    times = np.arange(frames) / 25.0
    video = Video(VideoInfo("procedural", *SIZE, times, 25.0, "drawn", "none"), drawn)
    nouns = sorted({thing.noun for thing in drawn.plan.objects})[:2]
    asked = tuple(AskedConcept(noun, ConceptPrompt(noun)) for noun in nouns)
    query = TrackingQuery(asked, (), 0, frames - 1, profile=TINY_PAPER)
    resident: list[float] = []
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        session = TrackingSession(video, segmenter, Path(folder))
        started = time.monotonic()
        for told in session.run(query, "live"):
            resident.append(resident_mib())
            alive = max(alive, sum(entry.frame.visible for entry in told.entries))
        seconds = time.monotonic() - started
    after = resident[SETTLED:] or resident
    return {
        "frames": frames,
        "concepts": ", ".join(nouns),
        "most tracks in a frame": alive,
        "resident MiB at frame 100": round(after[0], 1),
        "resident MiB at the end": round(after[-1], 1),
        "most MiB": round(max(resident), 1),
        "growth_after_100": round(max(after) / after[0] - 1, 4),
        "frames a second": round(frames / seconds, 2),
    }


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20
