"""Text and JSON from files of other programs, and remarks on them."""

import os
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.notes import Note, Notes, note_lines
from sam3_agent.formats.reading import MOST_DEPTH, decode_text, parse_json, read_json, read_text

PATH = Path("labels.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_minded(encoding: str) -> None:
    assert decode_text("caf\u00e9 1\n".encode(encoding), PATH) == "caf\u00e9 1\n"


def test_other_encodings_are_named_or_fallen_back_to() -> None:
    data = "caf\u00e9".encode("cp1252")
    assert decode_text(data, PATH, fallback="cp1252") == "caf\u00e9"
    with pytest.raises(InputError, match=r"labels\.txt: not UTF-8 text"):
        decode_text(data, PATH)
    with pytest.raises(InputError, match="neither UTF-8 nor cp1252"):
        decode_text(b"\x81", PATH, fallback="cp1252")
    with pytest.raises(InputError, match="not UTF-8 text"):
        decode_text(b"\xff\xfe0 0.5 0.5\n", PATH)  # a stray mark before plain text
    with pytest.raises(InputError, match=r"cannot read none\.txt: No such file"):
        read_text(Path("none.txt"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not JSON"),
        ('{"a": ', "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('["\\ud83d"]', "half of a character"),
    ],
)
def test_json_that_cannot_be_used_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"a\.json: not JSON.*|{words}"):
        read_json(path)


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_json_is_read_down_to_a_depth_that_whatever_walks_it_can_bear(opened: str) -> None:
    closed = "]" if opened == "[" else "}"
    for depth in (MOST_DEPTH + 1, 200, 900):
        with pytest.raises(InputError, match="line 3: not JSON that can be used: nested"):
            parse_json(opened * depth + "1" + closed * depth, "line 3")
    parse_json(opened * MOST_DEPTH + "1" + closed * MOST_DEPTH, "line 3")


def test_brackets_within_texts_are_no_depth() -> None:
    assert parse_json('["' + "[" * 500 + '"]', "x") == ["[" * 500]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_numbers_that_are_none_are_refused_where_finite_ones_are_wanted(number: str) -> None:
    with pytest.raises(InputError, match="x: not JSON"):
        parse_json(f"[{number}]", "x", finite=True)
    assert parse_json(f"[{number}]", "x")
    assert parse_json("[1e300, -0.5, 7]", "x", finite=True) == [1e300, -0.5, 7]


def test_a_pipe_a_device_and_a_file_of_too_many_bytes_are_named_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "long.json").write_text("[1, 2, 3]")
    with pytest.raises(InputError, match=r"pipe\.json: no regular file"):
        read_json(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="/dev/zero: no regular file"):
        read_text(Path("/dev/zero"))
    with pytest.raises(InputError, match=r"long\.json: 9 bytes; at most 5 are read"):
        read_json(tmp_path / "long.json", most=5)


def test_whole_characters_in_escapes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('["\\ud83d\\ude00"]')
    assert read_json(path) == ["\U0001f600"]


def test_remarks_are_counted_by_kind_with_losses_first() -> None:
    notes = Notes()
    notes.tolerate("a.txt", "read once")
    for line in range(3):
        notes.leave_out(f"a.txt:{line}", "not a number")
    notes.leave_out("b.txt", "no image", 7)
    assert notes.lost == 10
    assert note_lines(notes.all) == [
        "a.txt:0 (and 2 more): not a number; 3 labels left out",
        "b.txt: no image; 7 labels left out",
        "a.txt: read once",
    ]
    many = note_lines([Note("a", f"kind {number}") for number in range(40)])
    assert many[-1] == "... and 28 more kinds of remarks"


def test_strict_remarks_raise_at_the_first_loss() -> None:
    notes = Notes(strict=True)
    notes.tolerate("a", "harmless")
    with pytest.raises(InputError, match="b: broken"):
        notes.leave_out("b", "broken")
