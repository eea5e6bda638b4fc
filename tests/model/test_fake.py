"""The deterministic model behaves like a model."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.model.fake import UNKNOWN_PRESENCE, FakeSegmenter, detection
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.types import ConceptPrompt, Detection, DetectOptions, Exemplar
from tests.fixtures_workspace import BLUE_CIRCLE, GREEN_SQUARE, RED_CIRCLES, fake_segmenter, picture

FIRST_RED, SECOND_RED, BLUE = (masks.box(masks.encode(m)) for m in (*RED_CIRCLES, BLUE_CIRCLE))


def ask(
    phrase: str | None = None, positive: tuple[Box, ...] = (), negative: tuple[Box, ...] = (), **options: float
) -> Detection:
    segmenter: Segmenter = fake_segmenter()
    exemplars = (*(Exemplar(b) for b in positive), *(Exemplar(b, positive=False) for b in negative))
    prompt = ConceptPrompt(phrase, exemplars)
    asked = DetectOptions(**options)  # pyright: ignore[reportArgumentType]
    return segmenter.detect(segmenter.encode(picture()), [prompt], asked)[0]


def found(answer: Detection) -> list[bytes]:
    return sorted(masks.decode(c.rle).tobytes() for c in answer.kept)


def these(*expected: NDArray[np.bool_]) -> list[bytes]:
    return sorted(mask.tobytes() for mask in expected)


def test_a_registered_phrase_gives_its_masks_and_near_misses() -> None:
    answer = ask(" Circle ")
    assert found(answer) == these(*RED_CIRCLES, BLUE_CIRCLE)
    assert [round(c.object_score, 2) for c in answer.near_misses] == [0.3]


def test_an_unknown_phrase_gives_low_presence_and_nothing() -> None:
    assert ask("dog") == Detection(UNKNOWN_PRESENCE, ())


def test_the_threshold_applies_to_presence_times_object_score() -> None:
    assert ask("star").kept == ()
    assert len(ask("star", threshold=0.15).kept) == 1


def test_near_misses_can_be_left_out() -> None:
    assert ask("circle", near_misses=0).near_misses == ()


def test_a_positive_box_means_the_narrowest_kind_under_it() -> None:
    assert found(ask(positive=(FIRST_RED,))) == these(*RED_CIRCLES)


def test_a_negative_box_takes_its_kind_away() -> None:
    assert found(ask("circle", negative=(FIRST_RED,))) == these(BLUE_CIRCLE)


def test_a_negative_box_on_the_asked_kind_takes_one_object_away() -> None:
    assert found(ask("red circle", negative=(SECOND_RED,))) == these(RED_CIRCLES[0])


def test_a_positive_box_adds_its_kind_to_a_phrase() -> None:
    assert found(ask("square", positive=(FIRST_RED,))) == these(*RED_CIRCLES, GREEN_SQUARE)


def test_a_long_phrase_and_a_box_outside_the_image_are_refused() -> None:
    with pytest.raises(InputError, match="500 characters"):
        ask("x" * 500)
    with pytest.raises(InputError, match="outside"):
        ask(positive=((0, 0, 999, 10),))


def test_answers_hold_only_on_images_of_their_size() -> None:
    segmenter = fake_segmenter()
    answer = segmenter.detect(segmenter.encode(picture()[:50]), [ConceptPrompt("circle")])
    assert answer == [Detection(UNKNOWN_PRESENCE, ())]


def test_answers_can_be_computed_from_the_pixels() -> None:
    segmenter = FakeSegmenter(lambda image: {"dark": detection([image.max(axis=2) < 50])})
    image = np.full((9, 9, 3), 255, np.uint8)
    image[2:4, 3:6] = 0
    assert segmenter.detect(segmenter.encode(image), [ConceptPrompt("dark")])[0].kept[0].box == (3, 2, 6, 4)


def test_encodes_are_counted_across_threads() -> None:
    segmenter = fake_segmenter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(segmenter.encode, [picture()] * 40))
    assert segmenter.encodes == 40
