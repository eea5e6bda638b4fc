"""Many runs with faults in a third of the replies: every one ends in an answer."""

import random
from concurrent.futures import ThreadPoolExecutor

from sam3_agent.errors import LLMError
from sam3_agent.formats.files import plain
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.planner import RulesLLM
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace

SOUND: tuple[Line, ...] = (
    ToolCall("s", "segment_concepts", {"image_id": "img1", "concepts": ["circle", "square"]}),
    ToolCall("p", "read_presence", {"image_id": "img1", "concepts": ["star"]}),
    ToolCall("g", "measure_masks", {"image_id": "img1"}),
    ToolCall("a", "submit_answer", {"mask_ids": ["m1"], "reason": "r"}),
    ToolCall("n", "report_no_match", {"reason": "r"}),
)
FAULTS: tuple[Line, ...] = (
    "just text",
    "",
    Reply(Message("assistant"), stop="truncated"),
    Reply(Message("assistant"), stop="refused"),
    ToolCall("u", "segment_phrase", {"text_prompt": "cup"}),
    ToolCall("b", "segment_concepts", {"image_id": 7, "concepts": {"a": 1}, "threshold": "high"}),
    ToolCall("m", "segment_concepts", problem="the arguments must be a JSON object"),
    ToolCall("e", "submit_answer", {"mask_ids": []}),
    ToolCall("w", "combine_masks", {"mask_ids": ["m1", "m1"], "operation": "xor"}),
    ToolCall("r", "refine_with_exemplars", {"image_id": "img1", "positive_boxes": [[5, 5, 1, 1]]}),
    ToolCall("l", "look", {"image_id": "img1", "region": [0, 0, 1e9, -3]}),
    LLMError("HTTP 500: api_error"),
    ValueError("a bug in an LLM"),
    KeyboardInterrupt(),
)


def run(seed: int) -> Answer:
    dice = random.Random(seed)
    lines = [dice.choice(FAULTS if dice.random() < 0.3 else SOUND) for _ in range(12)]
    return Agent(make_workspace(), ScriptedLLM(*lines), budget=Budget(max_turns=8)).ask("img1", "the circles")


def test_every_run_with_faults_ends_in_an_outcome_with_a_whole_trace() -> None:
    for seed in range(60):
        answer = run(seed)
        assert answer.outcome in ("answered", "no_match", "budget", "failed"), seed
        assert [answer.trace.steps[0].kind, answer.trace.steps[-1].kind] == ["start", "end"], seed
        assert answer.trace.steps[-1].data["outcome"] == answer.outcome
        assert all(plain(step.data) == step.data for step in answer.trace.steps)


def test_runs_beside_each_other_on_one_workspace_do_not_mix() -> None:
    agent = Agent(make_workspace(), RulesLLM())
    queries = {"the largest circle": 1, "the red circles": 2, "the zebra": 0, "the square": 1} | {"all circles": 3}
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda query: agent.ask("img1", query), [*queries] * 2))
    assert [len(answer.instances) for answer in answers] == [*queries.values()] * 2
    assert [answer.query for answer in answers] == [*queries] * 2
