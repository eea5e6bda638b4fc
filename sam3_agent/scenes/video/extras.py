"""Characters that make a clip hard: many of one noun, twins, and large objects that others pass behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent.scenes.object_sampling import Character, draw_cast
from sam3_agent.scenes.options import allowed_pairs
from sam3_agent.scenes.placement import Layout, Placement, place_objects
from sam3_agent.scenes.rng import pick
from sam3_agent.scenes.silhouettes import Silhouette, draw_silhouette
from sam3_agent.scenes.video.options import ClipOptions

SOLID_NOUNS = ("square", "circle", "house", "heart", "cup", "drop")
"""Nouns whose silhouette hides a smaller one behind its middle."""
COVERS = (1.5, 2.0)
"""Longer side of the object in front, in longer sides of the hidden one."""
LARGEST_COVER = 0.6
"""The longer side of an occluder, at most, in shorter sides of the image."""
ALIKE = 0.75
"""Share of the objects that take the noun of a clip of one kind."""
MOST_TWINS = 2


@dataclass(frozen=True, slots=True)
class Cast:
    """Objects before they move: object i is `characters[i]`, drawn as `silhouettes[i]` at `layout.placed[i]`.

    `twin_of[i]` is the index of the object that i looks exactly like, or None; `hides` are pairs (hidden, occluder).
    """

    characters: tuple[Character, ...]
    silhouettes: tuple[Silhouette, ...]
    layout: Layout
    twin_of: tuple[int | None, ...]
    hides: tuple[tuple[int, int], ...]


def draw_clip_cast(
    width: int, height: int, hidden_colors: frozenset[str], options: ClipOptions, rng: np.random.Generator
) -> Cast:
    """Draw the objects of a clip, each with a place to start from or to pass through."""
    count = int(rng.integers(options.min_objects, options.max_objects + 1))
    drawn = draw_cast(count, options.scene(), hidden_colors, rng)
    if rng.random() < options.alike:
        drawn = _made_alike(drawn, options, hidden_colors, rng)
    silhouettes = [draw_silhouette(character.noun, rng) for character in drawn]
    layout = Layout(width, height, [])
    place_objects([character.noun for character in drawn], silhouettes, layout, options.min_objects, rng)
    characters = [drawn[place.index] for place in layout.placed]
    silhouettes = [silhouettes[place.index] for place in layout.placed]
    layout.placed[:] = [replace(place, index=number) for number, place in enumerate(layout.placed)]
    twin_of: list[int | None] = [None] * len(characters)
    hides: list[tuple[int, int]] = []
    if rng.random() < options.twins:
        _add_twins(characters, silhouettes, layout, twin_of, rng)
    if rng.random() < options.occlusions:
        hides = _add_occluder(characters, silhouettes, layout, hidden_colors, options, rng)
        twin_of += [None] * (len(characters) - len(twin_of))
    return Cast(tuple(characters), tuple(silhouettes), layout, tuple(twin_of), tuple(hides))


def _made_alike(
    drawn: Sequence[Character], options: ClipOptions, hidden_colors: frozenset[str], rng: np.random.Generator
) -> tuple[Character, ...]:
    """Most of `drawn` with the noun of the first, in colors that go with it."""
    noun = drawn[0].noun
    colors = [c for n, c in allowed_pairs(options.excluded_pairs) if n == noun and c not in hidden_colors]
    if not colors or options.required_pairs:
        return tuple(drawn)
    return tuple(
        Character(noun, pick(colors, rng), other.pattern) if number and rng.random() < ALIKE else other
        for number, other in enumerate(drawn)
    )


def _add_twins(
    characters: list[Character],
    silhouettes: list[Silhouette],
    layout: Layout,
    twin_of: list[int | None],
    rng: np.random.Generator,
) -> None:
    """Repeat one object once or twice, at other places."""
    model = int(rng.integers(len(characters)))
    for _ in range(int(rng.integers(1, MOST_TWINS + 1))):
        place = layout.placed[model]
        x, y = rng.uniform(0.1, 0.9, size=2).tolist()
        layout.placed.append(replace(place, index=len(characters), x=x * layout.width, y=y * layout.height))
        characters.append(characters[model])
        silhouettes.append(silhouettes[model])
        twin_of.append(model)


def _add_occluder(
    characters: list[Character],
    silhouettes: list[Silhouette],
    layout: Layout,
    hidden_colors: frozenset[str],
    options: ClipOptions,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Add a large object, and one or two of the smaller that will pass behind it: pairs (hidden, occluder)."""
    pairs = allowed_pairs(options.excluded_pairs)
    solid = [pair for pair in pairs if pair[0] in SOLID_NOUNS and pair[1] not in hidden_colors]
    short = min(layout.width, layout.height)
    small = [place for place in layout.placed if place.size * COVERS[0] <= LARGEST_COVER * short]
    if not solid or not small:
        return []
    chosen = [small[int(number)] for number in rng.permutation(len(small))[: 1 + int(rng.random() < 0.3)]]
    noun, color = pick(solid, rng)
    silhouette = draw_silhouette(noun, rng)
    size = min(LARGEST_COVER * short, max(place.size for place in chosen) * rng.uniform(*COVERS))
    x, y = rng.uniform(0.3, 0.7, size=2).tolist()
    extent = silhouette.extent
    index = len(characters)
    layout.placed.append(
        Placement(index, x * layout.width, y * layout.height, size, size * extent[0], size * extent[1])
    )
    characters.append(Character(noun, color, characters[chosen[0].index].pattern))
    silhouettes.append(silhouette)
    return [(place.index, index) for place in chosen]


def reach_of(place: Placement) -> float:
    """Measure the pixels from the center of an object to the furthest corner of its bounds."""
    return math.hypot(place.width, place.height) / 2.0
