"""Synonyms become one label an object; competing labels and the rule decide where it goes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.labeling.ontology.ontology import Ontology
from sam3_agent.labeling.pipeline.label_image import labels_of
from sam3_agent.labeling.store.detections import (
    Detection,
    ImageDetections,
    PhraseDetections,
    QueryAnswer,
    pack_answer,
    pack_detections,
    unpack_answer,
    unpack_detections,
)
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.verify.score_rule import checked, quality_of
from tests.labeling.fixtures_runs import ontology

SIZE = (60, 80)


def block(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def seen(mask: NDArray[np.bool_], score: float) -> Detection:
    rle = masks.encode(mask)
    return Detection(rle, masks.box(rle), score, score)


def labels(
    given: Ontology, said: dict[str, list[Detection]], answers: dict[str, QueryAnswer] | None = None
) -> list[Label]:
    detections = {phrase: PhraseDetections(phrase, 0.9, tuple(found)) for phrase, found in said.items()}
    detected = ImageDetections("ab" * 32, detections, answers or {}, "fake")
    return labels_of(given, detected, {each.name: each.thresholds for each in given.classes})


FRUIT = ontology("classes: [{name: fruit, phrases: [apple, pear], negatives: [ball]}]")
ONE, OTHER = block(5, 5, 25, 25), block(40, 5, 60, 25)


def test_synonyms_meet_in_one_label() -> None:
    (one,) = labels(FRUIT, {"apple": [seen(ONE, 0.9)], "pear": [seen(block(5, 5, 25, 24), 0.8)]})
    assert (one.phrase, one.score, one.route) == ("apple", 0.9, "accepted")
    assert one.evidence.agreement == 1.0
    assert [(s.phrase, s.relation) for s in one.evidence.supports] == [("apple", "same"), ("pear", "same")]
    assert one.id == "abababababababab.0.000"


def test_a_part_belongs_to_its_whole_and_objects_apart_stay_apart() -> None:
    found = labels(FRUIT, {"apple": [seen(ONE, 0.9), seen(OTHER, 0.7)], "pear": [seen(block(6, 6, 12, 12), 0.6)]})
    assert [each.score for each in found] == [0.9, 0.7]
    assert [s.relation for s in found[0].evidence.supports] == ["same", "part"]


def test_a_mask_around_several_finds_is_their_group() -> None:
    both = block(5, 5, 60, 25)
    both[:, 25:40] = False
    found = labels(FRUIT, {"apple": [seen(both, 0.95)], "pear": [seen(ONE, 0.8), seen(OTHER, 0.78)]})
    assert [each.score for each in found] == [0.8, 0.78]
    assert [s.relation for s in found[0].evidence.supports] == ["same", "group"]


def test_phrases_that_disagree_lower_the_quality() -> None:
    (alone,) = labels(FRUIT, {"apple": [seen(ONE, 0.8)]})
    (agreed,) = labels(FRUIT, {"apple": [seen(ONE, 0.8)], "pear": [seen(ONE, 0.5)]})
    assert alone.quality == pytest.approx(0.8 * 0.9)
    assert agreed.quality == pytest.approx(0.8)
    assert (alone.route, agreed.route) == ("review", "accepted")
    assert "1 of 2 phrases agree" in alone.reason


def test_a_negative_that_scores_better_rejects_and_a_near_one_sends_to_review() -> None:
    (lost,) = labels(FRUIT, {"apple": [seen(ONE, 0.8)], "pear": [seen(ONE, 0.8)], "ball": [seen(ONE, 0.85)]})
    assert (lost.route, lost.verdict) == ("rejected", "wrong")
    assert lost.reason == "ball scores 0.85 there, this 0.80"
    (near,) = labels(FRUIT, {"apple": [seen(ONE, 0.8)], "pear": [seen(ONE, 0.8)], "ball": [seen(ONE, 0.7)]})
    assert near.quality == pytest.approx(0.8 * (0.5 + 0.1 / 0.8))
    assert near.route == "review"
    (far,) = labels(FRUIT, {"apple": [seen(ONE, 0.8)], "pear": [seen(ONE, 0.8)], "ball": [seen(OTHER, 0.95)]})
    assert far.route == "accepted"


def test_classes_fight_over_pixels_only_where_both_want_to() -> None:
    text = "classes: [{name: fish}, {name: boat}, {name: pet, phrases: [tame], overlap: keep}]"
    said = {"fish": [seen(ONE, 0.9)], "boat": [seen(ONE, 0.8)], "tame": [seen(ONE, 0.8)]}
    fish, boat, pet = labels(ontology(text), said)
    assert (boat.route, boat.reason) == ("rejected", "class fish scores 0.90 there, this 0.80")
    assert (pet.route, pet.evidence.competing_label) == ("accepted", "")
    assert (fish.evidence.competing_label, fish.route) == ("class boat", "review")


def test_a_query_is_labeled_and_an_unfinished_one_goes_to_review() -> None:
    heat = ontology("classes: [{name: heat, query: what spoils in heat}]")
    answered = {"heat": QueryAnswer("answered", "", (seen(ONE, 0.9),), usd=0.02)}
    (label,) = labels(heat, {}, answered)
    assert (label.source, label.phrase, label.route, label.usd) == ("query", "what spoils in heat", "accepted", 0.02)
    (label,) = labels(heat, {}, {"heat": QueryAnswer("budget", "", (seen(ONE, 0.9),))})
    assert label.route == "review"
    assert "ended as 'budget'" in label.reason


def test_attributes_are_fixed_or_what_scores_best_on_the_mask() -> None:
    given = ontology("classes: [{name: car, attributes: {set: a, color: [red, blue]}}]")
    said = {"car": [seen(ONE, 0.9)], "red car": [seen(OTHER, 0.9)], "blue car": [seen(ONE, 0.6)]}
    assert dict(labels(given, said)[0].attributes) == {"set": "a", "color": "blue"}
    assert dict(labels(given, {"car": [seen(ONE, 0.9)]})[0].attributes) == {"set": "a"}


def test_what_is_believed_in_and_not_labeled_may_have_been_missed() -> None:
    each = FRUIT.classes[0]
    detected = ImageDetections(
        "ab" * 32, {"apple": PhraseDetections("apple", 0.8, ()), "pear": PhraseDetections("pear", 0.1, ())}, {}, "fake"
    )
    assert (checked(each, [], detected).route, checked(each, [], detected).presence) == ("review", 0.8)
    detected = ImageDetections("ab" * 32, {"apple": PhraseDetections("apple", 0.2, ())}, {}, "fake")
    assert (checked(each, [], detected).route, checked(each, [], detected).reason) == ("accepted", "not there")
    found = labels(FRUIT, {"apple": [seen(ONE, 0.9)]})
    assert checked(each, found, detected).reason == "1 labeled"


def test_the_quality_of_nothing_is_nothing() -> None:
    (label,) = labels(FRUIT, {"apple": [seen(ONE, 0.0)]})
    assert quality_of(label) == 0.0


def test_what_was_seen_is_read_back_as_it_was() -> None:
    detections = [
        PhraseDetections("apple", 0.5, (seen(ONE, 0.9), seen(OTHER, 0.25))),
        PhraseDetections("pear", 0.125, ()),
    ]
    assert unpack_detections(pack_detections(detections), SIZE) == detections
    answer = QueryAnswer("answered", "these", (seen(ONE, 0.9),), 0.01)
    assert unpack_answer(pack_answer(answer), SIZE) == answer
