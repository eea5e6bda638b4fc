"""A run that is killed at random frames again and again, beside one that never was.

`python -m benchmarks.video.kills FOLDER MODEL FRAMES [FRAME]` tracks into a folder, and kills itself at FRAME.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.video import QUERY_CLIPS, draw_clip
from sam3_agent.tracks import Track
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.profiles import TINY

SEED = 50_011
KILLS = 10
FRAMES = 150
"""Two checkpoints, so that kills come before the first, between the two and after the second."""


def kill_often(model: str, kills: int = KILLS, frames: int = FRAMES, seed: int = 0) -> dict[str, Any]:
    """Kill one run at so many random frames, in rising order, going on each time; count the masks that differ."""
    at = sorted(random.Random(seed).sample(range(frames), kills))
    with tempfile.TemporaryDirectory() as killed, tempfile.TemporaryDirectory() as whole:
        ends = [_start(Path(killed), model, frames, index) for index in at]
        _start(Path(killed), model, frames)
        _start(Path(whole), model, frames)
        one, other = (_found(Path(folder), model, frames) for folder in (killed, whole))
    keys = {*one, *other}
    return {
        "frames": frames,
        "killed at": at,
        "exit statuses": sorted(set(ends)),
        "masks compared": len(keys),
        "tracks": len({track_id for track_id, _ in other}),
        "masks that differ": sum(one.get(key) != other.get(key) for key in keys),
    }


def _start(folder: Path, model: str, frames: int, kill_at: int = -1) -> int:
    command = [sys.executable, "-m", "benchmarks.video.kills", str(folder), model, str(frames), str(kill_at)]
    return subprocess.run(command, check=kill_at < 0).returncode


def _found(folder: Path, model: str, frames: int) -> dict[tuple[str, int], tuple[str, float, str]]:
    """(track, frame) -> mask, score and state."""
    tracks = _track(folder, model, frames, -1)
    return {
        (track.id, seen.index): (seen.rle.counts, seen.score, seen.state) for track in tracks for seen in track.frames
    }


def _track(folder: Path, model: str, frames: int, kill_at: int) -> tuple[Track, ...]:
    clip = draw_clip(SEED, frames, (320, 240), QUERY_CLIPS)
    workspace = Workspace(Sam3.load(model, device="cpu"))
    video = workspace.open_video(clip.frames)
    nouns = sorted({thing.noun for thing in clip.objects})
    for told in workspace.follow(video.id, nouns, live=True, profile=TINY, folder=folder):
        if told.frame == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return workspace.tracks(video.id)


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    folder, model, frames, *rest = arguments
    _track(Path(folder), model, int(frames), int(rest[0]) if rest else -1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
