"""Appearance of tracks: the colors by which an object that comes back is told from others of its kind.

Memory finds an object near where it was; one that leaves and comes in elsewhere it takes for a new one, and beside a
neighbor of the same noun it may go over to that. Colors know no place, so they decide where both would go wrong.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.types import Instance
from sam3_agent.workspace.mask_facts import colors_of

Shares = Mapping[str, float]
"""Color name -> share of the pixels, 0-1."""
RENEWED = 0.2
"""Weight of the newest frame: light changes slowly, one bad mask counts little."""


def shares_of(image: NDArray[np.uint8], rle: masks.Rle) -> dict[str, float]:
    """Colors of a mask on a (H, W, 3) RGB image."""
    whole = Instance("", rle, masks.box(rle), 1.0, 1.0)
    return {color.name: color.share for color in colors_of(image, whole)}


def likeness(one: Shares, other: Shares) -> float:
    """Share of the pixels that have the same color in both (histogram intersection, Swain and Ballard 1991), 0-1."""
    return sum(min(share, other.get(name, 0.0)) for name, share in one.items())


class Appearances:
    """Mean colors of tracks, by id."""

    def __init__(self, known: Mapping[str, Shares] | None = None) -> None:
        self._known = {track_id: dict(shares) for track_id, shares in (known or {}).items()}

    def learn(self, track_id: str, shares: Shares) -> None:
        """Take in what a track looks like in a frame in which a detection confirms it."""
        before = self._known.get(track_id)
        if before is None:
            self._known[track_id] = dict(shares)
            return
        names = {*before, *shares}
        self._known[track_id] = {
            name: round((1 - RENEWED) * before.get(name, 0.0) + RENEWED * shares.get(name, 0.0), 6)
            for name in sorted(names)
        }

    def likeness(self, track_id: str, shares: Shares) -> float:
        """Likeness of a track to what is seen; 0 for one that was never looked at."""
        return likeness(self._known.get(track_id, {}), shares)

    def keep(self, track_ids: Iterable[str]) -> None:
        """Forget all others."""
        wanted = set(track_ids)
        self._known = {track_id: shares for track_id, shares in self._known.items() if track_id in wanted}

    def to_json(self) -> dict[str, dict[str, float]]:
        """Everything that a resumed run needs, as plain values."""
        return {track_id: dict(shares) for track_id, shares in self._known.items()}


def best_pairs(table: Mapping[tuple[int, str], float], least: float) -> dict[str, int]:
    """Track -> detection, the likeliest first, each once, of pairs that are at least so alike."""
    pairs: dict[str, int] = {}
    for (number, track_id), value in sorted(table.items(), key=lambda item: (-item[1], item[0])):
        if value >= least and track_id not in pairs and number not in pairs.values():
            pairs[track_id] = number
    return pairs
