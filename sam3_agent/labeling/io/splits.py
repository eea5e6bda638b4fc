"""Splits of a label set without leakage: near duplicates are on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_agent.labeling.store.journal import ImageRow

NEAR_BITS = 4
"""Images whose difference hashes differ in at most this many of 64 bits are near duplicates."""
TELLING = range(6, 59)
"""Hashes with fewer or more bits say too little: images that are almost of one color would all look alike."""


def split_of(images: Sequence[ImageRow], val: float, seed: int = 0) -> dict[str, str]:
    """Give the split, train or val, by SHA-256 of an image: the same for the same images, and for all near duplicates.

    `val` is the share of groups that are for validation; each group's side is drawn by a hash of its first image.
    """
    groups = near_duplicates([row.dhash for row in images])
    first: dict[int, str] = {}
    for row, group in zip(images, groups, strict=True):
        first[group] = min(first.get(group, row.sha), row.sha)
    drawn = {group: _draw(sha, seed) for group, sha in first.items()}
    return {row.sha: "val" if drawn[g] < val else "train" for row, g in zip(images, groups, strict=True)}


def near_duplicates(hashes: Sequence[str]) -> list[int]:
    """Give the group of each hash, named by its first member; images without a telling hash stand alone."""
    groups = list(range(len(hashes)))
    values = np.array([int(each, 16) if each else 0 for each in hashes], dtype=np.uint64)
    known = np.array([int(each, 16).bit_count() in TELLING if each else False for each in hashes], dtype=bool)
    for index in range(len(hashes)):
        if known[index]:
            near = np.flatnonzero(known[:index] & (_distance(values[:index], values[index]) <= NEAR_BITS))
            for other in near.tolist():
                a, b = _root(groups, index), _root(groups, other)
                groups[max(a, b)] = min(a, b)
    return [_root(groups, index) for index in range(len(hashes))]


def _distance(values: NDArray[np.uint64], one: np.uint64) -> NDArray[np.uint8]:
    return np.bitwise_count(values ^ one)


def _root(groups: list[int], index: int) -> int:
    while groups[index] != index:
        groups[index] = groups[groups[index]]
        index = groups[index]
    return index


def _draw(sha: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed} {sha}".encode()).digest()[:8], "big") / 2**64
