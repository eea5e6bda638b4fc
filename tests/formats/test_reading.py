"""Text and JSON from files of other programs, and remarks on them."""

from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.notes import Note, Notes, note_lines
from sam3_agent.formats.reading import decode_text, read_json, read_text

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
