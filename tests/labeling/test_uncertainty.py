"""Uncertainty of a label beyond its score: a second detection of it, and a query about what is uncertain."""

from dataclasses import replace

import numpy as np

from sam3_agent import masks
from sam3_agent.labeling.ontology.ontology import Thresholds
from sam3_agent.labeling.store.documents import label_json
from sam3_agent.labeling.store.documents import label_of as label_of_json
from sam3_agent.labeling.store.label import Evidence, Label, Support
from sam3_agent.labeling.verify.calibrate import fitted
from sam3_agent.labeling.verify.score_rule import quality_of, verified, with_uncertainty
from tests.labeling.fixtures_runs import ontology

CLASSES = """
classes:
  - {name: animal, phrases: [animal, fish]}
  - {name: star}
  - {name: largest, query: the largest of the fishes}
"""


def label_of(name: str, score: float, *found: tuple[str, float]) -> Label:
    rle = masks.encode(np.ones((4, 4), bool))
    evidence = Evidence(1, tuple(Support(phrase, each) for phrase, each in found))
    source = "query" if name == "largest" else "phrase"
    return Label("x", "f" * 64, name, rle, masks.box(rle), score, score, 1.0, source, name, evidence)


def test_a_thing_that_one_phrase_draws_twice_waits_for_a_person() -> None:
    once = label_of("star", 0.9, ("star", 0.9))
    twice = label_of("star", 0.9, ("star", 0.9), ("star", 0.8))
    assert (once.evidence.duplicate_score, twice.evidence.duplicate_score) == (0.0, 0.8)
    assert verified(once, Thresholds()).route == "accepted"
    waiting = verified(twice, Thresholds())
    assert waiting.route == "review"
    assert "found twice, 0.80" in waiting.reason
    two_phrases = label_of("star", 0.9, ("star", 0.9), ("asterisk", 0.8))
    assert two_phrases.evidence.duplicate_score == 0.0
    faint = label_of("star", 0.9, ("star", 0.9), ("star", 0.3))
    assert quality_of(faint) == quality_of(once)


def test_a_query_is_no_surer_than_what_it_speaks_of() -> None:
    answer = label_of("largest", 0.9, ("the largest of the fishes", 0.9))
    sure, unsure = label_of("animal", 0.99, ("animal", 0.99)), label_of("animal", 0.5, ("animal", 0.5))
    star = label_of("star", 0.5, ("star", 0.5))
    plain = with_uncertainty(ontology(CLASSES), [sure, star, answer])[-1]  # it does not speak of stars
    assert plain.evidence.uncertainty < 0.25
    assert verified(plain, Thresholds()).route == "accepted"
    doubted = with_uncertainty(ontology(CLASSES), [sure, unsure, answer])[-1]
    assert (doubted.evidence.uncertain_class, doubted.evidence.uncertainty) == ("animal", 1.0)
    waiting = verified(doubted, Thresholds())
    assert waiting.route == "review"
    assert "animal is uncertain here 1.00" in waiting.reason
    assert with_uncertainty(ontology(CLASSES), [sure, unsure, answer])[:2] == [sure, unsure]
    kept = label_of_json(label_json(doubted)).evidence
    assert kept == replace(doubted.evidence, supports=kept.supports)


def test_a_line_must_be_sure_and_not_only_lucky() -> None:
    few = [(0.9, True)] * 20
    assert fitted(few, Thresholds(), 0.95).accept == 0.9  # nothing is known against them
    bad = ([(0.9, True)] * 17 + [(0.9, False)] * 3) * 3
    assert fitted(few, Thresholds(), 0.95, pool=bad + few).accept == 1.0  # other classes say otherwise
    assert fitted([(0.9, True)] * 200, Thresholds(), 0.95, pool=bad + few).accept == 0.9  # its own labels outweigh them
    mixed = [(0.9, True)] * 95 + [(0.9, False)] * 5
    assert fitted(mixed, Thresholds(), 0.95).accept == 1.0  # 0.95, and as likely less as more
    sure, beside = [(0.9, True)] * 200, [(0.5, False), (0.5, True)] * 5
    assert fitted([*sure, *beside], Thresholds(), 0.95).accept == 0.9  # 205 of 210, but not those at 0.5
