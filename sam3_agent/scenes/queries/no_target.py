"""Queries of every form whose true answer is that there is no such object."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from sam3_agent.scenes.queries import counting, exclusion, odd_one_out, ordinal, plain, relation, superlative
from sam3_agent.scenes.queries.function import FUNCTIONS, ask_function
from sam3_agent.scenes.queries.group import absent_groups, groups_of, kinds_of, references_of
from sam3_agent.scenes.queries.query import Query
from sam3_agent.scenes.rng import shuffled
from sam3_agent.scenes.scene import Scene

KIND = "no_target"


def no_targets(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """At most one query a form, the forms in random order."""
    forms = (_superlative, _ordinal, _relation, _nowhere, _exclusion, _counting, _function, _odd_one_out, _plain)
    for form in shuffled(forms, rng):
        yield from form(scene, rng)


def _superlative(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The largest, ... of what is absent."""
    way = shuffled(tuple(superlative.WORDINGS), rng)[0]
    yield superlative.WORDINGS[way].ask(KIND, (), rng, **absent_groups(scene, rng)[0].words)


def _ordinal(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """One more than there are, or any of what is absent."""
    side = shuffled(tuple(ordinal.OPPOSITE), rng)[0]
    groups = groups_of(scene, rng)[:3] + absent_groups(scene, rng)[:1]
    for group in shuffled(groups, rng):
        place = max(1, len(group.members))
        if place < len(ordinal.NTH):
            yield ordinal.ask_nth(KIND, group, place, side, (), rng)
            return


def _relation(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A relation of which one side is absent."""
    way = shuffled(tuple(relation.WORDINGS), rng)[0]
    absent = absent_groups(scene, rng)[0]
    references = references_of(scene, rng)
    if references and rng.random() < 0.5:
        group, reference = absent, references[0][0]
    else:
        group, reference = groups_of(scene, rng)[0], absent.one
    yield relation.WORDINGS[way].ask(KIND, (), rng, **relation.words_for(group, (), reference))


def _nowhere(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A place beside a present object where no member of a present group is."""
    pairs = tuple(product(groups_of(scene, rng)[:6], references_of(scene, rng)[:6]))
    for group, (name, reference) in shuffled(pairs, rng):
        way = shuffled(relation.PLACES, rng)[0]
        if reference not in group.members and relation.find_placed(group, reference, way, scene) == ():
            yield relation.WORDINGS[way].ask(KIND, (), rng, **relation.words_for(group, (), name))
            return


def _exclusion(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A group without the one color or pattern that all its members have."""
    for group in kinds_of(scene, rng):
        colors = {obj.color for obj in group.members}
        patterns = {obj.pattern for obj in group.members}
        alone = [min(values) for values in (colors, patterns - {"plain"}) if len(values) == 1]
        words = [word for word in alone if all(word in (obj.color, obj.pattern) for obj in group.members)]
        if words:
            yield exclusion.ask_without(KIND, group, shuffled(words, rng)[0], rng)
            return


def _counting(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A group on the condition that it has more members than it has."""
    groups = groups_of(scene, rng)[:3] + absent_groups(scene, rng)[:1]
    for group in shuffled(groups, rng):
        number = max(2, len(group.members) + 1)
        if number < len(counting.NUMBERS):
            yield counting.ask_at_least(KIND, group, number, rng)
            return


def _function(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A use that nothing in the scene has."""
    nouns = {obj.noun for obj in scene.objects}
    for function in shuffled(FUNCTIONS, rng):
        if not nouns & (function.nouns | function.doubtful):
            yield ask_function(KIND, function, scene, rng)
            return


def _odd_one_out(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """The odd one out where all are alike."""
    if odd_one_out.all_alike(scene):
        yield odd_one_out.WORDING.ask(KIND, (), rng)


def _plain(scene: Scene, rng: np.random.Generator) -> Iterator[Query]:
    """A description that fits nothing."""
    yield plain.WORDING.ask(KIND, (), rng, **absent_groups(scene, rng)[0].words)
