"""From what was seen to one label an object: synonyms meet by their masks, rivals are noted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent import masks
from sam3_agent.labeling.ontology.ontology import AttributeValue, LabelClass, Ontology, attribute_phrases, fold
from sam3_agent.labeling.store.detections import (
    GROUP_COVER,
    GROUP_RATIO,
    INSIDE,
    RIVAL_IOU,
    SAME_IOU,
    ImageFinds,
    Seen,
    asked_phrases,
)
from sam3_agent.labeling.store.label import Evidence, Label, Relation, Source, Support
from sam3_agent.labeling.verify.score_rule import REPEATS


@dataclass(frozen=True, slots=True)
class Proposal:
    """One find of one phrase of a class."""

    seen: Seen
    phrase: str
    source: Source
    presence: float


def proposals_of(each: LabelClass, finds: ImageFinds) -> list[Proposal]:
    """Every find of every phrase, exemplar and query of a class, best first; ties in a fixed order."""
    proposals: list[Proposal] = []
    for phrase in asked_phrases(each):
        sighting = finds.sightings.get(fold(phrase))
        source: Source = "exemplar" if phrase.startswith("@") else "phrase"
        if sighting is not None:
            proposals += [Proposal(seen, phrase, source, sighting.presence) for seen in sighting.found]
    answer = finds.answers.get(each.name)
    if answer is not None and each.query is not None:
        proposals += [Proposal(seen, each.query, "query", 1.0) for seen in answer.found]
    return sorted(proposals, key=lambda p: (-p.seen.score, -masks.area(p.seen.rle), p.phrase, p.seen.rle.counts))


def merged(each: LabelClass, finds: ImageFinds) -> list[Label]:
    """One label an object of the class, best first; every proposal is among the supports of exactly one of them."""
    proposals = proposals_of(each, finds)
    rles = [p.seen.rle for p in proposals]
    shared = {(i, j): pixels for i, j, pixels in masks.overlaps(rles)}
    areas = [masks.area(rle) for rle in rles]
    order = _groups_last(proposals, areas, shared)
    leaders: list[int] = []
    supports: dict[int, list[Support]] = {}
    for index in order:
        home, relation = _home(index, leaders, areas, shared)
        if home is None:
            leaders.append(index)
            home = index
        supports.setdefault(home, []).append(Support(proposals[index].phrase, proposals[index].seen.score, relation))
    asked = len(asked_phrases(each)) + (each.query is not None)
    answer = finds.answers.get(each.name)
    outcome = answer.outcome if answer is not None else ""
    return [
        _label(each, proposals[index], Evidence(asked, tuple(supports[index]), outcome=outcome), finds)
        for index in leaders
    ]


def with_rivals(ontology: Ontology, by_class: Mapping[str, Sequence[Label]], finds: ImageFinds) -> list[Label]:
    """All labels of an image, each with the negative or other class that scores best on its pixels."""
    done: list[Label] = []
    for each in ontology.classes:
        rivals = _negatives(each, finds)
        if each.overlap == "best":
            for other in ontology.classes:
                if other.name != each.name and other.overlap == "best":
                    rivals += [(f"class {other.name}", lab.rle, lab.score) for lab in by_class[other.name]]
        done += [_against(label, rivals) for label in by_class[each.name]]
    return done


def with_choices(each: LabelClass, labels: Sequence[Label], finds: ImageFinds) -> list[Label]:
    """The labels of a class with its fixed attributes, and with the choices that score best on their pixels."""
    asked = attribute_phrases(each)
    done: list[Label] = []
    for label in labels:
        best: dict[str, tuple[float, AttributeValue]] = {}
        for name, value, phrase in asked:
            sighting = finds.sightings.get(fold(phrase))
            for seen in sighting.found if sighting is not None else ():
                same = masks.iou([label.rle], [seen.rle])[0, 0] >= RIVAL_IOU
                if same and seen.score > best.get(name, (0.0, ""))[0]:
                    best[name] = (seen.score, value)
        done.append(
            replace(label, attributes={**each.attributes, **{name: value for name, (_, value) in best.items()}})
        )
    return done


def _groups_last(
    proposals: Sequence[Proposal], areas: Sequence[int], shared: Mapping[tuple[int, int], int]
) -> list[int]:
    """The proposals best first, but those that are groups of others after all others."""
    inside: dict[int, list[int]] = {}
    for (i, j), pixels in shared.items():
        small, large = (i, j) if areas[i] <= areas[j] else (j, i)
        near = proposals[small].seen.score >= GROUP_RATIO * proposals[large].seen.score
        if near and pixels > INSIDE * areas[small] and areas[small] < SAME_IOU * areas[large]:
            inside.setdefault(large, []).append(small)
    groups: list[int] = []
    for large, small in inside.items():
        apart: list[int] = []
        for index in sorted(small, key=lambda i: (-areas[i], i)):  # the largest parts that do not overlap
            if all(_pixels(shared, index, other) < 0.2 * areas[index] for other in apart):
                apart.append(index)
        if len(apart) > 1 and sum(areas[i] for i in apart) > GROUP_COVER * areas[large]:
            groups.append(large)
    return [*(i for i in range(len(proposals)) if i not in groups), *sorted(groups)]


def _home(
    index: int, leaders: Sequence[int], areas: Sequence[int], shared: Mapping[tuple[int, int], int]
) -> tuple[int | None, Relation]:
    """The label with which a proposal shares most, if it belongs to any, and what it is to that."""
    best, around = 0, 0
    home: int | None = None
    relation: Relation = "same"
    for leader in leaders:
        pixels = _pixels(shared, index, leader)
        if not pixels:
            continue
        union = areas[index] + areas[leader] - pixels
        within, holds = pixels > INSIDE * areas[index], pixels > INSIDE * areas[leader]
        around += holds
        if (pixels > SAME_IOU * union or within or holds) and pixels > best:
            best, home = pixels, leader
            relation = "same" if pixels > SAME_IOU * union else "part" if within else "whole"
    return home, "group" if relation == "whole" and around > 1 else relation


def _pixels(shared: Mapping[tuple[int, int], int], first: int, second: int) -> int:
    return shared.get((min(first, second), max(first, second)), 0)


def _label(each: LabelClass, best: Proposal, evidence: Evidence, finds: ImageFinds) -> Label:
    seen = best.seen
    usd = finds.answers[each.name].usd if best.source == "query" else 0.0
    return Label(
        id="",
        sha=finds.sha,
        class_name=each.name,
        rle=seen.rle,
        box=seen.box,
        score=seen.score,
        object_score=seen.object_score,
        presence=best.presence,
        source=best.source,
        phrase=best.phrase,
        evidence=evidence,
        model=finds.model,
        usd=usd,
    )


def _negatives(each: LabelClass, finds: ImageFinds) -> list[tuple[str, masks.Rle, float]]:
    sightings = [(phrase, finds.sightings.get(fold(phrase))) for phrase in each.negatives]
    return [(phrase, seen.rle, seen.score) for phrase, s in sightings if s is not None for seen in s.found]


def _against(label: Label, rivals: Sequence[tuple[str, masks.Rle, float]]) -> Label:
    if not rivals:
        return label
    overlap = masks.iou([label.rle], [rle for _, rle, _ in rivals])[0]
    about = [(rivals[i][2], rivals[i][0]) for i in np.flatnonzero(overlap >= RIVAL_IOU).tolist()]
    if not about:
        return label
    score, name = max(about)
    return replace(label, evidence=replace(label.evidence, rival=name, rival_score=score))


def beside_imported(labels: Sequence[Label], existing: Sequence[Label]) -> list[Label]:
    """Without the labels that say again what is labeled already, by a file or a person: those are rejected."""
    kept = [label for label in existing if label.reviewer and label.route == "accepted"]
    return [_beside(label, [k for k in kept if k.class_name == label.class_name]) for label in labels]


def _beside(label: Label, known: Sequence[Label]) -> Label:
    if not known or label.route == "rejected":
        return label
    rles = [each.rle for each in known]
    overlap = masks.iou([label.rle], rles)[0]
    inside = np.maximum(masks.containment([label.rle], rles)[0], masks.containment(rles, [label.rle])[:, 0])
    index = int(np.argmax(np.maximum(overlap, inside)))
    if overlap[index] > SAME_IOU or inside[index] > INSIDE:
        return replace(label, verdict="right", route="rejected", reason=f"{REPEATS}{known[index].id}")
    return label
