"""The benchmark of many callers measures what it says, tried on the model without weights."""

import pytest

from benchmarks.concurrency import clients as asking
from benchmarks.concurrency.latency import call_seconds, load, summary
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.model.scheduler import Scheduler


def test_both_sides_ask_the_same_prompts() -> None:
    images = asking.pictures(2)
    clients = asking.make_clients(5, 2, 3)
    assert [client.picture for client in clients] == [0, 1, 0, 1, 0]
    assert len({client.prompts for client in clients}) == 5
    segmenter = FakeSegmenter({})
    assert asking.encode_and_ask_by_hand(segmenter, images, clients) > 0
    assert (segmenter.encodes, segmenter.detects) == (2, 2)
    other = FakeSegmenter({})
    with Scheduler([other]) as scheduler:
        assert asking.encode_and_ask_alone(scheduler, images, clients) > 0
        assert (other.encodes, other.detects) == (2, 15)
        assert asking.each_alone(scheduler, [scheduler.encode(image) for image in images], clients, 2) > 0
        assert other.detects == 15 + 30


def test_a_client_that_fails_fails_the_measurement() -> None:
    with pytest.raises(ZeroDivisionError):
        asking.at_once([lambda: 1, lambda: 1 // 0])


def test_calls_are_timed_while_others_work() -> None:
    segmenter = FakeSegmenter({})
    images, clients = asking.pictures(1), asking.make_clients(2, 1, 1)
    with Scheduler([segmenter]) as scheduler, load(scheduler.bulk(), images, clients):
        seconds = call_seconds(scheduler, scheduler.encode(images[0]), clients[0], 10, 0.0)
        assert segmenter.encodes > 1
    assert len(seconds) == 10
    assert set(summary(seconds)) == {"median_ms", "p99_ms", "max_ms"}
    assert summary([0.001] * 99 + [0.5])["p99_ms"] == pytest.approx(500)
