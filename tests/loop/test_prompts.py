"""What models are told: short, and about tools that exist."""

import re

import pytest

from sam3_agent.llm.tool_calls import explain_tools
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.tools import LOOP_TOOLS, VIDEO_LOOP_TOOLS

NAMES = [
    "system",
    "system_video",
    "judge",
    "judge_tracks",
    "judge_none",
    "compare",
    "nudge_text",
    "nudge_empty",
    "nudge_truncated",
]
MOST_TOKENS = 2500
KNOWN_TOOLS = {tool.name for tool in (*LOOP_TOOLS, *VIDEO_LOOP_TOOLS)} | {
    "give_verdict",
    "give_track_verdict",
    "prefer_answer",
}


def most_tokens(text: str) -> int:
    """More tokens than any of the common tokenizers makes of English: 4 letters, 1 digit or 1 sign a token."""
    pieces = re.findall(r"[A-Za-z]+|\d|[^\sA-Za-z\d]|\n", text)
    return sum(-(-len(piece) // 4) if piece.isalpha() else 1 for piece in pieces)


def test_the_count_is_no_underestimate() -> None:
    assert most_tokens("The quick brown fox jumps over the lazy dog.") >= 10
    assert most_tokens("segment_concepts") >= 4
    assert most_tokens("123456") >= 3


def test_the_system_prompt_has_at_most_2500_tokens() -> None:
    assert most_tokens(read_prompt("system").text) <= MOST_TOKENS
    assert most_tokens(read_prompt("system_video").text) <= MOST_TOKENS


@pytest.mark.parametrize("name", ["system", "judge", "judge_none"])
def test_solver_and_judges_are_told_the_same_of_loose_names(name: str) -> None:
    text = read_prompt(name).text
    assert "goblet" in text
    assert "where nothing fits the name better" in text
    assert "color, number, place" in text


@pytest.mark.parametrize("name", ["judge", "judge_none", "judge_tracks", "compare"])
def test_the_judges_prompts_are_short(name: str) -> None:
    assert most_tokens(read_prompt(name).text) <= 600


@pytest.mark.parametrize("name", NAMES)
def test_prompts_name_only_tools_that_exist(name: str) -> None:
    assert tools_named_in(read_prompt(name).text) <= KNOWN_TOOLS


def test_the_instruction_to_call_tools_as_text_names_only_tools_that_exist() -> None:
    assert tools_named_in(explain_tools(())) <= KNOWN_TOOLS


def tools_named_in(text: str) -> set[str]:
    """Every word that begins like a tool's name."""
    return set(re.findall(r"\b(?:segment|read|refine|combine|measure|submit|report|give|prefer|open|export)_\w+", text))


def test_a_prompts_id_changes_with_its_text() -> None:
    ids = {read_prompt(name).id for name in NAMES}
    assert len(ids) == len(NAMES)
    assert all(re.fullmatch(r"\w+:[0-9a-f]{8}", prompt_id) for prompt_id in ids)


def test_the_strategy_names_every_step() -> None:
    text = read_prompt("system").text
    tools = [tool.name for tool in LOOP_TOOLS if tool.name != "read_presence"]
    for step in ("ONE segment_concepts call", "presence", "region", *tools):
        assert step in text
