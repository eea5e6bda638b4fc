"""Many calls warm a GPU's model up, few do not, and a CPU has nothing to warm up."""

from dataclasses import replace

import pytest

from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.model.fake import FAKE, FakeSegmenter
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.model.segmenter import WORTH_WARMING
from sam3_agent.workspace import Workspace


class ColdSegmenter(FakeSegmenter):
    """Counts how often it is warmed up."""

    warmed = 0

    def warm_up(self) -> float:
        self.warmed += 1
        return 0.5


def cold(device: str) -> ColdSegmenter:
    return ColdSegmenter({}, info=replace(FAKE, device=device))


@pytest.mark.parametrize(("device", "calls", "warmed"), [("cuda:0", 200, 1), ("cuda:0", 199, 0), ("cpu", 10_000, 0)])
def test_it_is_worth_while_for_many_calls_on_a_gpu(device: str, calls: int, warmed: int) -> None:
    segmenter = cold(device)
    Workspace(segmenter).warm_up_for(calls)
    assert segmenter.warmed == warmed


def test_a_segmenter_that_cannot_be_warmed_up_is_left_alone() -> None:
    Workspace(FakeSegmenter({}, info=replace(FAKE, device="cuda"))).warm_up_for(WORTH_WARMING)


def test_a_scheduler_warms_up_all_its_engines() -> None:
    engines = [cold("cuda:0"), cold("cuda:1")]
    with Scheduler(engines) as scheduler:
        Workspace(scheduler).warm_up_for(WORTH_WARMING)
        assert scheduler.warm_up() == 1.0
    assert [engine.warmed for engine in engines] == [2, 2]


def test_questions_without_a_known_number_count_as_many() -> None:
    for questions, warmed in (([], 0), (iter(()), 1)):
        segmenter = cold("cuda")
        assert list(Agent(Workspace(segmenter), ScriptedLLM()).ask_all(questions)) == []
        assert segmenter.warmed == warmed
