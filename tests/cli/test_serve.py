"""`sam3-agent serve label-studio`: options that are refused before a model is loaded."""

import socket
from pathlib import Path

import pytest

from sam3_agent.cli.main import main


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--host", "0.0.0.0"], "give --login-file FILE with user:password"),
        (["--login-file", "empty"], "must hold one line, user:password"),
        (["--login-file", "gone"], "gone: No such file"),
        (["--images", "gone"], "--images gone is no folder"),
        (["--label-studio", "localhost:8080"], "is no http:// or https:// address"),
        (["--concept", "gone.concept.json"], "gone.concept.json"),
    ],
)
def test_an_option_that_cannot_be_used_is_told_in_one_line(
    options: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    assert main(["serve", "label-studio", "--port", "0", *options]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "label-studio", "--port", str(taken.getsockname()[1])]) == 1
    assert "give another --port" in capsys.readouterr().err


def test_a_tool_that_is_not_served_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "other"]) == 2
    assert "other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--detach"], "--detach leaves the model on a cluster that goes on"),
        (["--name", "a b"], "is no name of a served model"),
        (["--replicas", "4", "--max-replicas", "2"], "--max-replicas 2 is less than --replicas 4"),
    ],
)
def test_options_of_a_served_model_are_checked_before_ray_starts(
    options: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(["serve", "model", *options]) == 1
    assert complaint in capsys.readouterr().err
