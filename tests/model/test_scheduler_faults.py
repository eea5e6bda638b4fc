"""Callers that give up, queues that are full, items that fail, memory that runs out, and the end."""

import gc
import time
import weakref

import pytest

from sam3_agent.errors import Busy, Cancelled, InputError, ModelUnavailable
from sam3_agent.model.batching import RECOVERY
from sam3_agent.model.request_context import calling
from sam3_agent.model.scheduler import Scheduler
from tests.model.fixtures_gated import (
    BAD,
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


def test_a_full_queue_is_an_error_that_says_what_to_do_and_giving_up_frees_a_place() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine], max_waiting=2) as scheduler:
        first = held(engine, scheduler)
        seen = features(scheduler, engine, 1)
        waiting = [scheduler.begin_detect(seen, prompts(phrase)) for phrase in ("cat", "dog")]
        with pytest.raises(Busy, match=r"2 calls wait for it already.*same call again in a moment"):
            scheduler.detect(seen, prompts("cow"))
        assert waiting[0].cancel()
        with pytest.raises(Cancelled):
            waiting[0].result()
        third = scheduler.begin_detect(seen, prompts("hen"))
        engine.open()
        assert presences(first.result() + waiting[1].result() + third.result()) == [
            said(0, "first"),
            said(1, "dog"),
            said(1, "hen"),
        ]
        counts = scheduler.statistics()["replicas"][0]
    assert engine.batches == [["0 first"], ["1 dog", "1 hen"]]
    assert (counts["cancelled"], counts["refused"], counts["waiting"]) == (1, 1, 0)


def test_who_gives_up_between_two_batches_is_not_served_further_and_others_are() -> None:
    engine = GatedEngine(closed=True, most=2)
    with Scheduler([engine]) as scheduler:
        long = scheduler.begin_detect(features(scheduler, engine, 1), prompts("a", "b", "c", "d", "e"))
        engine.wait_for_batches(1)
        other = scheduler.begin_detect(features(scheduler, engine, 2), prompts("cat"))
        engine.let_through()
        engine.wait_for_batches(1)
        assert long.cancel()
        engine.open()
        assert presences(other.result()) == [said(2, "cat")]
    assert engine.batches == [["1 a", "1 b"], ["1 c", "1 d"], ["2 cat"]]


def test_a_call_that_is_not_answered_in_time_gives_up() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        with pytest.raises(Busy, match="did not answer in the time given"), calling(seconds=0.02):
            scheduler.detect(features(scheduler, engine, 1), prompts("cat"))
        engine.open()
        scheduler.detect(features(scheduler, engine, 1), prompts("dog"))
    assert engine.batches == [["0 first"], ["1 dog"]]


def test_leaving_the_block_gives_up_what_waits_in_any_thread_and_inner_blocks_belong_to_outer_ones() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        with calling() as caller, calling(bulk=True):
            waiting = scheduler.begin_detect(features(scheduler, engine, 1), prompts("cat"))
            result = in_thread(waiting.result)
            caller.cancel()
            assert isinstance(result(), Cancelled)
            with pytest.raises(Cancelled):
                scheduler.detect(features(scheduler, engine, 1), prompts("cow"))
        engine.open()
        scheduler.detect(features(scheduler, engine, 1), prompts("dog"))
    assert engine.batches == [["0 first"], ["1 dog"]]


def test_an_unusable_call_fails_before_it_waits_and_a_failing_one_fails_alone() -> None:
    engine = GatedEngine(closed=True)
    with Scheduler([engine]) as scheduler:
        held(engine, scheduler)
        seen = features(scheduler, engine, 1)
        with pytest.raises(InputError, match="too long"):
            scheduler.detect(seen, prompts("cat", "too long"))
        waiting = [scheduler.begin_detect(seen, prompts(*phrases)) for phrases in (("cat",), ("hen", BAD), ("dog",))]
        engine.open()
        assert presences(waiting[0].result() + waiting[2].result()) == [said(1, "cat"), said(1, "dog")]
        with pytest.raises(ZeroDivisionError, match=BAD):
            waiting[1].result()
        assert scheduler.detect(seen, prompts("cow"))


def test_closing_answers_everybody_and_leaves_no_thread() -> None:
    engine = GatedEngine(closed=True)
    scheduler = Scheduler([engine])
    running = held(engine, scheduler)
    seen = features(scheduler, engine, 1)
    waiting = [scheduler.begin_detect(seen, prompts("cat")), scheduler.bulk().begin_encode(image(1))]
    closing = in_thread(scheduler.close)
    for each in waiting:
        with pytest.raises(ModelUnavailable, match="the model was closed"):
            each.result()
    engine.open()
    assert closing() is None
    assert presences(running.result()) == [said(0, "first")]
    with pytest.raises(ModelUnavailable, match="the model was closed"):
        scheduler.detect(seen, prompts("cat"))
    assert not any(thread.is_alive() for thread in engine.threads)
    scheduler.close()


def test_out_of_memory_halves_the_batch_and_all_are_answered() -> None:
    engine = GatedEngine(fits=4)
    with Scheduler([engine]) as scheduler:
        seen = features(scheduler, engine, 1)
        phrases = [f"thing {k}" for k in range(16)]
        assert presences(scheduler.detect(seen, prompts(*phrases))) == [said(1, phrase) for phrase in phrases]
        assert [len(batch) for batch in engine.batches] == [16, 8, 4, 4, 4, 4]
        engine.batches.clear()
        scheduler.detect(seen, prompts(*phrases))
        assert [len(batch) for batch in engine.batches] == [4] * 4
        engine.fits = 1000
        for _ in range(RECOVERY):
            scheduler.detect(seen, prompts(*phrases[:8]))
        engine.batches.clear()
        scheduler.detect(seen, prompts(*phrases))
    assert len(engine.batches[0]) > 4


def test_what_does_not_fit_even_alone_is_one_clear_line_and_the_rest_is_answered() -> None:
    engine = GatedEngine(closed=True, fits=0)
    with Scheduler([engine]) as scheduler:
        first = held(engine, scheduler)
        second = scheduler.begin_encode(image(1))
        engine.open()
        for each in (first, second):
            with pytest.raises(ModelUnavailable, match=r"out of memory on cpu while .*: ask for fewer concepts"):
                each.result()
        engine.fits = 1
        assert scheduler.encode(image(2)).own.tag == 2


def test_features_of_another_model_are_refused() -> None:
    engine = GatedEngine()
    with Scheduler([engine]) as one, Scheduler([GatedEngine()]) as other:
        with pytest.raises(TypeError, match="not of this model"):
            other.detect(one.encode(image(1)), prompts("cat"))
        with pytest.raises(TypeError, match="not of this model"):
            one.detect(Tagged(1, engine), prompts("cat"))
    with pytest.raises(ValueError, match="at least one engine"):
        Scheduler([])


def test_nothing_of_an_answered_call_stays_alive() -> None:
    with Scheduler([GatedEngine()]) as scheduler:
        alive = weakref.ref(scheduler.encode(image(1)).own)
        deadline = time.monotonic() + SECONDS
        while gc.collect() >= 0 and alive() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
