"""Timelines: a track told in one line of text, for people and for models that read no pictures."""

from collections.abc import Sequence

from sam3_agent.workspace.tracking.measure import STILL, Motion

_GROWN = 1.5
"""Half as much again, or a third less: below that the pose alone changes the area as much."""


def timeline(motion: Motion) -> str:
    """One line of text, such as "t3 person  0-96, 131-200  enters left, leaves right at 8.0 s"."""
    track, clock = motion.track, motion.clock
    if not motion.seen:
        return f"{track.id} {track.concept}  never visible"
    spans = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in motion.spans)
    words = [_coming(motion), _going(motion), _moving(motion), _growing(motion)]
    if track.state == "provisional":
        words.append("provisional")
    told = ", ".join(word for word in words if word)
    frames = f"{spans} ({clock.time(motion.first):.1f}-{clock.time(motion.last):.1f} s)"
    return f"{track.id} {track.concept}  {frames}  {told}".rstrip()


def _coming(motion: Motion) -> str:
    side = motion.enters_from
    if not side:
        return "there from the start"
    at = f"at {motion.seconds[0]:.1f} s"
    return f"appears {at}" if side == "inside" else f"enters {side} {at}"


def _going(motion: Motion) -> str:
    side = motion.leaves_to
    if not side:
        return "there to the end"
    at = f"at {motion.seconds[1]:.1f} s"
    return f"disappears {at}" if side == "inside" else f"leaves {side} {at}"


def _moving(motion: Motion) -> str:
    if motion.direction == "still":
        return "stands still" if motion.path < 2 * STILL * motion.clock.diagonal else "moves about"
    return f"moves {motion.direction} {motion.displacement:.0f} px at {motion.speed:.0f} px/s"


def _growing(motion: Motion) -> str:
    change = motion.area_change
    return f"grows x{change:.1f}" if change > _GROWN else f"shrinks x{change:.2f}" if change < 1 / _GROWN else ""


def timelines(motions: Sequence[Motion]) -> str:
    """One line a track, in the order given."""
    return "\n".join(timeline(motion) for motion in motions)
