"""Occlusion: which of two tracks on one spot is the wrong one, and whose mask is only a rest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.workspace.tracking.profiles import Profile

_NEVER, _ALWAYS = -1, 100_000
"""Frames in Meta's code that stand for "never occluded" and "being removed"."""


@dataclass(frozen=True, slots=True)
class Occluded:
    """A track, for comparison with those on the same spot."""

    concept: str
    last: int | None
    """The last frame in which it had no mask; -1 for never, None where it is followed for the first time."""
    removed: bool
    """It fails its trial in this frame."""


def blanked_by_overlap(
    profile: Profile, overlap: NDArray[np.float32], tracks: Sequence[Occluded], *, reverse: bool
) -> list[bool]:
    """Whether each of M tracks is blanked: another one on its spot (`overlap`, (M, M) IoU) was occluded less recently.

    A track that was never occluded blanks nothing: of two that were always there neither is known to be wrong.
    """
    blank = [False] * len(tracks)
    if not profile.occlusion_overlap:
        return blank
    last = [_last(track) for track in tracks]
    for one, other in np.argwhere(np.triu(overlap >= profile.occlusion_overlap, 1)).tolist():
        if tracks[one].concept != tracks[other].concept:
            continue
        for index, rival in ((one, other), (other, one)):
            later = last[index] < last[rival] if reverse else last[index] > last[rival]
            blank[index] = blank[index] or (later and last[rival] > _NEVER)
    return blank


def blanked_by_shrinking(
    profile: Profile, before: NDArray[np.integer], after: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """(M,) whether too little is left of a mask, from its area (M,) `before` and `after` each pixel went to one track.

    An empty mask counts as one of one pixel, so it is blanked too, which changes nothing.
    """
    return after < profile.shrink * np.maximum(before, 1)


def _last(track: Occluded) -> int:
    if track.last is None:
        return _ALWAYS if track.removed else _NEVER
    return track.last
