"""How far a query can be trusted on an image: no further than the classes that it speaks of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, fold
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import quality_of


def with_doubts(ontology: Ontology, labels: Sequence[Label]) -> list[Label]:
    """All labels of an image, those of queries with the doubt in what they ask about.

    "The largest animal" speaks of the class with the phrase "animal": where that has a label that is neither surely
    right nor surely wrong (1 - |2 quality - 1|), the answer may be about the wrong one.
    """
    doubts: dict[str, float] = {}
    for label in labels:
        doubt = 1 - abs(2 * min(quality_of(label), 1.0) - 1)
        doubts[label.class_name] = max(doubts.get(label.class_name, 0.0), doubt)
    spoken_of = {each.name: _spoken_of(each, ontology) for each in ontology.classes if each.query}
    return [
        _doubted(label, spoken_of[label.class_name], doubts) if label.source == "query" else label for label in labels
    ]


def _doubted(label: Label, names: Sequence[str], doubts: Mapping[str, float]) -> Label:
    worst = max(names, key=lambda name: doubts.get(name, 0.0), default="")
    if not doubts.get(worst):
        return label
    return replace(label, evidence=replace(label.evidence, doubtful=worst, doubt=round(doubts[worst], 4)))


def _spoken_of(each: LabelClass, ontology: Ontology) -> list[str]:
    """The classes without a query of which a phrase, or its plural, stands in the query."""
    query = fold(each.query or "")
    return [
        other.name
        for other in ontology.classes
        if not other.query and any(re.search(rf"\b{re.escape(fold(p))}(s|es)?\b", query) for p in other.phrases)
    ]
