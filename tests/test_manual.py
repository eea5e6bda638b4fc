"""The README, the generated pages and the examples say what the code does."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environment import python_path

WEIGHTS = Path("sam3_agent", "model", "weights", "tiny")


@pytest.fixture(scope="module")
def generate(checkout: Path) -> dict[str, Any]:
    return runpy.run_path(str(checkout / "docs" / "generate.py"))


def test_the_tools_in_the_readme_are_the_tools(checkout: Path, generate: dict[str, Any]) -> None:
    current = (checkout / "README.md").read_text(encoding="utf-8")
    assert generate["readme"](current) == current, "run `make docs`"


def test_the_tools_in_the_servers_page_are_those_it_offers(checkout: Path, generate: dict[str, Any]) -> None:
    current = (checkout / "docs" / "mcp.md").read_text(encoding="utf-8")
    assert "`max_side?`" in current
    assert generate["mcp_page"](current) == current, "run `make docs`"


def test_the_page_of_commands_is_current(checkout: Path, generate: dict[str, Any]) -> None:
    current = (checkout / "docs" / "cli.md").read_text(encoding="utf-8")
    assert generate["cli_page"]() == current, "run `make docs`"


def test_the_model_card_gives_the_figures_that_were_measured(checkout: Path, generate: dict[str, Any]) -> None:
    card = checkout / WEIGHTS / "README.md"
    if not card.is_file():
        pytest.skip("the embedded weights are not in this checkout")
    current = card.read_text(encoding="utf-8")
    assert generate["model_card"](current) == current, "run `make docs`"


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "AGENTS.md", "docs/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_exists(checkout: Path, page: str) -> None:
    text = (checkout / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text)
    assert [link for link in links if not (checkout / page).parent.joinpath(link).exists()] == []


def test_the_index_of_the_manual_lists_every_page(checkout: Path) -> None:
    index = (checkout / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (checkout / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


@pytest.mark.integration
def test_the_example_runs_and_is_short(checkout: Path) -> None:
    program = checkout / "examples" / "hello.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 30
    if not (checkout / WEIGHTS).is_dir():
        pytest.skip("the embedded weights are not in this checkout")
    call = [sys.executable, str(program)]
    done = subprocess.run(call, cwd=checkout, capture_output=True, text=True, check=False, env=_here(checkout))
    assert done.returncode == 0, done.stderr
    assert "house: presence" in done.stdout
    assert "the house furthest to the right: answered" in done.stdout


def _here(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path(checkout)}
