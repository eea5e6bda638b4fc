"""`sam3-agent ask`: its JSON, its exit status, its trace."""

from pathlib import Path

import pytest

from sam3_agent.cli.commands import ask as room
from sam3_agent.errors import Sam3AgentError
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.loop.trace import read_trace
from sam3_agent.scenes import Scene
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.loop.fixtures_segmenter import perfect_segmenter


@pytest.fixture
def agent(scene: Scene) -> Agent:
    return Agent(Workspace(perfect_segmenter(scene)), load_llm("rules"))


def test_the_json_has_exactly_the_documented_keys(agent: Agent, picture: Path, tmp_path: Path) -> None:
    document = room.ask(agent, str(picture), "the leftmost house", room.Written(tmp_path / "trace.jsonl")).to_json()
    assert list(document) == ["query", "outcome", "reason", "instances", "usage", "trace"]
    assert document["query"] == "the leftmost house"
    assert document["outcome"] == "answered"
    assert list(document["instances"][0]) == ["id", "score", "object_score", "box", "area", "mask"]
    assert list(document["usage"]) == [
        "turns",
        "llm_calls",
        "encodes",
        "input_tokens",
        "output_tokens",
        "usd",
        "seconds",
    ]
    assert document["usage"]["encodes"] == 1
    assert document["trace"] == str(tmp_path / "trace.jsonl")


def test_the_trace_is_written_where_it_was_asked_for_and_nowhere_else(
    agent: Agent, picture: Path, tmp_path: Path
) -> None:
    room.ask(agent, str(picture), "the leftmost house", room.Written())
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]
    report = room.ask(agent, str(picture), "the leftmost house", room.Written(tmp_path / "trace.jsonl"))
    assert read_trace(tmp_path / "trace.jsonl") == report.answer.trace


def test_the_report_says_what_answered(agent: Agent, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room.print_report(room.ask(agent, str(picture), "the leftmost house", room.Written()), None)
    out = capsys.readouterr().out
    assert out.startswith("answered: ")
    assert "rules: the embedded planner without a language model" in out


def test_a_failed_run_is_a_failure_of_the_command(agent: Agent, picture: Path) -> None:
    answer = room.ask(agent, str(picture), "the leftmost house", room.Written()).answer
    room.raise_if_failed([answer])
    failed = type(answer)(answer.query, "failed", (), "the line is dead", answer.usage, answer.trace)
    with pytest.raises(Sam3AgentError, match="the line is dead"):
        room.raise_if_failed([failed])
    with pytest.raises(Sam3AgentError, match="1 of 2 runs failed; the first: the line is dead"):
        room.raise_if_failed([answer, failed])


@pytest.mark.usefixtures("tiny")
def test_the_embedded_parts_answer(run: Run, picture: Path, tmp_path: Path) -> None:
    trace, marked = tmp_path / "trace.jsonl", tmp_path / "marked.png"
    options = ("--device", "cpu", "--json", "--trace", trace, "--out", marked)
    ran = run("ask", picture, "the largest ring", *options)
    assert ran.status == 0
    assert ran.err == ""
    assert ran.json()["outcome"] in ("answered", "no_match")
    assert trace.is_file()
    assert marked.is_file()


@pytest.mark.usefixtures("tiny")
def test_the_embedded_parts_are_named(run: Run, picture: Path) -> None:
    ran = run("ask", picture, "the largest ring", "--device", "cpu")
    assert "tiny: the embedded demonstration model" in ran.out
    assert "rules: the embedded planner" in ran.out


def test_a_recorded_ask_can_be_had_again_without_its_llm(picture: Path, tmp_path: Path, scene: Scene) -> None:
    recording, first, second = tmp_path / "tape.jsonl", tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for spec, record, trace in (("rules", recording, first), (f"replay:{recording}", None, second)):
        llm = room.load_recorded_llm(room.LlmOptions(spec, record=record))
        agent = Agent(Workspace(perfect_segmenter(scene)), llm, keep_pictures=True)
        room.ask(agent, str(picture), "the leftmost house", room.Written(trace))
    assert first.read_bytes() == second.read_bytes()


def test_the_page_is_written_where_it_was_asked_for(agent: Agent, picture: Path, tmp_path: Path) -> None:
    report = room.ask(agent, str(picture), "the leftmost house", room.Written(page=tmp_path / "run.html"))
    assert "the leftmost house" in (tmp_path / "run.html").read_text(encoding="utf-8")
    assert report.page == tmp_path / "run.html"
