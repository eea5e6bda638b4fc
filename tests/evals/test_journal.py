"""A journal loses at most the line that was being written."""

from pathlib import Path

import pytest
from sam3_evals.journal import Journal, JournalIndex, read_journal

from sam3_agent.errors import InputError


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append({"case": "a"})
        journal.append({"case": "ü"})
        assert [line["case"] for line in read_journal(tmp_path / "j")] == ["a", "ü"]  # flushed before it is closed


@pytest.mark.parametrize("torn", ['{"case":"b","x', '{"case":"b"}', "x" * 200_000])
def test_a_torn_last_line_is_dropped_and_the_next_line_takes_its_place(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "j"
    path.write_text('{"case":"a"}\n' + torn)
    assert [line["case"] for line in read_journal(path)] == ["a"]
    with Journal(path) as journal:
        journal.append({"case": "c"})
    assert [line["case"] for line in read_journal(path)] == ["a", "c"]


def test_a_journal_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"ca')
    with Journal(path) as journal:
        journal.append({"case": "a"})
    assert path.read_text() == '{"case":"a"}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"case":"a"}\n{"case\n{"case":"c"}\n')
    with pytest.raises(InputError, match="j:2: broken line"):
        list(read_journal(path))


def test_lines_are_found_by_their_key_and_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_text('{"case":"a"}\n{"case":"b","x":1}\n')
    index = JournalIndex(path, "case")
    assert index.find("b") == {"case": "b", "x": 1}
    assert ("a" in index, "c" in index, index.find("c"), len(index)) == (True, False, None, 2)
    path.write_text('{"case":"a"}\n{"case":"b"}\n{"case":"a"}\n')
    with pytest.raises(InputError, match="'a' is there twice"):
        JournalIndex(path, "case")


def test_a_thousand_keys_are_all_found(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        for number in range(1000):
            journal.append({"case": f"c{number}", "x": number})
    index = JournalIndex(tmp_path / "j", "case")
    assert [(index.find(f"c{number}") or {})["x"] for number in range(1000)] == list(range(1000))


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "none")) == []
    assert len(JournalIndex(tmp_path / "none", "case")) == 0
    assert "a" not in JournalIndex(tmp_path / "none", "case")
