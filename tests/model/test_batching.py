"""The model in batches of several callers, on several devices, out of memory, compiled: always the same answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.batching import Work
from sam3_agent.model.replicas import load_replicas, load_segmenter
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.model.scheduler.preemption import listen
from sam3_agent.model.segmenter import Features
from sam3_agent.model.text_prompts import TextCache
from sam3_agent.types import Concept, ConceptPrompt, Detection, DetectOptions, Exemplar, ModelInfo
from tests.model.conftest import small_model
from tests.model.fixtures_gated import in_thread
from tests.model.test_sam3 import BOTH, CAT, LIKE, same

Pictures = Sequence[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def pictures(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [picture, picture[::-1].copy(), np.roll(picture, 40, axis=1)[:110]]


def alone(segmenter: Sam3, image: NDArray[np.uint8], prompts: Sequence[ConceptPrompt]) -> list[Detection]:
    """Every prompt in a batch of its own."""
    return [segmenter.detect(segmenter.encode(image), [prompt], DetectOptions(threshold=0.1))[0] for prompt in prompts]


def learned(segmenter: Sam3, image: NDArray[np.uint8]) -> ConceptPrompt:
    tokens = segmenter.read_exemplars(
        segmenter.encode(image), [Exemplar((20, 30, 90, 100)), Exemplar((5, 5, 40, 40), False)]
    )
    return ConceptPrompt("house", learned=Concept("mine", None, tokens))


def test_prompts_of_every_kind_on_different_images_answer_in_one_batch_as_if_alone(
    segmenter: Sam3, pictures: Pictures
) -> None:
    prompts = [CAT, LIKE, BOTH, learned(segmenter, pictures[0])]
    plans = [
        segmenter.plan_detect(segmenter.encode(image), prompts, DetectOptions(threshold=0.1)) for image in pictures
    ]
    raw = segmenter._runner.draw([row for plan in plans for row in plan.items])
    found = [plans[0].finish(each) for each in raw]
    expected = [each for image in pictures for each in alone(segmenter, image, prompts)]
    assert len(found) == len(expected) == 12
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert not same(found[0], found[4])


def test_images_that_are_encoded_together_have_their_own_features_in_their_own_memory(
    segmenter: Sam3, pictures: Pictures
) -> None:
    together = segmenter._runner.encode([segmenter.plan_encode(image).items[0] for image in pictures])
    for image, seen in zip(pictures, together, strict=True):
        assert (seen.height, seen.width) == image.shape[:2]
        for level, single in zip(seen.levels, segmenter.encode(image).levels, strict=True):
            assert torch.allclose(level, single, atol=1e-4)
            assert level.untyped_storage().nbytes() == level.nbytes


def test_exemplars_of_different_images_are_read_in_one_batch_as_if_alone(segmenter: Sam3, pictures: Pictures) -> None:
    examples = [[Exemplar((20, 30, 60, 100))], [Exemplar((5, 5, 40, 40)), Exemplar((9, 9, 80, 80), False)]]
    plans = [
        segmenter.plan_read(segmenter.encode(image), boxes) for image, boxes in zip(pictures[:2], examples, strict=True)
    ]
    raw = segmenter._runner.read([plan.items[0] for plan in plans])
    for plan, values, image, boxes in zip(plans, raw, pictures[:2], examples, strict=True):
        tokens, single = plan.finish(values), segmenter.read_exemplars(segmenter.encode(image), boxes)
        assert (tokens.count, tokens.segmenter) == (len(boxes), single.segmenter)
        assert np.allclose(tokens.array, single.array, atol=1e-4)


def test_clients_of_a_scheduler_get_what_a_single_caller_gets(segmenter: Sam3, pictures: Pictures) -> None:
    prompts = [CAT, LIKE, BOTH]
    with Scheduler([segmenter]) as scheduler:

        def ask(image: NDArray[np.uint8]) -> list[Detection]:
            return scheduler.detect(scheduler.encode(image), prompts, DetectOptions(threshold=0.1))

        calls = [in_thread(lambda image=image: ask(image)) for image in [*pictures, *pictures]]
        answers: list[list[Detection]] = [call() for call in calls]
        counts = scheduler.statistics()["replicas"][0]
    for image, found in zip([*pictures, *pictures], answers, strict=True):
        assert all(same(one, other) for one, other in zip(found, alone(segmenter, image, prompts), strict=True))
    assert (counts["requests"], counts["items"]) == (12, 24)
    assert set(counts["engine"]) == {"fast", "texts", "halvings"}


def fitting(run: Any, most: int, log: list[int]) -> Any:
    """The same work on a device where only so many items fit."""

    def limited(items: Sequence[Any]) -> Sequence[Any]:
        log.append(len(items))
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return run(items)

    return limited


def test_out_of_memory_the_model_goes_on_with_half_the_batch(tokenizer: CLIPTokenizer, pictures: Pictures) -> None:
    segmenter = Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"))
    prompts = [ConceptPrompt(f"thing {k}") for k in range(9)]
    expected = alone(segmenter, pictures[0], prompts)
    sizes: list[int] = []
    segmenter._drawing = Work(fitting(segmenter._runner.draw, 2, sizes), 16, "answering a concept", "cuda:0")
    found = segmenter.detect(segmenter.encode(pictures[0]), prompts, DetectOptions(threshold=0.1))
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert sizes == [9, 4, 2, 2, 2, 2, 1]
    assert segmenter.statistics()["halvings"] == {"encode": 0, "detect": 2, "read_exemplars": 0, "segment_at": 0}
    with Scheduler([segmenter]) as scheduler:
        found = scheduler.detect(scheduler.encode(pictures[0]), prompts, DetectOptions(threshold=0.1))
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    segmenter._drawing = Work(fitting(segmenter._runner.draw, 0, sizes), 16, "answering a concept", "cuda:0")
    with pytest.raises(ModelUnavailable, match="out of memory on cuda:0 while answering a concept: ask for fewer"):
        segmenter.detect(segmenter.encode(pictures[0]), prompts)


def test_replicas_give_equal_answers_and_each_keeps_its_images(checkpoint: Path, pictures: Pictures) -> None:
    replicas = load_replicas(checkpoint, "cpu,cpu")
    assert replicas[0]._model is not replicas[1]._model
    prompts = [CAT, BOTH]
    with Scheduler(replicas) as scheduler:
        assert scheduler.info == ModelInfo(str(checkpoint), "cpu,cpu", "float32", input_side=96, queries=12, patch=8)
        seen = [scheduler.encode(pictures[0]) for _ in range(2)]
        assert seen[0].replica is not seen[1].replica
        mine = learned(replicas[0], pictures[1])
        one, other = (scheduler.detect(each, [*prompts, mine], DetectOptions(threshold=0.1)) for each in seen)
        assert one == other
        for each, replica in zip(seen, scheduler.statistics()["replicas"], strict=True):
            assert replica["encodes"] == 1
            assert replica["requests"] == 2
            assert each.replica.engine in replicas
    assert all(same(*pair) for pair in zip(one, alone(replicas[0], pictures[0], [*prompts, mine]), strict=True))


def test_one_device_gives_a_model_and_several_a_scheduler(checkpoint: Path) -> None:
    assert isinstance(load_segmenter(checkpoint, "cpu"), Sam3)
    several = load_segmenter(checkpoint, "cpu, cpu", "bfloat16")
    assert isinstance(several, Scheduler)
    several.close()
    with pytest.raises(ModelUnavailable, match="load_replicas takes several"):
        Sam3.load(checkpoint, "cpu,cpu")
    with pytest.raises(ModelUnavailable, match="device 'cuda:99'"):
        load_segmenter(checkpoint, "cpu,cuda:99")


def test_every_replica_in_bfloat16_keeps_positions_in_float32(checkpoint: Path) -> None:
    for replica in load_replicas(checkpoint, "cpu,cpu", "bfloat16"):
        for layer in replica._model.vision_encoder.backbone.layers:
            assert layer.position_ids.dtype == layer.rotary_emb.inv_freq.dtype == torch.float32
            assert layer.position_ids.device == replica._model.device
        assert replica.encode(np.zeros((9, 9, 3), np.uint8)).levels[0].dtype == torch.bfloat16


def test_a_bulk_encode_pauses_between_layers_and_an_answer_in_a_pause_changes_nothing(
    segmenter: Sam3, pictures: Pictures
) -> None:
    seen = segmenter.encode(pictures[1])
    expected = segmenter.detect(seen, [CAT], DetectOptions(threshold=0.1))
    between: list[list[Detection]] = []

    def interrupt() -> None:
        between.append(segmenter.detect(seen, [CAT], DetectOptions(threshold=0.1)))
        segmenter.encode(pictures[2])

    with listen(interrupt):
        paused = segmenter.encode(pictures[0])
    assert len(between) == len(segmenter._model.vision_encoder.backbone.layers) - 1
    assert all(same(found[0], expected[0]) for found in between)
    for level, plain in zip(paused.levels, segmenter.encode(pictures[0]).levels, strict=True):
        assert torch.equal(level, plain)


def test_bulk_answers_pause_before_the_masks_of_each_prompt(segmenter: Sam3, pictures: Pictures) -> None:
    seen, other = segmenter.encode(pictures[0]), segmenter.encode(pictures[1])
    expected = segmenter.detect(seen, [CAT, BOTH], DetectOptions(threshold=0.1))
    between: list[list[Detection]] = []
    with listen(lambda: between.append(segmenter.detect(other, [LIKE], DetectOptions(threshold=0.1)))):
        found = segmenter.detect(seen, [CAT, BOTH], DetectOptions(threshold=0.1))
    assert len(between) == 2
    assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_warming_up_runs_the_network_once(tokenizer: CLIPTokenizer) -> None:
    segmenter = Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"))
    assert segmenter.warm_up() > 0
    assert segmenter.statistics()["texts"]["misses"] == 1


def test_texts_are_encoded_together_and_remembered_up_to_their_bytes() -> None:
    calls: list[list[tuple[int, ...]]] = []

    def encode(ids: Sequence[tuple[int, ...]]) -> torch.Tensor:
        calls.append(list(ids))
        return torch.tensor(ids, dtype=torch.float32)[:, :, None].expand(-1, -1, 4).clone()  # (P, 2, 4)

    memory = TextCache(encode, limit=3 * 2 * 4 * 4)
    a, b, c, d = [(k, k) for k in range(4)]
    assert memory.tokens([a, b, a]).shape == (3, 2, 4)
    assert memory.tokens([b, c])[1, 0, 0] == 2
    memory.tokens([d, b])
    assert memory.tokens([a])[0, 0, 0] == 0
    assert calls == [[a, b], [c], [d], [a]]
    found = memory.statistics
    assert (found.hits, found.misses, found.evictions, found.items, found.bytes) == (2, 5, 2, 3, 96)


def test_rows_that_ask_the_same_of_one_image_have_one_key(segmenter: Sam3, pictures: Pictures) -> None:
    first, other = (segmenter.encode(image) for image in pictures[:2])
    cup, box = ConceptPrompt("cup"), ConceptPrompt("cup", (Exemplar((2.0, 2.0, 9.0, 9.0)),))

    def key(features: Features, prompt: ConceptPrompt, **options: Any) -> object:
        return segmenter.plan_detect(features, [prompt], DetectOptions(**options)).items[0].key

    assert key(first, cup) == key(first, ConceptPrompt("cup"))
    different = [
        key(first, cup), key(other, cup), key(first, box), key(first, ConceptPrompt("mug")),
        key(first, cup, threshold=0.4), key(first, cup, near_misses=2), key(first, cup, assume_present=True),
        key(first, learned(segmenter, pictures[0])),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
