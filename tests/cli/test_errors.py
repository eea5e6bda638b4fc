"""Every mistake gets one clear line, the right exit status, and no traceback."""

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "half.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:300])
    return tmp_path


@pytest.mark.parametrize("command", ["segment", "ask"])
@pytest.mark.parametrize("name", ["missing.png", "text.png", "empty.jpg", "half.jpg", "."])
def test_an_unusable_picture_is_named_before_a_model_is_loaded(
    run: Run, bad_files: Path, command: str, name: str
) -> None:
    ran = run(command, bad_files / name, "cat", "--model", "no such model")
    assert ran.status == 1
    assert str(bad_files) in ran.error()


def test_an_unknown_model_says_which_there_are(run: Run, picture: Path) -> None:
    ran = run("segment", picture, "cat", "--model", "no such model")
    assert ran.status == 1
    assert "facebook/sam3" in ran.error()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment",), "IMAGE"),
        (("segment", "IMAGE"), "--like"),
        (("segment", "IMAGE", "--unlike", "0,0,5,5"), "--like"),
        (("segment", "IMAGE", "cat", "--like", "1,2,3"), "'1,2,3' is no X0,Y0,X1,Y1"),
        (("segment", "IMAGE", "cat", "--region", "9,0,3,5"), "--region"),
        (("segment", "IMAGE", "cat", "--like", "a,b,c,d"), "--like"),
        (("segment", "IMAGE", "cat", "--threshold", "1.5"), "--threshold"),
        (("segment", "IMAGE", "cat", "--tiles", "sometimes"), "--tiles"),
        (("segment", "IMAGE", "cat", "--max-iou", "-1"), "--max-iou"),
        (("segment", "IMAGE", "cat", "--max-containment", "2"), "--max-containment"),
        (("segment", "IMAGE", "cat", "--device", "toaster"), "none of auto, cuda"),
        (("segment", "IMAGE", "cat", "--device", "cpu,"), "'cpu,' is none of auto, cuda"),
        (("segment", "IMAGE", "cat", "--dtype", "int3"), "--dtype"),
        (("segment", "IMAGE", "cat", "--out", "x.bmp"), ".png"),
        (("ask", "IMAGE"), "QUERY"),
        (("ask", "IMAGE", "cat", "--max-turns", "0"), "--max-turns"),
        (("scenes", "--out", "x"), "--count"),
        (("scenes", "--out", "x", "--count", "0"), "--count"),
        (("scenes", "--out", "x", "--count", "1", "--format", "voc"), "--format"),
        (("dance",), "dance"),
        (("demo", "--wrong"), "--wrong"),
    ],
)
def test_a_usage_error_exits_with_2(run: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert words in ran.error()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment", "PICTURE", "   "), "the concept is empty"),
        (("ask", "PICTURE", " "), "the query is empty"),
        (("ask", "PICTURE", "cat", "--llm", "oracle:delphi"), "oracle:delphi"),
        (("demo", "--out", "PICTURE"), "is a file"),
    ],
)
def test_a_wrong_value_is_told_at_once(run: Run, picture: Path, arguments: tuple[str, ...], words: str) -> None:
    ran = run(*(str(picture) if argument == "PICTURE" else argument for argument in arguments))
    assert ran.status == 1
    assert words in ran.error()


def test_a_failing_disk_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = run("scenes", "--out", tmp_path / "file" / "below", "--count", 1)
    assert ran.status == 1
    assert "Not a directory" in ran.error()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_is_shown_where_nothing_else_is_asked(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.status == 0
    assert all(command in ran.out for command in ("demo", "segment", "ask", "scenes"))


def test_the_version_is_that_of_the_package(run: Run) -> None:
    from sam3_agent import __version__

    assert run("--version").out == f"sam3-agent {__version__}\n"
