"""Colors of tracks as they were seen at the beginning and at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.video import Video
from sam3_agent.workspace.tracking import Motion
from sam3_agent.workspace.tracking.appearance import shares_of

SAMPLES = 3
"""Frames at each end: the median of so many is not moved by one bad mask."""
WELL_SEEN = 0.5
"""Of its median area: what shows less of itself is cut off or half hidden, and its edge counts for too much."""
TURNED = 0.3
"""Share of the pixels that a color gains where an object turns to it; shading moves less than .2 of them, and a
striped object has two colors at least."""


@dataclass(frozen=True, slots=True)
class TrackColors:
    """Shares of the colors of a track, 0-1, over its first and its last well seen frames."""

    first: Mapping[str, float]
    last: Mapping[str, float]

    def gained(self, color: str) -> float:
        """Share that a color has gained from the first frames to the last."""
        return self.last.get(color, 0.0) - self.first.get(color, 0.0)

    @property
    def change(self) -> float:
        """Share of the pixels that have another color at the end, 0-1 (total variation)."""
        names = {*self.first, *self.last}
        return sum(abs(self.gained(name)) for name in names) / 2


def colors_of_tracks(video: Video, motions: Sequence[Motion]) -> dict[str, TrackColors]:
    """Read colors off a few frames of each track; every frame is decoded once."""
    wanted: dict[int, list[tuple[Track, TrackFrame]]] = {}
    chosen = {motion.track.id: _ends(motion) for motion in motions}
    for motion in motions:
        for frame in {frame.index: frame for end in chosen[motion.track.id] for frame in end}.values():
            wanted.setdefault(frame.index, []).append((motion.track, frame))
    read: dict[tuple[str, int], dict[str, float]] = {}
    for decoded in video.frames(sorted(wanted)) if wanted else ():
        for track, seen in wanted[decoded.index]:
            read[track.id, seen.index] = shares_of(decoded.image, seen.rle)
    return {
        track_id: TrackColors(*(_mean([read[track_id, frame.index] for frame in end]) for end in ends))
        for track_id, ends in chosen.items()
    }


def main_color(shares: Mapping[str, float]) -> str:
    """The color of the largest share; "" where none is told."""
    return max(shares, key=lambda name: shares[name], default="")


def _ends(motion: Motion) -> tuple[Sequence[TrackFrame], Sequence[TrackFrame]]:
    middle = sorted(motion.areas)[len(motion.areas) // 2]
    pairs = zip(motion.seen, motion.areas, strict=True)
    good = [frame for frame, area in pairs if area >= WELL_SEEN * middle] or list(motion.seen)
    return good[:SAMPLES], good[-SAMPLES:]


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(sum(row.get(name, 0.0) for row in rows) / len(rows), 3) for name in names}
