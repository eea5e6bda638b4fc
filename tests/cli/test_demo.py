"""`sam3-agent demo`: three questions, answered and compared with the truth."""

from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.cli.commands import demo as room
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.loop.trace import read_trace
from sam3_agent.scenes import generate_scene
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.loop.fixtures_segmenter import perfect_segmenter

WRITTEN = ["answer-1.png", "answer-2.png", "answer-3.png", "overview.png", "scene.png", "traces"]


@pytest.fixture(scope="module")
def report() -> room.DemoReport:
    scene = generate_scene(room.SEED, room.OPTIONS)
    return room.run_demo(Workspace(perfect_segmenter(scene)), load_llm("rules"), loading=0.0)


def test_it_asks_one_question_of_each_kind_and_one_has_no_answer(report: room.DemoReport) -> None:
    kinds = [answer.query.kind for answer in report.answers]
    assert len(kinds) == 3
    assert all(kind in wanted for kind, wanted in zip(kinds, room.KINDS, strict=True))
    assert report.answers[2].query.target_ids == ()


def test_with_a_model_that_knows_the_truth_every_answer_is_right(report: room.DemoReport) -> None:
    assert [answer.iou for answer in report.answers] == [1.0, 1.0, 1.0]
    assert [answer.answer.outcome for answer in report.answers] == ["answered", "answered", "no_match"]


def test_it_writes_pictures_and_traces(report: room.DemoReport, tmp_path: Path) -> None:
    room.write_demo(report, tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == WRITTEN
    for number, answer in enumerate(report.answers, 1):
        assert read_trace(tmp_path / "demo" / "traces" / f"answer-{number}.jsonl") == answer.answer.trace
    with Image.open(tmp_path / "demo" / "scene.png") as scene:
        assert scene.size == (report.scene.width, report.scene.height)


def test_it_says_what_was_asked_and_whether_the_answers_are_right(
    report: room.DemoReport, capsys: pytest.CaptureFixture[str]
) -> None:
    room.print_report(report, Path("demo"))
    out = capsys.readouterr().out
    assert all(answer.query.text in out for answer in report.answers)
    assert out.count("   ok ") == 3
    assert "presence" in out
    assert "demo/overview.png" in out


@pytest.mark.integration
@pytest.mark.usefixtures("tiny")
def test_the_embedded_parts_answer_all_three_right(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--out", tmp_path / "demo", "--json", "--device", "cpu")
    assert ran.status == 0
    assert [answer["right"] for answer in ran.json()["answers"]] == [True, True, True]
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == WRITTEN
