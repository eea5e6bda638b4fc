"""Many callers in front of one network: who meets, who goes first, who gets what."""

import gc
import json
import threading
import time
import weakref

import pytest

from sam3_agent.errors import Busy, Cancelled, InputError, ModelUnavailable
from sam3_agent.model.caller import calling
from sam3_agent.model.plan import RECOVERY
from sam3_agent.model.scheduler import Pending, PlacedFeatures, Scheduler
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.types import ConceptPrompt, Detection
from sam3_agent.workspace import Workspace
from tests.desk import eye, picture
from tests.model.gated import BAD, SECONDS, GatedEngine, Tagged, image, in_thread, said


def prompts(*phrases: str) -> list[ConceptPrompt]:
    return [ConceptPrompt(phrase) for phrase in phrases]


def presences(found: list[Detection]) -> list[float]:
    return [each.presence for each in found]


def features(scheduler: Scheduler, engine: GatedEngine, tag: int) -> PlacedFeatures:
    """Without an encode."""
    return PlacedFeatures(scheduler._replicas[0], Tagged(tag, engine))


def held(engine: GatedEngine, scheduler: Scheduler) -> Pending[Detection]:
    """Keep the network busy with one question, so that what comes next has to wait."""
    pending = scheduler.begin_detect(features(scheduler, engine, 0), prompts("first"))
    engine.wait_for_batches(1)
    return pending


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


def test_threads_that_call_as_they_would_call_an_eye_meet_as_well() -> None:
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
        with pytest.raises(ModelUnavailable, match="the eye was closed"):
            each.result()
    engine.open()
    assert closing() is None
    assert presences(running.result()) == [said(0, "first")]
    with pytest.raises(ModelUnavailable, match="the eye was closed"):
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


def test_features_of_another_eye_are_refused() -> None:
    engine = GatedEngine()
    with Scheduler([engine]) as one, Scheduler([GatedEngine()]) as other:
        with pytest.raises(TypeError, match="not of this eye"):
            other.detect(one.encode(image(1)), prompts("cat"))
        with pytest.raises(TypeError, match="not of this eye"):
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


def test_a_workspace_does_not_notice_the_scheduler() -> None:
    plain, scheduled = Workspace(eye()), None
    with Scheduler([eye()]) as scheduler:
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
