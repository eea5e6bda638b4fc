"""The order of the line: who goes next, with whom, and how many."""

from collections.abc import Sequence
from typing import Any

import pytest

from sam3_agent.errors import Busy
from sam3_agent.model.batching import Plan, Work
from sam3_agent.model.scheduler.queue import ATTENTION, PATIENCE, TURN_SECONDS, Batch, RequestQueue
from sam3_agent.model.scheduler.request import Request


def work(most: int, cost: float = 1.0) -> Work[str, str]:
    return Work(lambda items: items, most, "testing", "cpu", cost=cost)


def request(
    kind: Work[str, str],
    names: Sequence[str],
    *,
    bulk: bool = False,
    arrived: float = 0.0,
    of: str = "",
    weight: float = 1.0,
) -> Request:
    plan = Plan(kind, list(names), lambda raw: raw)
    return Request(plan, bulk=bulk, arrived=arrived, principal=of, weight=weight)


BULK = Batch(work(1), True, (), 0)


def names(batch: Batch | None) -> list[Any]:
    assert batch is not None
    return [request.item(place) for request, place in batch.slots]


def test_a_long_request_takes_turns_with_short_ones() -> None:
    kind, queue = work(2), RequestQueue(10)
    for each in ("abcde", "x", "yz"):
        queue.add(request(kind, each))
    batches = [names(queue.take(0.0)) for _ in range(4)]
    assert batches == [["a", "b"], ["x", "y"], ["c", "d"], ["z", "e"]]
    assert queue.take(0.0) is None


def test_kinds_of_work_do_not_mix_and_neither_is_passed_over() -> None:
    prompts, images, queue = work(4), work(4, cost=8.0), RequestQueue(10)
    for kind, each in ((prompts, "ab"), (images, "1"), (prompts, "c"), (images, "2")):
        queue.add(request(kind, each))
    assert queue.cost == 3 + 2 * 8
    assert names(queue.take(0.0)) == ["a", "b", "c"]
    assert queue.cost == 16
    assert names(queue.take(0.0)) == ["1", "2"]
    assert (len(queue), queue.cost) == (0, 0)


def test_bulk_work_waits_for_urgent_work_but_gets_a_turn_after_a_while() -> None:
    kind, queue = work(1), RequestQueue(100)
    queue.add(request(kind, "B", bulk=True))
    for number in range(2 * PATIENCE):
        queue.add(request(kind, [str(number)]))
    order = [names(queue.take(0.0))[0] for _ in range(2 * PATIENCE + 1)]
    assert order.index("B") == PATIENCE


def test_a_new_bulk_request_does_not_inherit_the_waiting_of_an_earlier_one() -> None:
    kind, queue = work(1), RequestQueue(100)
    for number in range(3 * PATIENCE):
        queue.add(request(kind, [str(number)]))
    for _ in range(2 * PATIENCE):
        queue.take(0.0)
    queue.add(request(kind, "B", bulk=True))
    assert names(queue.take(0.0)) != ["B"]


def test_bulk_batches_are_small_while_urgent_callers_are_about() -> None:
    kind, images, queue = work(16), work(4), RequestQueue(100)
    queue.add(request(kind, [str(k) for k in range(40)], bulk=True))
    assert len(names(queue.take(0.0))) == 16
    queue.add(request(kind, "u", arrived=100.0))
    assert names(queue.take(100.0)) == ["u"]
    assert len(names(queue.take(100.0 + ATTENTION / 2))) == 4
    queue.add(request(images, "12", bulk=True))
    assert [len(names(queue.take(100.0 + 2 * ATTENTION))) for _ in range(2)] == [16, 2]


def test_in_a_pause_only_urgent_work_goes() -> None:
    kind, queue = work(4), RequestQueue(10)
    queue.add(request(kind, "B", bulk=True))
    assert queue.take_ahead(BULK, 0.0) is None
    queue.add(request(kind, "u"))
    assert names(queue.take_ahead(BULK, 0.0)) == ["u"]
    assert names(queue.take(0.0)) == ["B"]


def test_a_batch_is_full_when_nothing_more_fits() -> None:
    kind, queue = work(4), RequestQueue(10)
    first = request(kind, "abc")
    queue.add(first)
    assert not queue.full(first, 0.0)
    queue.add(request(work(4), "other"))
    assert not queue.full(first, 0.0)
    queue.add(request(kind, "d"))
    assert queue.full(first, 0.0)


def test_who_is_taken_out_leaves_no_gap() -> None:
    kind, queue = work(4), RequestQueue(10)
    requests = [request(kind, each) for each in "abc"]
    for each in requests:
        queue.add(each)
    assert queue.discard(requests[1])
    assert not queue.discard(requests[1])
    assert names(queue.take(0.0)) == ["a", "c"]
    queue.add(requests[1])
    assert queue.drain() == [requests[1]]
    assert len(queue) == 0


def test_what_is_in_a_full_batch_already_rides_along_and_counts_once() -> None:
    kind, queue = Work[str, str](lambda items: items, 2, "testing", "cpu", key=str.lower), RequestQueue(10)
    for each in (["a", "b"], ["B", "A"], ["c", "a"], ["b", "d"]):
        queue.add(request(kind, each))
    batch = queue.take(0.0)
    assert names(batch) == ["a", "b", "B", "A", "a", "b"]
    assert batch is not None
    assert (batch.distinct, batch.cost) == (2, 2.0)
    assert names(queue.take(0.0)) == ["c", "d"]
    assert len(queue) == 0


def test_items_of_one_key_are_computed_once_and_all_get_the_result() -> None:
    seen: list[str] = []

    def shout(items: Sequence[str]) -> list[str]:
        seen.extend(items)
        return [item.upper() + str(len(seen)) for item in items]

    kind = Work[str, str](shout, 2, "testing", "cpu", key=lambda item: item[0])
    found = list(kind.answers(["a", "b1", "a", "c", "b2", "a"]))
    assert [word[0] for word in found] == ["A", "B", "A", "C", "B", "A"]
    assert len(seen) == 3
    assert found[0] == found[2] == found[5]
    assert found[1] == found[4]


def test_a_principal_who_asks_for_much_delays_another_by_no_batch_that_has_not_begun() -> None:
    kind, images, queue = work(2), work(1, cost=8.0), RequestQueue(100)
    for number in range(20):
        queue.add(request(images, [f"a{number}"], of="ann"))
    queue.add(request(kind, [f"a{number}" for number in range(30)], of="ann"))
    assert names(queue.take(0.0)) == ["a0"]
    queue.add(request(kind, "b", of="bob"))
    assert "b" in names(queue.take(0.0))
    assert names(queue.take(0.0)) == ["a1"]


def test_principals_share_a_batch_and_one_alone_has_all_of_it() -> None:
    kind, queue = work(4), RequestQueue(100)
    queue.add(request(kind, "uvwxyz", of="ann"))
    queue.add(request(kind, "bcdefg", of="bob"))
    assert names(queue.take(0.0)) == ["u", "v", "b", "c"]
    alone = RequestQueue(100)
    alone.add(request(kind, [str(k) for k in range(9)], of="ann"))
    assert [len(names(alone.take(0.0))) for _ in range(3)] == [4, 4, 1]


def test_turns_follow_the_weights() -> None:
    kind, queue = work(1), RequestQueue(1000)
    for number in range(60):
        queue.add(request(kind, [f"a{number}"], of="ann"))
        queue.add(request(kind, [f"b{number}"], of="bob", weight=2.0))
    served = "".join(names(queue.take(0.0))[0][0] for _ in range(60))
    assert (served.count("a"), served.count("b")) == (20, 40)


def test_who_was_away_has_saved_no_turns_up() -> None:
    kind, queue = work(1), RequestQueue(1000)
    for number in range(40):
        queue.add(request(kind, [f"a{number}"], of="ann"))
    for _ in range(20):
        queue.take(0.0)
    for number in range(10):
        queue.add(request(kind, [f"b{number}"], of="bob"))
    served = "".join(names(queue.take(0.0))[0][0] for _ in range(10))
    assert served.count("b") in (5, 6)


def test_in_a_pause_a_principal_who_had_less_goes_and_no_other() -> None:
    kind, queue = work(2), RequestQueue(100)
    for number in range(8):
        queue.add(request(kind, [f"a{number}"], of="ann"))
    running = queue.take(0.0)
    assert running is not None
    assert queue.take_ahead(running, 0.0) is None
    queue.add(request(kind, "b", of="bob"))
    assert "b" in names(queue.take_ahead(running, 0.0))


def test_a_full_queue_takes_from_whoever_has_most_waiting() -> None:
    kind, queue = work(1), RequestQueue(8, most_each=6)
    mine = [request(kind, [f"a{number}"], of="ann") for number in range(6)]
    for each in mine:
        assert queue.add(each) is None
    with pytest.raises(Busy, match="6 of your calls wait for the model"):
        queue.add(request(kind, "x", of="ann"))
    for number in range(2):
        queue.add(request(kind, [f"b{number}"], of="bob"))
    assert queue.add(request(kind, "c", of="cat")) is mine[-1]
    assert queue.add(request(kind, "d", of="dan")) is mine[-2]
    assert queue.add(request(kind, "e", of="eve")) is mine[-3]
    assert queue.waiting() == {"ann": 3, "bob": 2, "cat": 1, "dan": 1, "eve": 1}
    with pytest.raises(Busy, match="8 calls wait for it already"):
        queue.add(request(kind, "y", of="bob"))


def test_batches_last_no_longer_than_a_turn_while_several_principals_ask() -> None:
    kind, queue = work(16), RequestQueue(100)
    queue.add(request(kind, [str(k) for k in range(99)], of="ann"))
    batch = queue.take(0.0)
    assert batch is not None
    queue.ran(batch, 16 * TURN_SECONDS / 4)
    assert len(names(queue.take(0.0))) == 16
    queue.add(request(kind, "b", of="bob"))
    assert len(names(queue.take(0.0))) == 4
    assert len(names(queue.take(2 * ATTENTION))) == 16
