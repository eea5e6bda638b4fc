"""`sam3-agent skill install`: the skill arrives whole, replaces its older copy, and nothing else."""

import re
from pathlib import Path

import pytest

from sam3_agent.cli.commands.skill import SOURCE, files
from sam3_agent.tools import HOST_TOOLS
from tests.cli.conftest import Run


def test_the_skill_has_the_head_that_agents_look_for() -> None:
    text = (SOURCE / "SKILL.md").read_text(encoding="utf-8")
    head = re.match(r"---\nname: ([a-z0-9-]{1,64})\ndescription: (.{1,1024})\n---\n", text)
    assert head is not None
    assert head[1] == "sam3-agent"
    assert len(text.splitlines()) < 500


def test_every_reference_exists_and_is_referred_to() -> None:
    text = (SOURCE / "SKILL.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\((references/[^)]+)\)", text))
    assert named == {path.as_posix() for path in files()} - {"SKILL.md"}


def test_every_tool_for_hosts_is_in_the_skills_table() -> None:
    table = (SOURCE / "references" / "tools.md").read_text(encoding="utf-8")
    missing = {tool.name for tool in HOST_TOOLS if f"`{tool.name}`" not in table}
    assert missing <= {"list_images"}, "say in references/tools.md when to use it"


def test_the_skill_is_installed_and_an_older_copy_replaced(run: Run, tmp_path: Path) -> None:
    done = run("skill", "install", "--target", tmp_path / "skills", "--json")
    folder = Path(done.json()["folder"])
    (folder / "references" / "gone.md").write_text("of an older version")
    assert run("skill", "install", "--target", tmp_path / "skills").status == 0
    assert {path.relative_to(folder) for path in folder.rglob("*.md")} == set(files())
    assert [path.name for path in (tmp_path / "skills").iterdir()] == ["sam3-agent"]


def test_claude_code_finds_it_in_its_own_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("skill", "install", "--target", "claude-code").status == 0
    assert (tmp_path / ".claude" / "skills" / "sam3-agent" / "SKILL.md").is_file()


@pytest.mark.parametrize("way", ["file", "link", "other", "data"])
def test_what_is_somebody_elses_stays(run: Run, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "skills" / "sam3-agent"
    folder.parent.mkdir()
    if way == "file":
        folder.write_text("mine")
    elif way == "link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        (folder / ("SKILL.md" if way == "other" else "notes.txt")).write_text("name: mine\n")
    before = sorted(tmp_path.rglob("*"))
    done = run("skill", "install", "--target", folder.parent)
    assert done.status == 1
    assert "give another --target" in done.error()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_target_that_is_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert "is a file" in run("skill", "install", "--target", tmp_path / "a.txt").error()
