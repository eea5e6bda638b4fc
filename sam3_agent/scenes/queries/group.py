"""A group: all objects that one description fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam3_agent.scenes.rng import picks, shuffled
from sam3_agent.scenes.scene import Scene, SceneObject
from sam3_agent.scenes.vocabulary import COLORS, NOUNS, SUPERCATEGORY_PHRASE, UNKNOWN_WORDS, plural_of


@dataclass(frozen=True, slots=True)
class Group:
    """A description, such as "red cup", and every object of the scene that it fits."""

    one: str
    members: tuple[SceneObject, ...]

    @property
    def many(self) -> str:
        """The description in the plural."""
        *before, noun = self.one.split(" ")
        return " ".join((*before, plural_of(noun)))

    @property
    def words(self) -> dict[str, str]:
        """The words for a wording's {one} and {many}."""
        return {"one": self.one, "many": self.many}


def groups_of(scene: Scene, rng: np.random.Generator) -> list[Group]:
    """Every group of `scene` with a member, in random order."""
    found: dict[str, list[SceneObject]] = {}
    for obj in scene.objects:
        kind = SUPERCATEGORY_PHRASE[obj.supercategory]
        descriptions = [obj.noun, f"{obj.color} {obj.noun}", f"{obj.color} object", kind, "object"]
        if obj.pattern != "plain":
            descriptions += [f"{obj.pattern} {obj.noun}", f"{obj.pattern} object"]
        for description in descriptions:
            found.setdefault(description, []).append(obj)
    return shuffled([Group(one, tuple(members)) for one, members in found.items()], rng)


def kinds_of(scene: Scene, rng: np.random.Generator) -> list[Group]:
    """The groups of `scene` named by one noun, supercategory or "object", in random order."""
    names = {obj.noun for obj in scene.objects} | {SUPERCATEGORY_PHRASE[obj.supercategory] for obj in scene.objects}
    return [group for group in groups_of(scene, rng) if group.one in names | {"object"}]


def absent_groups(scene: Scene, rng: np.random.Generator) -> list[Group]:
    """Groups without a member, in random order: absent nouns, present nouns in absent colors, unknown words."""
    nouns = {obj.noun for obj in scene.objects}
    pairs = {(obj.color, obj.noun) for obj in scene.objects}
    absent = [noun for noun in NOUNS if noun not in nouns]
    near = [f"{color} {noun}" for noun in sorted(nouns) for color in COLORS if (color, noun) not in pairs]
    unknown = picks(UNKNOWN_WORDS, 2, rng)
    names = shuffled(absent, rng)[:6] + shuffled(near, rng)[:6] + unknown
    return [Group(name, ()) for name in shuffled(names, rng)]


def references_of(scene: Scene, rng: np.random.Generator) -> list[tuple[str, SceneObject]]:
    """(description, object) of each object that a noun, or a color and a noun, fits alone; in random order."""
    return [
        (group.one, group.members[0])
        for group in groups_of(scene, rng)
        if len(group.members) == 1 and group.one.split(" ")[-1] == group.members[0].noun
    ]
