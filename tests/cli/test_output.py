"""Whatever strangers wrote into names and reasons, the terminal shows it and obeys nothing."""

import json
from pathlib import Path

import pytest

from sam3_agent.cli.main import main
from sam3_agent.cli.output import print_json, print_json_line, print_line, print_table, say

HOSTILE = "a\x1b[2J\x1b]52;c;YQ==\x07\x9b31m\u202eb\r\udcffc\x00"
SHOWN = r"a\x1b[2J\x1b]52;c;YQ==\x07\x9b31m\u202eb\r\udcffc\x00"


def test_lines_and_tables_show_what_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(HOSTILE, before=(HOSTILE, "bold"))
    print_table((HOSTILE,), [[HOSTILE]])
    say(HOSTILE)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == SHOWN * 2
    assert [line.strip() for line in printed.out.splitlines()[1:]] == [SHOWN, SHOWN]
    assert printed.err == f"{SHOWN}\n"


def test_json_says_the_same_in_its_own_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_line({HOSTILE: HOSTILE})
    print_json({HOSTILE: HOSTILE})
    line, _, rest = capsys.readouterr().out.partition("\n")
    assert json.loads(line) == json.loads(rest) == {HOSTILE: HOSTILE}
    assert line.isprintable()
    assert all(each.isprintable() for each in rest.splitlines())


@pytest.mark.parametrize("name", ["no\x1b[2J.png", "no\u202egnp.png", "no\x9b.png", "no\udcff.png"], ids=ascii)
def test_an_error_about_a_file_shows_its_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(tmp_path / name), "cup"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.removesuffix("\n").isprintable()
    assert "png" in printed
