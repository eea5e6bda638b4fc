"""Facts of a track in words and data, the same in every tool that tells of tracks."""

from collections.abc import Sequence
from typing import Any

from sam3_agent.tracks import Track
from sam3_agent.workspace.tracking.measure import Clock, Motion, border_side, measure_tracks
from sam3_agent.workspace.tracking.timeline import timeline

MOST_LINES = 60
"""Tracks told in words; all are in the data, up to what a host takes."""
_MOST_GAPS = 20
_TOLD_GAPS = 3


def motions_of(tracks: Sequence[Track], clock: Clock) -> tuple[Motion, ...]:
    """The tracks that are ever visible, measured, in the order given."""
    measured = {motion.track.id: motion for motion in measure_tracks(tracks, clock)}
    return tuple(measured[track.id] for track in tracks if track.id in measured)


def track_lines(motions: Sequence[Motion]) -> list[str]:
    """One line a track: its timeline, where it was seen best, its score."""
    lines = [f"  {timeline(motion)}; score {motion.track.score:.2f}; {_best_words(motion)}" for motion in motions]
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"  ... and {more} more; name them by track_ids"]


def track_data(motion: Motion) -> dict[str, Any]:
    """The JSON of a track for models: facts, but no masks."""
    track, clock = motion.track, motion.clock
    first, last = motion.seconds
    return {
        "id": track.id,
        "concept": track.concept,
        "first_frame": motion.first,
        "last_frame": motion.last,
        "first_s": round(first, 3),
        "last_s": round(last, 3),
        "duration_s": round(motion.duration, 3),
        "spans": [list(span) for span in motion.spans[:_MOST_GAPS]],
        "gaps": [gap_data(motion, gap) for gap in motion.gaps[:_MOST_GAPS]],
        "enters_from": motion.enters_from,
        "leaves_to": motion.leaves_to,
        "direction": motion.direction,
        "displacement": round(motion.displacement, 1),
        "path": round(motion.path, 1),
        "speed": round(motion.speed, 1),
        "area": round(motion.mean_area),
        "area_share": round(motion.mean_area / (clock.width * clock.height), 5),
        "area_change": round(motion.area_change, 2),
        "score": round(track.score, 3),
        "state": track.state,
        "began_at": [round(v, 1) for v in motion.began_at],
        "ended_at": [round(v, 1) for v in motion.ended_at],
        "best_frame": best_frame(motion),
        "best_box": [round(v, 1) for v in _box_at(motion, best_frame(motion))],
    }


def gap_data(motion: Motion, gap: tuple[int, int]) -> dict[str, Any]:
    """Frames without the track, and whether it was hidden behind something or outside of the image."""
    before = motion.track.at(gap[0] - 1)
    inside = before is None or border_side(before.box, motion.clock) == "inside"
    return {"first": gap[0], "last": gap[1], "kind": "hidden" if inside else "outside"}


def best_frame(motion: Motion) -> int:
    """The frame in which most of it is seen."""
    return max(zip(motion.areas, motion.seen, strict=True), key=lambda pair: pair[0])[1].index


def _best_words(motion: Motion) -> str:
    frame = best_frame(motion)
    box = ", ".join(f"{v:.0f}" for v in _box_at(motion, frame))
    gaps = [gap_data(motion, gap) for gap in motion.gaps[:_TOLD_GAPS]]
    told = "".join(f"{gap['kind']} {gap['first']}-{gap['last']}; " for gap in gaps)
    return f"{told}largest in frame {frame}, box [{box}]"


def _box_at(motion: Motion, frame: int) -> tuple[float, float, float, float]:
    seen = motion.track.at(frame)
    return seen.box if seen is not None else (0.0, 0.0, 0.0, 0.0)
