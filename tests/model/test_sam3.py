"""The model through its public calls, on random weights: the bookkeeping, not the seeing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent import masks
from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.model.sam3 import MAX_PROMPTS, Sam3
from sam3_agent.model.segmenter import PRESENCE_ONLY
from sam3_agent.types import ConceptPrompt, Detection, DetectOptions, Exemplar, ModelInfo
from tests.model.conftest import small_model

CAT = ConceptPrompt("cat")
LIKE = ConceptPrompt(None, (Exemplar((20, 30, 90, 100)),))
BOTH = ConceptPrompt("house", (Exemplar((20, 30, 90, 100)), Exemplar((100, 10, 150, 60), positive=False)))


def same(first: Detection, second: Detection) -> bool:
    pairs = [(first.kept, second.kept), (first.near_misses, second.near_misses)]
    return abs(first.presence - second.presence) < 1e-4 and all(
        len(a) == len(b)
        and all(abs(x.object_score - y.object_score) < 1e-4 for x, y in zip(a, b, strict=True))
        and all(np.allclose(x.box, y.box, atol=1e-2) for x, y in zip(a, b, strict=True))
        and all((masks.decode(x.rle) != masks.decode(y.rle)).mean() < 1e-3 for x, y in zip(a, b, strict=True))
        for a, b in pairs
    )


def test_a_detection_keeps_presence_and_object_score_apart_best_first(
    segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    (found,) = segmenter.detect(segmenter.encode(picture), [CAT], DetectOptions(threshold=0.0))
    assert 0 < found.presence < 1
    assert len(found.kept) > 1
    scores = [candidate.object_score for candidate in found.kept]
    assert scores == sorted(scores, reverse=True)
    for candidate in found.kept:
        x0, y0, x1, y1 = candidate.box
        assert candidate.rle.size == (120, 180)
        assert masks.area(candidate.rle) > 0
        assert 0 <= x0 < x1 <= 180
        assert 0 <= y0 < y1 <= 120


def test_the_threshold_is_strict_and_holds_for_the_product(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    (everything,) = segmenter.detect(seen, [CAT], DetectOptions(threshold=0.0, near_misses=0))
    limit = everything.presence * everything.kept[1].object_score
    (some,) = segmenter.detect(seen, [CAT], DetectOptions(threshold=limit, near_misses=0))
    assert some.kept == everything.kept[:1]
    assert some.near_misses == ()


def test_where_presence_is_assumed_the_object_score_alone_decides(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    (doubted,) = segmenter.detect(seen, [CAT], DetectOptions(threshold=0.0, near_misses=0))
    limit = doubted.kept[1].object_score
    (assumed,) = segmenter.detect(seen, [CAT], DetectOptions(threshold=limit, near_misses=0, assume_present=True))
    assert [c.object_score for c in assumed.kept] == [doubted.kept[0].object_score]
    assert doubted.presence * doubted.kept[0].object_score < limit
    assert assumed.presence == pytest.approx(doubted.presence)


def test_near_misses_lie_under_the_threshold_and_are_bounded(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    (found,) = segmenter.detect(seen, [CAT], DetectOptions(threshold=0.99, near_misses=3))
    assert found.kept == ()
    assert 1 <= len(found.near_misses) <= 3
    assert all(miss.object_score >= 0.25 for miss in found.near_misses)


def test_presence_is_the_one_that_detect_tells_and_nothing_is_decoded_for_it(
    segmenter: Sam3, picture: NDArray[np.uint8]
) -> None:
    seen = segmenter.encode(picture)
    (alone,) = segmenter.detect(seen, [CAT], PRESENCE_ONLY)
    (full,) = segmenter.detect(seen, [CAT])
    assert (alone.kept, alone.near_misses) == ((), ())
    assert segmenter.presence(seen, [CAT]) == [alone.presence]
    assert alone.presence == pytest.approx(full.presence, abs=1e-6)


def test_many_prompts_are_answered_in_order_and_each_as_if_alone(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    prompts = [CAT, LIKE, BOTH, *(ConceptPrompt(f"thing {k}") for k in range(MAX_PROMPTS)), CAT]
    together = segmenter.detect(seen, prompts, DetectOptions(threshold=0.1))
    assert len(together) == len(prompts)
    for prompt, found in zip(prompts, together, strict=True):
        assert same(found, segmenter.detect(seen, [prompt], DetectOptions(threshold=0.1))[0])


def test_no_prompts_give_no_detections(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    assert segmenter.detect(segmenter.encode(picture), []) == []


def test_remembered_features_and_phrases_answer_like_new_ones(
    segmenter: Sam3, tokenizer: CLIPTokenizer, picture: NDArray[np.uint8]
) -> None:
    fresh = Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"))
    seen = segmenter.encode(picture)
    segmenter.detect(seen, [CAT, BOTH], DetectOptions(threshold=0.1))
    for prompt in (CAT, BOTH):
        again = segmenter.detect(seen, [prompt], DetectOptions(threshold=0.1))[0]
        assert same(again, fresh.detect(fresh.encode(picture), [prompt], DetectOptions(threshold=0.1))[0])


def test_phrases_that_clean_to_the_same_words_answer_the_same(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    plain, shouted = segmenter.detect(
        seen, [ConceptPrompt("a red cat"), ConceptPrompt("  A  RED\tCat ")], DetectOptions(threshold=0.1)
    )
    assert same(plain, shouted)


def test_an_exemplar_changes_the_answer_and_its_sign_matters(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    box = (20, 30, 90, 100)
    prompts = [CAT, *(ConceptPrompt("cat", (Exemplar(box, positive=sign),)) for sign in (True, False))]
    presences = segmenter.presence(seen, prompts)
    assert len({round(value, 5) for value in presences}) == 3


def test_an_exemplar_box_is_clipped_to_the_image(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    over, exact = (
        ConceptPrompt(None, (Exemplar(box),)) for box in ((-10.0, 20.0, 50.0, 300.0), (0.0, 20.0, 50.0, 120.0))
    )
    assert same(*segmenter.detect(seen, [over, exact], DetectOptions(threshold=0.1)))


def test_an_exemplar_box_outside_the_image_is_refused(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="outside the 180x120 image"):
        segmenter.detect(segmenter.encode(picture), [ConceptPrompt(None, (Exemplar((200, 10, 250, 60)),))])


def test_a_phrase_over_the_token_limit_is_refused_with_its_length(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"too long for this model: 500 tokens \(500 characters\), at most 30 tokens"):
        segmenter.detect(segmenter.encode(picture), [ConceptPrompt("x" * 500)])


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 1), (96, 96), (2000, 31)])
def test_any_image_size_is_answered_at_its_own_size(segmenter: Sam3, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    (found,) = segmenter.detect(segmenter.encode(image), [CAT], DetectOptions(threshold=0.0))
    assert all(candidate.rle.size == size for candidate in found.kept)


def test_a_hundred_megapixels_are_answered(segmenter: Sam3) -> None:
    image = np.zeros((10_000, 10_000, 3), dtype=np.uint8)
    image[2000:5000, 3000:9000] = 200
    (found,) = segmenter.detect(segmenter.encode(image), [CAT], DetectOptions(threshold=1.1, near_misses=1))
    assert found.near_misses[0].rle.size == (10_000, 10_000)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
)
def test_what_is_no_rgb_image_is_refused(segmenter: Sam3, image: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"\(H, W, 3\) uint8 RGB"):
        segmenter.encode(image)


def test_features_know_their_size_and_their_bytes(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    seen = segmenter.encode(picture)
    assert (seen.height, seen.width) == (120, 180)
    assert [tuple(level.shape) for level in seen.levels] == [(1, 32, 48, 48), (1, 32, 24, 24), (1, 32, 12, 12)]
    assert seen.nbytes == 4 * 32 * (48 * 48 + 24 * 24 + 12 * 12)


def test_threads_get_the_answers_that_one_thread_gets(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    images = [picture, picture[::-1], picture[:, ::-1], picture.transpose(1, 0, 2)]

    def answer(image: NDArray[np.uint8]) -> Detection:
        return segmenter.detect(segmenter.encode(image), [CAT, BOTH], DetectOptions(threshold=0.1))[1]

    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(answer, images), map(answer, images), strict=True):
            assert same(one, other)


def test_running_out_of_memory_is_one_line_that_says_what_to_do(segmenter: Sam3) -> None:
    with (
        pytest.raises(ModelUnavailable, match="on cpu while drawing: ask for fewer concepts"),
        segmenter._network("drawing"),
    ):
        torch.empty(1 << 60)
    with pytest.raises(ModelUnavailable, match="out of memory"), segmenter._network("drawing"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    with pytest.raises(RuntimeError, match="size of tensor"), segmenter._network("drawing"):
        torch.ones(2) + torch.ones(3)


def test_the_number_of_torch_threads_is_left_alone(segmenter: Sam3, picture: NDArray[np.uint8]) -> None:
    before = torch.get_num_threads()
    segmenter.detect(segmenter.encode(picture), [CAT])
    assert torch.get_num_threads() == before
