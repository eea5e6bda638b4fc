"""Merge of detections to one label an object: synonyms meet by their masks, competing labels are noted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent import masks
from sam3_agent.labeling.ontology.ontology import AttributeValue, LabelClass, Ontology, attribute_phrases, fold
from sam3_agent.labeling.store.detections import (
    COMPETING_IOU,
    GROUP_COVER,
    GROUP_RATIO,
    INSIDE,
    SAME_IOU,
    Detection,
    ImageDetections,
    asked_phrases,
)
from sam3_agent.labeling.store.label import Check, Evidence, Label, Relation, Source, Support
from sam3_agent.masks import Rle

APART = 0.2
"""Detections that share less than this of the smaller one count as separate members of a group: outlines of neighbors
overlap by a few pixels."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Detection of one phrase of a class."""

    detection: Detection
    phrase: str
    source: Source
    presence: float


def proposals_of(each: LabelClass, detected: ImageDetections) -> list[Proposal]:
    """List every detection of every phrase, exemplar and query of a class, best first; ties in a fixed order."""
    proposals: list[Proposal] = []
    for phrase in asked_phrases(each):
        of_phrase = detected.by_phrase.get(fold(phrase))
        source: Source = "taught" if each.taught is not None else "exemplar" if phrase.startswith("@") else "phrase"
        if of_phrase is not None:
            proposals += [Proposal(found, phrase, source, of_phrase.presence) for found in of_phrase.found]
    answer = detected.answers.get(each.name)
    if answer is not None and each.query is not None:
        proposals += [Proposal(found, each.query, "query", 1.0) for found in answer.found]
    return sorted(proposals, key=_best_first)


def _best_first(proposal: Proposal) -> tuple[float, int, str, str]:
    found = proposal.detection
    return -found.score, -masks.area(found.rle), proposal.phrase, found.rle.counts


def merged(each: LabelClass, detected: ImageDetections) -> list[Label]:
    """Merge detections to one label an object of the class, best first; every proposal supports exactly one."""
    proposals = proposals_of(each, detected)
    rles = [p.detection.rle for p in proposals]
    shared = {(i, j): pixels for i, j, pixels in masks.overlaps(rles)}
    areas = [masks.area(rle) for rle in rles]
    order = _groups_last(proposals, areas, shared)
    leaders: list[int] = []
    supports: dict[int, list[Support]] = {}
    for index in order:
        owner, relation = _owner_of(index, leaders, areas, shared)
        if owner is None:
            leaders.append(index)
            owner = index
        supports.setdefault(owner, []).append(
            Support(proposals[index].phrase, proposals[index].detection.score, relation)
        )
    asked = len(asked_phrases(each)) + (each.query is not None)
    answer = detected.answers.get(each.name)
    outcome = answer.outcome if answer is not None else ""
    return [
        _label(each, proposals[index], Evidence(asked, tuple(supports[index]), outcome=outcome), detected)
        for index in leaders
    ]


def with_competing_labels(
    ontology: Ontology, by_class: Mapping[str, Sequence[Label]], detected: ImageDetections
) -> list[Label]:
    """Note on every label the negative or other class that scores best on its pixels; gives all labels of the image."""
    done: list[Label] = []
    for each in ontology.classes:
        competing = _negatives(each, detected)
        if each.overlap == "best":
            for other in ontology.classes:
                if other.name != each.name and other.overlap == "best":
                    competing += [(f"class {other.name}", lab.rle, lab.score) for lab in by_class[other.name]]
        done += [_beside_competing(label, competing) for label in by_class[each.name]]
    return done


def with_choices(each: LabelClass, labels: Sequence[Label], detected: ImageDetections) -> list[Label]:
    """Give the labels of a class its fixed attributes, and the choices that score best on their pixels."""
    asked = attribute_phrases(each)
    done: list[Label] = []
    for label in labels:
        best: dict[str, tuple[float, AttributeValue]] = {}
        for name, value, phrase in asked:
            of_phrase = detected.by_phrase.get(fold(phrase))
            for found in of_phrase.found if of_phrase is not None else ():
                same = masks.iou([label.rle], [found.rle])[0, 0] >= COMPETING_IOU
                if same and found.score > best.get(name, (0.0, ""))[0]:
                    best[name] = (found.score, value)
        done.append(
            replace(label, attributes={**each.attributes, **{name: value for name, (_, value) in best.items()}})
        )
    return done


def _groups_last(
    proposals: Sequence[Proposal], areas: Sequence[int], shared: Mapping[tuple[int, int], int]
) -> list[int]:
    """Order proposals best first, but those that are groups of others after all others."""
    inside: dict[int, list[int]] = {}
    for (i, j), pixels in shared.items():
        small, large = (i, j) if areas[i] <= areas[j] else (j, i)
        near = proposals[small].detection.score >= GROUP_RATIO * proposals[large].detection.score
        if near and pixels > INSIDE * areas[small] and areas[small] < SAME_IOU * areas[large]:
            inside.setdefault(large, []).append(small)
    groups: list[int] = []
    for large, small in inside.items():
        apart: list[int] = []
        for index in sorted(small, key=lambda i: (-areas[i], i)):  # the largest parts that do not overlap
            if all(_pixels(shared, index, other) < APART * areas[index] for other in apart):
                apart.append(index)
        if len(apart) > 1 and sum(areas[i] for i in apart) > GROUP_COVER * areas[large]:
            groups.append(large)
    return [*(i for i in range(len(proposals)) if i not in groups), *sorted(groups)]


def _owner_of(
    index: int, leaders: Sequence[int], areas: Sequence[int], shared: Mapping[tuple[int, int], int]
) -> tuple[int | None, Relation]:
    """Find the label with which a proposal shares most, if it belongs to any, and what it is to that."""
    best, around = 0, 0
    owner: int | None = None
    relation: Relation = "same"
    for leader in leaders:
        pixels = _pixels(shared, index, leader)
        if not pixels:
            continue
        union = areas[index] + areas[leader] - pixels
        within, holds = pixels > INSIDE * areas[index], pixels > INSIDE * areas[leader]
        around += holds
        if (pixels > SAME_IOU * union or within or holds) and pixels > best:
            best, owner = pixels, leader
            relation = "same" if pixels > SAME_IOU * union else "part" if within else "whole"
    return owner, "group" if relation == "whole" and around > 1 else relation


def _pixels(shared: Mapping[tuple[int, int], int], first: int, second: int) -> int:
    return shared.get((min(first, second), max(first, second)), 0)


def _label(each: LabelClass, best: Proposal, evidence: Evidence, detected: ImageDetections) -> Label:
    found = best.detection
    usd = detected.answers[each.name].usd if best.source == "query" else 0.0
    return Label(
        id="",
        sha=detected.sha,
        class_name=each.name,
        rle=found.rle,
        box=found.box,
        score=found.score,
        object_score=found.object_score,
        presence=best.presence,
        source=best.source,
        phrase=best.phrase,
        evidence=evidence,
        model=detected.model,
        usd=usd,
    )


def _negatives(each: LabelClass, detected: ImageDetections) -> list[tuple[str, masks.Rle, float]]:
    detections = [(phrase, detected.by_phrase.get(fold(phrase))) for phrase in each.negatives]
    return [(phrase, found.rle, found.score) for phrase, s in detections if s is not None for found in s.found]


def _beside_competing(label: Label, competing: Sequence[tuple[str, masks.Rle, float]]) -> Label:
    if not competing:
        return label
    overlap = masks.iou([label.rle], [rle for _, rle, _ in competing])[0]
    about = [(competing[i][2], competing[i][0]) for i in np.flatnonzero(overlap >= COMPETING_IOU).tolist()]
    if not about:
        return label
    score, name = max(about)
    return replace(label, evidence=replace(label.evidence, competing_label=name, competing_score=score))


def beside_imported(labels: Sequence[Label], existing: Sequence[Label]) -> list[Label]:
    """Reject the labels that say again what is labeled already, by a file or a person."""
    kept = [label for label in existing if label.is_settled and label.route == "accepted"]
    return [_beside(label, [k for k in kept if k.class_name == label.class_name]) for label in labels]


def _beside(label: Label, known: Sequence[Label]) -> Label:
    if not known or label.route == "rejected":
        return label
    rles = [each.rle for each in known]
    overlap = masks.iou([label.rle], rles)[0]
    inside = np.maximum(masks.containment([label.rle], rles)[0], masks.containment(rles, [label.rle])[:, 0])
    index = int(np.argmax(np.maximum(overlap, inside)))
    if overlap[index] > SAME_IOU or inside[index] > INSIDE:
        other = known[index].id
        reason = f"labeled already as {other}"
        return replace(label, verdict="right", route="rejected", decided_by="rule", repeats=other, reason=reason)
    return label


def beside_decisions(labels: Sequence[Label], known: Sequence[Label], checks: Sequence[Check]) -> list[Label]:
    """Give the labels that an image gets from a later look, where people have spoken about it in between.

    What a person rejected, or gave another class, is not proposed again; on an image that a person called complete the
    labels of the class stay those that the person saw; and what a language model judged stays where nothing looked
    again.
    """
    complete = {check.class_name for check in checks if check.decided_by == "person"}
    open_ones = [each for each in known if not each.is_settled]
    judged = {each.id: each for each in open_ones if each.evidence.judged}
    rejected: dict[str, list[Rle]] = {}
    for each in known:
        refused = each.class_name if each.route == "rejected" else each.proposed_class
        if each.decided_by == "person" and refused:
            rejected.setdefault(refused, []).append(each.rle)
    fresh = [judged.get(each.id, each) if not each.evidence.judged else each for each in labels]
    return [
        *(each for each in open_ones if each.class_name in complete and each.source != "similar"),
        *(
            each
            for each in fresh
            if each.class_name not in complete and not _is_among(each.rle, rejected.get(each.class_name, ()))
        ),
    ]


def _is_among(rle: Rle, others: Sequence[Rle]) -> bool:
    return bool(others) and float(masks.iou([rle], others).max()) > SAME_IOU
