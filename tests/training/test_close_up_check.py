"""First tokens of a teaching, and the second look at what taught tokens find."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.teaching.close_up_check import ENOUGH, Answer, answers_of, checked_closely
from sam3_agent.training.teaching.first_tokens import FirstTokens
from sam3_agent.training.teaching.looks import counts_of, look_of
from sam3_agent.training.teaching.prompt_tokens import TokenOptions
from sam3_agent.training.teaching.teach import TeachOptions, learn_and_look, teach_and_look
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt, Exemplar
from sam3_agent.workspace.close_ups import VERSIONS

SCENES = SceneOptions(min_side=200, max_side=260, required_pairs=(("star", "red"), ("fish", "blue")))


@pytest.fixture(scope="module")
def segmenter() -> Sam3:
    torch.set_num_threads(1)
    return Sam3.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def images() -> list[TeachingImage]:
    """Six with stars and fish."""
    scenes = [generate_scene(seed, SCENES) for seed in range(6)]
    return [TeachingImage(s.image, tuple(masks.encode(o.mask) for o in s.objects if o.noun == "star")) for s in scenes]


def _answers(segmenter: Sam3, images: list[TeachingImage], *words: str) -> list[Answer]:
    """All findings of the words as those of one prompt."""
    prompts = [ConceptPrompt(word) for word in words]
    each = [answers_of(segmenter, image, prompts, 0.5) for image in images]
    return [Answer(0.9, tuple(found for answer in some for found in answer.found)) for some in each]


def _counts(images: list[TeachingImage], answers: list[Answer], least: float = 0.25) -> tuple[int, int]:
    """Right and false ones over half of what `_answers` asks for."""
    looks = [look_of(a.found, image.objects) for a, image in zip(answers, images, strict=True)]
    return counts_of(looks, least)


@pytest.mark.parametrize("soft", [True, False])
def test_false_findings_are_refused_and_objects_stay(segmenter: Sam3, images: list[TeachingImage], soft: bool) -> None:
    both = _answers(segmenter, images, "star", "fish")
    right, false = _counts(images, both)
    assert min(right, false) >= 6  # stars and fish
    known, (checked,) = checked_closely(segmenter, images, [both], soft=soft)
    assert known is not None
    assert bool(known.spread) is soft
    left, wrong = _counts(images, checked)
    scores = {score for each in both for score, _ in each.found}
    assert soft != all(score in {*scores, 0.0} for each in checked for score, _ in each.found)
    assert left >= 0.7 * right
    assert wrong <= 0.3 * false
    assert [each.presence for each in checked] == [each.presence for each in both]


def test_named_things_stand_beside_too_few_false_findings_of_a_model_that_refuses(
    segmenter: Sam3, images: list[TeachingImage]
) -> None:
    right = [Answer(0.9, tuple((0.9, rle) for rle in image.objects)) for image in images]
    known, (checked,) = checked_closely(segmenter, images, [right], soft=False)
    alone, _ = checked_closely(segmenter, images, [right])
    assert known is not None
    assert known.others is not None
    assert known.others.count == ENOUGH * VERSIONS
    assert alone is not None
    assert alone.others is None
    assert _counts(images, checked)[0] >= 0.7 * sum(len(image.objects) for image in images)


def test_where_nothing_tells_them_apart_the_answers_stay(segmenter: Sam3, images: list[TeachingImage]) -> None:
    stars = _answers(segmenter, images, "star")
    half = [replace(image, objects=image.objects[:1]) for image in images[:2]]
    known, (checked,) = checked_closely(segmenter, half, [stars[:2]])
    assert known is None
    assert checked == stars[:2]


def test_an_object_is_told_once(segmenter: Sam3, images: list[TeachingImage]) -> None:
    (answer,) = answers_of(segmenter, images[0], [ConceptPrompt("star")], 0.05)
    rles = [rle for _, rle in answer.found]
    overlaps = masks.iou(rles, rles) - np.eye(len(rles))
    assert overlaps.max(initial=0) <= 0.7


def test_first_tokens_of_a_fold_know_nothing_of_its_images(segmenter: Sam3, images: list[TeachingImage]) -> None:
    shown = [image for image in images if image.objects][:4]
    rows = [
        segmenter.read_exemplars(segmenter.encode(i.pixels), [Exemplar(masks.box(r)) for r in i.objects]).array
        for i in shown
    ]
    folds = [0, 1, 0, 1]
    spoiled = [tokens * (50.0 if fold == 0 else 1.0) for tokens, fold in zip(rows, folds, strict=True)]
    honest, other = (FirstTokens(segmenter, shown, each, folds) for each in (rows, spoiled))
    assert np.array_equal(honest.without(0), other.without(0))
    assert not np.array_equal(honest.without(1), other.without(1))
    assert honest.without(None).shape == rows[0][0].shape


def test_tokens_that_training_did_not_better_are_kept_as_they_were_read(segmenter: Sam3) -> None:
    having = [generate_scene(seed, SCENES) for seed in range(5)]
    lacking = [generate_scene(seed, SceneOptions(min_side=200, max_side=260)) for seed in range(300, 340)]
    without = [s for s in lacking if all(o.noun != "star" for o in s.objects)][:5]
    given = [
        TeachingImage(s.image, tuple(masks.encode(o.mask) for o in s.objects if o.noun == "star"))
        for s in (*having, *without)
    ]
    spoiling = TokenOptions(tokens=2, folds=2, steps=1, batch=1, rate=50.0)
    taught = teach_and_look(segmenter, "star", given, options=TeachOptions(spoiling, views=1, absent_views=1, pastes=0))
    assert taught.concept.tokens.count == 1
    assert taught.concept.estimate is not None
    assert taught.concept.estimate.found >= taught.concept.estimate.examples / 2
    (note,) = taught.concept.notes
    assert note.endswith("so that this is kept")


def test_best_examples_are_a_concept_without_training_and_without_absent_images(segmenter: Sam3) -> None:
    scenes = [generate_scene(seed, SCENES) for seed in range(6)]
    given = [TeachingImage(s.image, tuple(masks.encode(o.mask) for o in s.objects if o.noun == "star")) for s in scenes]
    having = [image for image in given if image.objects]
    taught = learn_and_look(segmenter, "star", having)
    assert taught.concept.tokens.count == 1
    assert taught.concept.estimate is not None
    assert taught.concept.estimate.absent == 0
    found = sum(len(look.right) for look in taught.looks)
    assert found >= 0.7 * sum(look.objects for look in taught.looks)
    assert taught.concept.notes == (f"read from {len(having)} images with it",)
    with pytest.raises(InputError, match="too few"):
        learn_and_look(segmenter, "star", having[:2])
