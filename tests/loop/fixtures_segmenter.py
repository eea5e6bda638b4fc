"""A model that knows the truth of a procedural scene and answers every phrase that holds in it."""

from itertools import product

from sam3_agent import masks
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.scenes import Scene, SceneObject
from sam3_agent.scenes.vocabulary import SUPERCATEGORY_PHRASE
from sam3_agent.types import Candidate, Detection


def perfect_segmenter(scene: Scene) -> FakeSegmenter:
    """Answers nouns, supercategories, "object" and "thing", with any of color and pattern in front, in any order."""
    found: dict[str, list[Candidate]] = {}
    for obj in scene.objects:
        rle = masks.encode(obj.mask)
        candidate = Candidate(rle, masks.box(rle), 0.95)
        for phrase in _phrases(obj):
            found.setdefault(phrase, []).append(candidate)
    return FakeSegmenter({phrase: Detection(0.97, tuple(candidates)) for phrase, candidates in found.items()})


def _phrases(obj: SceneObject) -> set[str]:
    nouns = (obj.noun, SUPERCATEGORY_PHRASE[obj.supercategory], "object", "thing")
    qualities = ("", obj.color, obj.pattern, f"{obj.color} {obj.pattern}", f"{obj.pattern} {obj.color}")
    return {f"{quality} {noun}".strip() for quality, noun in product(qualities, nouns)}
