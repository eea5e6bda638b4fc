from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.json_lines import drop_torn_line, whole_lines


@pytest.mark.parametrize(
    ("data", "kept"),
    [(b"", b""), (b"torn", b""), (b"a\n", b"a\n"), (b"a\nb\ntorn", b"a\nb\n"), (b"\n\n" + b"x" * 200_000, b"\n\n")],
)
def test_a_torn_last_line_is_neither_read_nor_left(data: bytes, kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert b"".join(whole_lines(path, 1 << 20)) == kept
    assert drop_torn_line(path) == bool(kept)
    assert path.read_bytes() == kept


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert list(whole_lines(tmp_path / "none", 10)) == []
    assert not drop_torn_line(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_line_without_end_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a\n" + b"x" * 100 + b"\nb\n")
    lines = whole_lines(path, 50)
    assert next(lines) == b"a\n"
    with pytest.raises(InputError, match=r"a\.jsonl:2: a line of more than 50 bytes"):
        next(lines)
