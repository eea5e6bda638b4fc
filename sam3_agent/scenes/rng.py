"""Random choices from a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def pick(items: Sequence[Item], rng: np.random.Generator) -> Item:
    """One of `items`, each as likely."""
    return items[int(rng.integers(len(items)))]


def picks(items: Sequence[Item], count: int, rng: np.random.Generator) -> list[Item]:
    """`count` of `items`, each drawn from all of them."""
    return [items[int(i)] for i in rng.integers(len(items), size=count)]


def shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """All `items` in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))]
