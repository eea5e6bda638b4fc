"""Sampling of a scene's objects: noun, color and pattern of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent.scenes.options import Pair, SceneOptions, allowed_pairs
from sam3_agent.scenes.rng import pick, picks, shuffled
from sam3_agent.scenes.vocabulary import NOUNS, PATTERNS

ODD_SCENES = 0.08
PALETTE_SCENES = 0.5
RING_SCENES = 0.1
"""Share of cases in which a ring is added, for another object to be put inside it."""
REQUIRED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Character:
    """One object before it has a place."""

    noun: str
    color: str
    pattern: str


def draw_cast(
    count: int, options: SceneOptions, hidden: Collection[str], rng: np.random.Generator
) -> tuple[Character, ...]:
    """`count` characters; colors in `hidden` (too near the background) are avoided unless a pair is required."""
    cast = _draw_named(count, options, hidden, rng)
    if not options.unnamed:
        return cast
    return tuple(
        replace(each, noun=pick(options.unnamed, rng)) if rng.random() < options.unnamed_share else each
        for each in cast
    )


def _draw_named(
    count: int, options: SceneOptions, hidden: Collection[str], rng: np.random.Generator
) -> tuple[Character, ...]:
    pairs = tuple(pair for pair in allowed_pairs(options.excluded_pairs) if pair[1] not in hidden)
    everything = pairs = pairs or allowed_pairs(options.excluded_pairs)
    if count >= 3 and not options.required_pairs and rng.random() < ODD_SCENES:
        odd = _draw_odd_cast(count, pairs, options.plain_objects, rng)
        if odd:
            return odd
    if rng.random() < PALETTE_SCENES:
        pairs = _narrow(pairs, rng)
    drawn = picks(pairs, count, rng)
    rings = [pair for pair in pairs if pair[0] == "ring"] or [pair for pair in everything if pair[0] == "ring"]
    if rings and rng.random() < RING_SCENES:
        drawn[-1] = pick(rings, rng)
    if options.required_pairs:
        amount = min(count, int(rng.integers(1, REQUIRED_AT_MOST + 1)))
        drawn[:amount] = picks(options.required_pairs, amount, rng)
    return tuple(Character(noun, color, _draw_pattern(options.plain_objects, rng)) for noun, color in drawn)


def _draw_pattern(plain: float, rng: np.random.Generator) -> str:
    """Plain with the given probability, else one of the others."""
    return PATTERNS[0] if rng.random() < plain else PATTERNS[int(rng.integers(1, len(PATTERNS)))]


def _narrow(pairs: tuple[Pair, ...], rng: np.random.Generator) -> tuple[Pair, ...]:
    """The pairs of two to four nouns and three or four colors; all of them if those have none in common."""
    nouns = set(shuffled(NOUNS, rng)[: int(rng.integers(2, 5))])
    usable = sorted({color for _, color in pairs})
    colors = set(shuffled(usable, rng)[: int(rng.integers(3, 5))])
    return tuple(pair for pair in pairs if pair[0] in nouns and pair[1] in colors) or pairs


def _draw_odd_cast(
    count: int, pairs: tuple[Pair, ...], plain: float, rng: np.random.Generator
) -> tuple[Character, ...]:
    """All alike but one, which differs by its noun or by its color; empty if the pairs allow no such cast."""
    noun, color = pick(pairs, rng)
    if rng.random() < 0.5:
        others = [pair for pair in pairs if pair[0] == noun and pair[1] != color]
    else:
        others = [pair for pair in pairs if pair[1] == color and pair[0] != noun]
    if not others:
        return ()
    pattern = _draw_pattern(plain, rng)
    odd = pick(others, rng)
    return (Character(*odd, pattern), *(Character(noun, color, pattern) for _ in range(count - 1)))
