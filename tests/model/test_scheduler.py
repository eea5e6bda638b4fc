"""Many callers in front of one network: who meets, who goes first, who gets what."""

import gc
import json
import threading
import time
import weakref
from functools import partial
from typing import cast

import pytest

from sam3_agent.errors import Busy, InputError
from sam3_agent.model.request_context import Principal, calling
from sam3_agent.model.scheduler import Pending, PlacedFeatures, Scheduler
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.feature_cache import FeatureCache
from tests.fixtures_workspace import fake_segmenter, picture
from tests.model.fixtures_gated import (
    SECONDS,
    GatedEngine,
    Tagged,
    features,
    held,
    image,
    in_thread,
    presences,
    prompts,
    said,
)


def test_prompts_of_several_clients_and_images_go_through_together_and_each_gets_its_own_answers() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        asked = {tag: [f"thing {tag}{k}" for k in range(4)] for tag in range(1, 5)}
        waiting = {
            tag: scheduler.begin_detect(features(scheduler, engine, tag), prompts(*phrases))
            for tag, phrases in asked.items()
        }
        engine.open()
        for tag, phrases in asked.items():
            assert presences(waiting[tag].result()) == [said(tag, phrase) for phrase in phrases]
    assert engine.batches == [["0 first"], [f"{tag} {p}" for tag, phrases in asked.items() for p in phrases]]


def test_threads_that_call_as_they_would_call_a_model_meet_as_well() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        segmenter: Segmenter = scheduler
        calls = [
            in_thread(lambda tag=tag: segmenter.detect(features(scheduler, engine, tag), prompts("cat", "dog")))
            for tag in range(1, 6)
        ]
        deadline = time.monotonic() + SECONDS
        while scheduler.statistics()["replicas"][0]["waiting"] < 5:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        engine.open()
        for tag, call in enumerate(calls, 1):
            assert presences(call()) == [said(tag, "cat"), said(tag, "dog")]
    assert [len(batch) for batch in engine.batches] == [1, 10]


def test_images_are_encoded_together_and_apart_from_prompts() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        images = [scheduler.begin_encode(image(tag)) for tag in range(1, 6)]
        question = scheduler.begin_detect(features(scheduler, engine, 9), prompts("cat"))
        engine.open()
        assert [each.result()[0].own.tag for each in images] == [1, 2, 3, 4, 5]
        question.result()
    assert engine.batches[1:] == [["1", "2", "3", "4"], ["5"], ["9 cat"]]


def test_more_prompts_than_a_batch_holds_are_answered_in_order() -> None:
    engine = GatedEngine()
    with Scheduler([engine]) as scheduler:
        phrases = [f"thing {k}" for k in range(40)]
        found = scheduler.detect(features(scheduler, engine, 1), prompts(*phrases))
    assert presences(found) == [said(1, phrase) for phrase in phrases]
    assert [len(batch) for batch in engine.batches] == [16, 16, 8]


def test_no_prompts_give_no_detections_without_a_turn() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        assert scheduler.detect(features(scheduler, engine, 1), []) == []
    assert engine.batches == []


def test_an_idle_scheduler_starts_at_once_however_long_it_may_wait() -> None:
    engine = GatedEngine()
    with Scheduler([engine], max_wait=10 * SECONDS) as scheduler:
        began = time.monotonic()
        for _ in range(3):
            scheduler.detect(features(scheduler, engine, 1), prompts("cat"))
        assert time.monotonic() - began < SECONDS


def test_after_a_shared_batch_the_next_one_waits_for_company() -> None:
    engine = GatedEngine(closed=True, most=4)
    with Scheduler([engine], max_wait=10 * SECONDS) as scheduler:
        seen = features(scheduler, engine, 1)
        held(engine, scheduler)
        pair = [scheduler.begin_detect(seen, prompts("cat", "dog")) for _ in range(2)]
        engine.open()
        for each in pair:
            each.result()
        early = scheduler.begin_detect(seen, prompts("a", "b"))
        time.sleep(0.1)
        assert len(engine.batches) == 2
        late = scheduler.begin_detect(seen, prompts("c", "d"))
        early.result()
        late.result()
    assert engine.batches[2:] == [["1 a", "1 b", "1 c", "1 d"]]


def test_it_waits_no_longer_than_it_may() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine], max_wait=0.05) as scheduler:
        held(engine, scheduler)
        pair = [scheduler.begin_detect(features(scheduler, engine, 1), prompts("cat")) for _ in range(2)]
        engine.open()
        for each in pair:
            each.result()
        assert scheduler.detect(features(scheduler, engine, 1), prompts("dog"))


def test_urgent_calls_go_before_bulk_ones_that_came_earlier() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        bulk = [scheduler.bulk().begin_encode(image(tag)) for tag in (1, 2)]
        urgent = scheduler.begin_detect(features(scheduler, engine, 5), prompts("cat"))
        engine.open()
        for each in (*bulk, urgent):
            each.result()
    assert engine.batches == [["0 first"], ["5 cat"], ["1"], ["2"]]


def test_a_caller_says_once_that_it_has_time_and_it_holds_for_all_its_calls() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        with calling(bulk=True):
            bulk = scheduler.begin_encode(image(1))
            begin = in_thread(lambda: scheduler.begin_encode(image(2)))  # a thread starts without a caller
            urgent: Pending[PlacedFeatures] = begin()
            engine.open()
            bulk.result()
            urgent.result()
    assert engine.batches == [["0 first"], ["2"], ["1"]]


def test_an_urgent_call_goes_in_a_pause_of_bulk_work() -> None:
    engine = GatedEngine(closed=True)
    engine.pauses = 3
    with Scheduler([engine]) as scheduler:
        bulk = scheduler.bulk().begin_encode(image(1))
        engine.wait_for_batches(1)
        urgent = [scheduler.begin_detect(features(scheduler, engine, 2), prompts(p)) for p in ("cat", "dog")]
        other = scheduler.bulk().begin_detect(features(scheduler, engine, 3), prompts("cat"))
        engine.let_through()
        engine.wait_for_batches(1)
        assert not bulk.done()
        engine.open()
        assert [presences(each.result()) for each in urgent] == [[said(2, "cat")], [said(2, "dog")]]
        assert bulk.result()[0].own.tag == 1
        other.result()
        assert scheduler.statistics()["replicas"][0]["between"] == 1
    assert engine.batches == [["1"], ["2 cat", "2 dog"], ["3 cat"]]


def test_urgent_work_is_not_interrupted() -> None:
    engine = GatedEngine(closed=True)
    engine.pauses = 3
    with Scheduler([engine]) as scheduler:
        first = scheduler.begin_encode(image(1))
        engine.wait_for_batches(1)
        second = scheduler.begin_detect(features(scheduler, engine, 2), prompts("cat"))
        engine.let_through()
        engine.wait_for_batches(1)
        assert first.done()
        engine.open()
        second.result()


def test_however_many_principals_ask_only_few_batches_wait_in_their_pauses_for_others() -> None:
    engine = GatedEngine(closed=True)
    engine.pauses = 3

    def ask(number: int) -> list[int]:
        with calling(principal=Principal(f"{number}")):
            own = [cast(PlacedFeatures, scheduler.encode(image(number))).own for _ in range(4)]
        return [cast(Tagged, each).tag for each in own]

    with Scheduler([engine]) as scheduler:
        bulk = scheduler.bulk().begin_encode(image(0))
        engine.wait_for_batches(1)
        results = [in_thread(partial(ask, number)) for number in range(1, 41)]
        while scheduler.statistics()["replicas"][0]["waiting"] < 40:
            time.sleep(0.001)
        engine.open()
        assert [result() for result in results] == [[number] * 4 for number in range(1, 41)]
        bulk.result()
    assert 1 < engine.deepest <= 3


def test_images_spread_over_replicas_and_their_prompts_follow_them() -> None:
    engines = [GatedEngine(name="cuda:0"), GatedEngine(name="cuda:1")]
    with Scheduler(engines) as scheduler:
        assert scheduler.info.device == "cuda:0,cuda:1"
        seen = [scheduler.encode(image(tag)) for tag in range(6)]
        for each in seen:
            assert presences(scheduler.detect(each, prompts("cat"))) == [said(each.own.tag, "cat")]
        encoded = [{batch[0] for batch in engine.batches if "cat" not in batch[0]} for engine in engines]
        asked = [{batch[0].split()[0] for batch in engine.batches if "cat" in batch[0]} for engine in engines]
    assert encoded == asked
    assert [len(tags) for tags in encoded] == [3, 3]


def test_an_image_goes_to_the_replica_with_the_least_to_do() -> None:
    engines = [GatedEngine(closed=True), GatedEngine(closed=True)]
    with Scheduler(engines) as scheduler:
        first = scheduler.begin_encode(image(1))
        busy = 0 if scheduler._replicas[0].encodes else 1
        idle = engines[1 - busy]
        engines[busy].wait_for_batches(1)
        second = scheduler.begin_encode(image(2))
        idle.open()
        second.result()
        for tag in (3, 4, 5):
            scheduler.encode(image(tag))
        assert [batch for batch in idle.batches] == [["2"], ["3"], ["4"], ["5"]]
        engines[busy].open()
        first.result()


def test_a_workspace_does_not_notice_the_scheduler() -> None:
    plain, scheduled = Workspace(fake_segmenter()), None
    with Scheduler([fake_segmenter()]) as scheduler:
        scheduled = Workspace(scheduler)
        for workspace in (plain, scheduled):
            workspace.open(picture())
        for ask in (["circle", "star", "nothing"], ["square"]):
            assert scheduled.segment("img1", ask) == plain.segment("img1", ask)
        assert scheduled.refine("img1", None, positive_masks=["m1"]) == plain.refine(
            "img1", None, positive_masks=["m1"]
        )
        found = scheduled.learn("mine", positive_masks=["m1"])
        assert found.tokens == plain.learn("mine", positive_masks=["m1"]).tokens
        with pytest.raises(InputError, match="500 characters"):
            scheduled.segment("img1", ["x" * 500])
        statistics = json.loads(json.dumps(scheduled.statistics()))
    assert statistics["features"]["misses"] == 1
    assert statistics["features"]["hits"] >= 3
    assert statistics["eye"]["replicas"][0]["encodes"] == 1
    assert plain.statistics()["eye"] == {}


def test_sixteen_threads_get_their_own_answers_under_load() -> None:
    engine = GatedEngine()
    with Scheduler([engine], max_waiting=1000) as scheduler:
        seen = [scheduler.encode(image(tag)) for tag in range(4)]
        wrong: list[str] = []

        def client(number: int) -> None:
            view = scheduler.bulk() if number % 4 == 0 else scheduler
            for turn in range(10):
                each = seen[(number + turn) % 4]
                phrases = [f"{number} {turn} {k}" for k in range(1 + turn % 5)]
                found = presences(view.detect(each, prompts(*phrases)))
                if found != [said(each.own.tag, phrase) for phrase in phrases]:
                    wrong.append(f"client {number}, turn {turn}")

        threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert scheduler.statistics()["replicas"][0]["waiting"] == 0
    assert wrong == []


def test_a_bulk_encode_that_an_urgent_caller_waits_for_goes_first() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        memory = FeatureCache(scheduler, 10**6)
        held(engine, scheduler)

        def want(tag: int, *, bulk: bool, seconds: float | None = None) -> object:
            with calling(bulk=bulk, seconds=seconds):
                return memory.get((str(tag), (0, 0, 4, 4)), lambda: image(tag))

        def wait_for(bulk: int, urgent: int) -> None:
            queue, end = scheduler._replicas[0].worker._queue, time.monotonic() + SECONDS
            while (len(queue._bulk), len(queue._urgent)) != (bulk, urgent):
                assert time.monotonic() < end
                time.sleep(0.001)

        first = in_thread(partial(want, 1, bulk=True))
        wait_for(bulk=1, urgent=0)
        second = in_thread(partial(want, 2, bulk=True))
        wait_for(bulk=2, urgent=0)
        assert isinstance(in_thread(partial(want, 1, bulk=True, seconds=0.01))(), Busy)
        urgent = in_thread(partial(want, 2, bulk=False))
        wait_for(bulk=1, urgent=1)
        engine.open()
        assert urgent() is second()
        first()
    assert engine.batches == [["0 first"], ["2"], ["1"]]


def test_what_was_asked_and_answered_is_freed_without_a_collection_of_garbage() -> None:
    """Cycles of requests and futures would keep images and features in memory until a full collection, minutes away."""
    gc.collect()
    gc.disable()
    try:
        with Scheduler([GatedEngine()]) as scheduler:
            pixels = image(1)
            asked = weakref.ref(pixels)
            found = scheduler.encode(pixels)
            answered = weakref.ref(found.own)
            assert presences(scheduler.detect(found, prompts("cat"))) == [said(1, "cat")]
            del pixels, found
            deadline = time.monotonic() + SECONDS
            while asked() is not None or answered() is not None:  # the worker lets go of a batch after its answers
                assert time.monotonic() < deadline
                time.sleep(0.002)
    finally:
        gc.enable()
