"""Noun phrases that hold in a video, and phrases that nearly hold, with the objects each means."""

from __future__ import annotations

import numpy as np

from sam3_agent.scenes.concepts import Concept
from sam3_agent.scenes.rng import picks, shuffled
from sam3_agent.scenes.video.truth import VideoTruth
from sam3_agent.scenes.vocabulary import COLORS, NOUNS, SUPERCATEGORY_PHRASE, UNKNOWN_WORDS

NEGATIVES = 2
"""Phrases of each negative kind."""


def video_concepts_of(truth: VideoTruth, rng: np.random.Generator) -> list[Concept]:
    """List every noun, supercategory, and color with noun that holds in the whole video, and some that never hold.

    Colors of objects that change theirs are neither affirmed nor denied. Objects that are never seen do not count.
    """
    things = [thing for thing in truth.objects if truth.areas[:, thing.id - 1].any()]
    changing = {(color, thing.noun) for thing in things if len(set(thing.colors)) > 1 for color in thing.colors}
    found: dict[tuple[str, str], list[int]] = {}
    for thing in things:
        phrases = [("noun", thing.noun), ("supercategory", SUPERCATEGORY_PHRASE[thing.supercategory])]
        if (thing.color, thing.noun) not in changing:
            phrases.append(("color_noun", f"{thing.color} {thing.noun}"))
        for key in phrases:
            found.setdefault(key, []).append(thing.id)
    positive = [Concept(phrase, tuple(ids), kind) for (kind, phrase), ids in found.items()]
    nouns = sorted({thing.noun for thing in things})
    pairs = {(thing.color, thing.noun) for thing in things} | changing
    absent = shuffled([noun for noun in NOUNS if noun not in nouns], rng)[:NEGATIVES]
    near = shuffled([f"{c} {n}" for n in nouns for c in COLORS if (c, n) not in pairs], rng)[:NEGATIVES]
    rows = (("negative_noun", absent), ("negative_color", near), ("negative_unknown", picks(UNKNOWN_WORDS, 1, rng)))
    return positive + [Concept(phrase, (), kind) for kind, phrases in rows for phrase in phrases]
