"""Many questions at once."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.loop.agent import Agent
from sam3_agent.planner import RulesLLM
from sam3_agent.tools import ToolSpec
from tests.fixtures_workspace import make_workspace

QUERIES = {"the largest circle": 1, "the red circles": 2, "the zebra": 0, "the square": 1, "all circles": 3}


def test_answers_come_in_the_order_of_the_questions() -> None:
    answers = list(Agent(make_workspace(), RulesLLM()).ask_all([("img1", query) for query in QUERIES] * 3, jobs=4))
    assert [answer.query for answer in answers] == [*QUERIES] * 3
    assert [len(answer.instances) for answer in answers] == [*QUERIES.values()] * 3


def test_a_bad_question_takes_no_other_with_it() -> None:
    good, bad, empty = Agent(make_workspace(), RulesLLM()).ask_all(
        [("img1", "the square"), ("img9", "the square"), ("img1", " ")]
    )
    assert (good.outcome, bad.outcome, empty.outcome) == ("answered", "failed", "failed")
    assert "known: img1" in bad.reason


class Slow:
    """Waits before each reply; counts how many wait at once."""

    name = "slow"
    sees = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.now = self.most = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        call = ToolCall("n", "report_no_match", {"reason": "r"})
        return Reply(Message("assistant", calls=(call,)))


def test_waiting_for_llms_overlaps_and_no_more_wait_than_allowed() -> None:
    llm = Slow(0.2)
    list(Agent(make_workspace(), llm).ask_all([("img1", "the circle")] * 24, jobs=8))
    assert llm.most == 8


def test_an_endless_list_of_questions_is_taken_as_it_is_needed() -> None:
    taken = 0

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield "img1", "the square"

    answers = Agent(make_workspace(), RulesLLM()).ask_all(endless(), jobs=2)
    assert next(answers).outcome == "answered"
    assert taken <= 6
    answers.close()  # type: ignore[attr-defined]


def test_ctrl_c_ends_the_runs_that_were_begun() -> None:
    def interrupted() -> Iterator[tuple[str, str]]:
        yield from [("img1", "the circle")] * 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Agent(make_workspace(), Slow(0.1)).ask_all(interrupted(), jobs=3))


def test_a_run_that_is_told_to_stop_gives_its_best_so_far() -> None:
    stop = threading.Event()

    class Stopping(Slow):
        def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
            stop.set()
            call = ToolCall("c", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
            return Reply(Message("assistant", calls=(call,)))

    answer = Agent(make_workspace(), Stopping(0)).ask("img1", "the circles", stop=stop)
    assert (answer.outcome, answer.reason, len(answer.instances)) == ("budget", "interrupted", 3)
