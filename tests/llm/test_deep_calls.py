"""Arguments that nest deeper than anything could walk come back to the model as a problem of its call."""

import json

import pytest

from sam3_agent.formats.reading import MOST_DEPTH
from sam3_agent.llm.tool_calls import read_call, read_text


@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 300, 980, 20_000])
def test_deep_arguments_are_a_problem_of_the_call(depth: int) -> None:
    arguments = '{"region": ' + "[" * depth + "]" * depth + "}"
    assert read_call("1", "look", arguments).problem
    assert all(
        call.problem for call in read_text(f'{{"name": "look", "arguments": {arguments}}}', ["look"], turn=1).calls
    )


def test_a_reply_of_nothing_but_brackets_is_read_to_its_end() -> None:
    assert read_text('{"a":' * 40_000, ["look"], turn=1).calls == ()


def test_usual_arguments_are_none() -> None:
    arguments = {"points": [[1, 2]] * 60}
    assert read_call("1", "segment_at", json.dumps(arguments)).arguments == arguments
