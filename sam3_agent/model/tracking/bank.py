"""The memory of one track: a bounded bank of what its frames left behind.

A frame looks at up to 4 conditioning frames (given by a person or by the detector) and at the 6 frames before it, by
their maps, and at 15 earlier frames by their pointers. What can never be looked at again is dropped, so a bank is of
one size however long the video is, and gives the very numbers that an endless one gives.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The memory that one frame left behind."""

    frame: int
    pointer: Tensor
    """(C,)"""
    map: Tensor | None
    """(g * g, D) bfloat16, as Meta keeps it; None where only the pointer is still wanted."""
    conditioning: bool
    """Given, not tracked."""

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.pointer.nbytes + (0 if self.map is None else self.map.nbytes)


@dataclass(frozen=True, slots=True)
class Reach:
    """The span over which a model looks back."""

    maps: int = 7
    """Maps of tracked frames, plus one."""
    pointers: int = 16
    """Frames of pointers, plus one."""
    conditioning: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """The memories that a frame looks at: as many maps and pointers as there are ages."""

    maps: tuple[Tensor, ...]
    ages: tuple[int, ...]
    """Frames since each map; 0 for a conditioning frame."""
    pointers: tuple[Tensor, ...]
    pointer_ages: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Objects of one shape go through the network together: equally many maps and pointers, whatever their ages."""
        return len(self.ages), len(self.pointers)


@dataclass(frozen=True, slots=True, eq=False)
class TrackMemory:
    """The entries of one object, oldest first in the direction of time; a value: `with_entry` gives a new one."""

    entries: tuple[Entry, ...] = ()
    reverse: bool = False
    """Time runs from high frame numbers to low ones."""
    bounded: bool = True
    """False keeps everything, to compare with."""
    reach: Reach = Reach()
    """That of the model which made the last entry."""

    def __bool__(self) -> bool:
        """Whether there is anything to track by."""
        return any(entry.conditioning for entry in self.entries)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(entry.nbytes for entry in self.entries)

    def age(self, frame: int, entry: Entry) -> int:
        """Frames since an entry, in the direction of time; negative for one that lies ahead."""
        return entry.frame - frame if self.reverse else frame - entry.frame

    def with_entry(self, entry: Entry, reach: Reach) -> Self:
        """The bank after a frame; an entry of the same frame is replaced, what can never be looked at again goes."""
        kept = [old for old in self.entries if old.frame != entry.frame]
        kept.append(entry)
        kept.sort(key=lambda each: -each.frame if self.reverse else each.frame)
        return replace(self, entries=tuple(kept), reach=reach).after(entry.frame)

    def after(self, frame: int) -> Self:
        """The bank without what no frame after this one can look at, if nothing is remembered any more."""
        if not self.bounded:
            return self
        kept = [each for old in self.entries for each in self._still_wanted(old, frame)]
        return self if kept == list(self.entries) else replace(self, entries=tuple(kept))

    def recall(self, frame: int, reach: Reach) -> Recalled:
        """Choose the entries that a frame looks at."""
        chosen = self._chosen(frame, reach.conditioning)
        near = [
            (age, entry)
            for entry in self.entries
            if entry not in chosen and 0 < (age := self.age(frame, entry)) < reach.pointers
        ]
        maps = [(0, entry.map) for entry in chosen]
        maps += [(age, entry.map) for age, entry in sorted(near, key=lambda pair: -pair[0]) if age < reach.maps]
        pointers = [(self.age(frame, entry), entry.pointer) for entry in chosen if self.age(frame, entry) >= 0]
        pointers += [(age, entry.pointer) for age, entry in sorted(near, key=lambda pair: pair[0])]
        held = [(age, kept) for age, kept in maps if kept is not None]
        return Recalled(
            tuple(kept for _, kept in held),
            tuple(age for age, _ in held),
            tuple(pointer for _, pointer in pointers),
            tuple(age for age, _ in pointers),
        )

    def _chosen(self, frame: int, most: int) -> list[Entry]:
        """Up to so many conditioning frames: the nearest before, the nearest after, then the nearest at all.

        They come in the order of time, so that sums over them do not depend on what else is kept.
        """
        given = [entry for entry in self.entries if entry.conditioning]
        if len(given) <= most:
            return given
        before = max((each for each in given if each.frame < frame), key=lambda each: each.frame, default=None)
        after = min((each for each in given if each.frame >= frame), key=lambda each: each.frame, default=None)
        chosen = [each for each in (before, after) if each is not None]
        rest = sorted((each for each in given if each not in chosen), key=lambda each: abs(each.frame - frame))
        chosen += rest[: most - len(chosen)]
        return [each for each in given if each in chosen]

    def _still_wanted(self, entry: Entry, frame: int) -> tuple[Entry, ...]:
        """The entry as far as a later frame than this one can look at it, or nothing."""
        age, reach = self.age(frame, entry) + 1, self.reach  # at the next frame
        if entry.conditioning:
            given = (other for other in self.entries if other.conditioning)
            nearer = sum(0 <= self.age(frame, other) < self.age(frame, entry) for other in given)
            if nearer < reach.conditioning:
                return (entry,)
        if age < reach.maps:
            return (entry,)
        if age >= reach.pointers:
            return ()
        return (entry if entry.map is None else replace(entry, map=None),)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Arrays for a file; bfloat16 maps as their 16 bits. `from_arrays` makes the same bank of them."""
        held = [entry for entry in self.entries if entry.map is not None]
        return {
            "frames": np.array([entry.frame for entry in self.entries], dtype=np.int64),
            "conditioning": np.array([entry.conditioning for entry in self.entries], dtype=np.bool_),
            "has_map": np.array([entry.map is not None for entry in self.entries], dtype=np.bool_),
            "pointers": _stacked([entry.pointer.float().cpu() for entry in self.entries]),
            "maps": _stacked([entry.map.cpu().view(torch.int16) for entry in held if entry.map is not None]),
            "reverse": np.array(self.reverse),
        }

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, NDArray[np.generic]], device: torch.device, dtype: torch.dtype, reach: Reach
    ) -> "TrackMemory":
        """The bank that `to_arrays` wrote."""
        pointers = torch.from_numpy(arrays["pointers"])  # pyright: ignore[reportUnknownMemberType]
        maps = iter(torch.from_numpy(arrays["maps"]).view(torch.bfloat16))  # pyright: ignore[reportUnknownMemberType]
        entries = [
            Entry(
                int(frame),
                pointer.to(device, dtype),
                next(maps).clone().to(device) if has_map else None,
                bool(conditioning),
            )
            for frame, pointer, has_map, conditioning in zip(
                arrays["frames"], pointers, arrays["has_map"], arrays["conditioning"], strict=True
            )
        ]
        return cls(tuple(entries), bool(arrays["reverse"]), reach=reach)


def _stacked(tensors: list[Tensor]) -> NDArray[np.generic]:
    return torch.stack(tensors).numpy() if tensors else np.zeros((0,), dtype=np.int16)
