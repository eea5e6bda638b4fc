"""Traces survive the way to a file and back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3_agent.errors import InputError
from sam3_agent.formats.files import plain
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import read_trace, write_trace
from sam3_agent.planner import RulesLLM
from sam3_agent.types import Step, Trace
from tests.fixtures_workspace import make_workspace

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
STEPS = st.builds(Step, st.text(min_size=1), st.floats(0, 1e6), st.dictionaries(st.text(), JSON, max_size=3))


def test_the_trace_of_a_real_run_round_trips(tmp_path: Path) -> None:
    answer = Agent(make_workspace(), RulesLLM()).ask("img1", "the largest red circle")
    path = write_trace(answer.trace, tmp_path / "deep" / "run.jsonl")
    assert read_trace(path) == answer.trace
    assert [file.name for file in path.parent.iterdir()] == ["run.jsonl"]


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, max_size=4))
def test_any_steps_round_trip(steps: list[Step], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("trace") / "t.jsonl"
    trace = Trace(tuple(steps))
    assert read_trace(write_trace(trace, path)) == trace


def test_an_existing_trace_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trace(Trace((Step("start", 0.0), Step("end", 1.0))), path)
    write_trace(Trace((Step("end", 2.0),)), path)
    assert read_trace(path) == Trace((Step("end", 2.0),))


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the trace"):
        write_trace(Trace(()), tmp_path / "file" / "t.jsonl")


@pytest.mark.parametrize(
    "line", ['{"kind": "end"', '{"kind": "end"}', "[]", "7", '{"kind":"e","seconds":"x","data":{}}']
)
def test_a_line_that_is_no_step_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"kind": "start", "seconds": 0, "data": {}}\n' + line + "\n")
    with pytest.raises(InputError, match=r"line 2: (expected a step|not JSON)"):
        read_trace(path)


def test_a_missing_trace_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none.jsonl"):
        read_trace(tmp_path / "none.jsonl")


def test_values_that_json_lacks_become_what_it_has() -> None:
    assert plain({"a": (1, 2), 3: Path("x")}) == {"a": [1, 2], "3": "x"}
