"""A recorded run can be had again, byte for byte, without the LLM that was recorded."""

import json
from pathlib import Path

import pytest

from sam3_agent.errors import InputError, LLMError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.recording import RecordingLLM
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.loop.trace import write_trace
from sam3_agent.planner import RulesLLM
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace

SEGMENT = ToolCall("c1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
SUBMIT = ToolCall("c3", "submit_answer", {"mask_ids": ["m1"], "reason": "r"})
VERDICT = ToolCall("v", "give_verdict", {"accepted": ["m1"]})
THINKING = Reply(
    Message("assistant", "I look.", calls=(SEGMENT,), raw=({"type": "thinking", "signature": "x"},)),
    input_tokens=900,
    output_tokens=10,
    cached_tokens=800,
    usd=0.0123,
    thoughts="Circles.",
    note="n",
    faults=("HTTP 529: Overloaded",),
)


def record(path: Path, *lines: Line, query: str = "the circle") -> Answer:
    llm = RecordingLLM(ScriptedLLM(*lines, name="anthropic:claude-opus-5-5", sees=True), path)
    return Agent(make_workspace(), llm, keep_pictures=True).ask("img1", query)


def replay(path: Path, query: str = "the circle") -> Answer:
    return Agent(make_workspace(), load_llm(f"replay:{path}"), keep_pictures=True).ask("img1", query)


@pytest.mark.parametrize(
    "lines",
    [
        (THINKING, SUBMIT, VERDICT),
        ("hm", "", SEGMENT, (SEGMENT, SUBMIT), VERDICT),
        (SEGMENT, LLMError("HTTP 500: api_error")),
        (SEGMENT, ToolCall("x", "fly", problem="no JSON"), SUBMIT, "no call", "none at all"),
    ],
)
def test_a_replayed_run_has_the_same_trace_byte_for_byte(tmp_path: Path, lines: tuple[Line, ...]) -> None:
    recorded = record(tmp_path / "tape.jsonl", *lines)
    again = replay(tmp_path / "tape.jsonl")
    first = write_trace(recorded.trace, tmp_path / "first.jsonl")
    second = write_trace(again.trace, tmp_path / "second.jsonl")
    assert first.read_bytes() == second.read_bytes()
    assert recorded == again


def test_several_runs_on_one_recording_are_told_apart(tmp_path: Path) -> None:
    llm = RecordingLLM(RulesLLM(), tmp_path / "tape.jsonl")
    queries = ["the largest circle", "the square", "the zebra", "the square"]
    recorded = [
        answer.trace for answer in Agent(make_workspace(), llm).ask_all([("img1", query) for query in queries], jobs=1)
    ]
    again = Agent(make_workspace(), load_llm(f"replay:{tmp_path / 'tape.jsonl'}")).ask_all(
        [("img1", q) for q in queries], jobs=1
    )
    assert [answer.trace for answer in again] == recorded


def test_another_query_or_picture_is_not_on_the_recording(tmp_path: Path) -> None:
    record(tmp_path / "tape.jsonl", SEGMENT, SUBMIT, VERDICT)
    answer = replay(tmp_path / "tape.jsonl", "the square")
    assert answer.outcome == "failed"
    assert "has no reply 1 to this: picture, query, prompts, tools, model or options differ" in answer.reason


def test_a_recording_that_was_cut_off_still_replays_what_is_on_it(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    record(path, SEGMENT, SUBMIT, VERDICT)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:40])
    answer = replay(path)
    assert answer.outcome == "answered"  # the judge's verdict is what was cut off


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    record(tmp_path / "tape.jsonl", SUBMIT)
    with pytest.raises(InputError, match="exists already"):
        RecordingLLM(RulesLLM(), tmp_path / "tape.jsonl")


@pytest.mark.parametrize("text", ["", "{}", "[]\n[]", json.dumps({"tape": 99, "llm": "x"}), "no json\nat all\n"])
def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="recording"):
        load_llm(f"replay:{path}")


def test_a_missing_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the recording"):
        load_llm(f"replay:{tmp_path / 'none.jsonl'}")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "[" * 5000),
        (1, '{"tape": 1, "llm": "' + "x" * 600 + '"}'),
        (1, '{"tape": 1, "llm": 7}'),
        (2, '{"request": 7, "reply": null}'),
        (2, '{"request": "x", "reply": {"text": "hm"}}'),
        (2, '{"request": "x", "reply": [1]}'),
        (3, '{"run": "x", "clock": [1e400]}'),
        (3, '{"run": "x", "clock": ["soon"]}'),
        (3, '{"run": "\\ud800", "clock": []}'),
    ],
)
def test_a_recording_of_a_stranger_is_refused_by_its_line(tmp_path: Path, number: int, text: str) -> None:
    record(tmp_path / "sound.jsonl", SEGMENT, SUBMIT, VERDICT)
    lines = (tmp_path / "sound.jsonl").read_text().splitlines()
    lines[number - 1] = text
    (tmp_path / "tape.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"tape\.jsonl, line {number}: ") as refused:
        load_llm(f"replay:{tmp_path / 'tape.jsonl'}")
    assert "\n" not in str(refused.value)
