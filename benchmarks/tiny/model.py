"""Asking the model about a scene and comparing with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_evals.metrics.cgf1 import PairCounts, score_masks

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.scenes import Scene
from sam3_agent.types import Concept, ConceptPrompt, DetectOptions, Exemplar


@dataclass(frozen=True, slots=True)
class Looked:
    """A scene that the model has encoded, with the truth as run-length masks by object id."""

    scene: Scene
    features: Features
    truth: dict[int, Rle]


def look_at(segmenter: Segmenter, scene: Scene) -> Looked:
    """Encode the scene once."""
    return Looked(scene, segmenter.encode(scene.image), {o.id: masks.encode(o.mask) for o in scene.objects})


def found_by(segmenter: Segmenter, looked: Looked, prompts: Sequence[ConceptPrompt]) -> list[list[Rle]]:
    """The masks kept at threshold 0.5 for each prompt."""
    detections = segmenter.detect(looked.features, prompts, DetectOptions(threshold=0.5, near_misses=0))
    return [[c.rle for c in detection.kept] for detection in detections]


def count(looked: Looked, found: Sequence[Rle], target_ids: Sequence[int]) -> PairCounts:
    """Match what was found to the objects that are meant."""
    return score_masks(found, [looked.truth[i] for i in target_ids])


def text(phrase: str) -> ConceptPrompt:
    """A phrase alone."""
    return ConceptPrompt(phrase)


def example(looked: Looked, object_id: int, *, positive: bool = True, phrase: str | None = None) -> ConceptPrompt:
    """The object's box as an exemplar, with or without a phrase."""
    thing = next(o for o in looked.scene.objects if o.id == object_id)
    return ConceptPrompt(phrase, (Exemplar(thing.box, positive),))


def lent(segmenter: Segmenter, lender: Looked, object_id: int) -> ConceptPrompt:
    """An object of one scene as an exemplar for others."""
    thing = next(o for o in lender.scene.objects if o.id == object_id)
    tokens = segmenter.read_exemplars(lender.features, [Exemplar(thing.box)])
    return ConceptPrompt(None, (), Concept("lent", None, tokens))
