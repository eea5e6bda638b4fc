"""The manual as a site: every page is staged and in the navigation, every link leads somewhere, and it builds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sam3_agent
from docs import build_site as site

LINK = re.compile(r"\]\(([^)#\s]+)")


def pages_of(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    items = nav if isinstance(nav, list) else list(nav.values()) if isinstance(nav, dict) else []
    return [page for item in items for page in pages_of(item)]


def test_every_page_is_staged_and_in_the_navigation(tmp_path: Path, checkout: Path) -> None:
    site.stage(tmp_path)
    staged = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    nav = pages_of(yaml.safe_load(site.CONFIG.read_text())["nav"])
    assert {f"docs/{path.name}" for path in (checkout / "docs").glob("*.md")} <= staged
    assert sorted(nav) == sorted(staged)


def test_links_of_staged_pages_lead_to_staged_files(tmp_path: Path) -> None:
    site.stage(tmp_path)
    for page in tmp_path.rglob("*.md"):
        for address in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
            if not re.match(r"[a-z]+:", address):
                assert (page.parent / address).is_file(), f"{page.name}: {address}"


def test_the_reference_names_everything_public(tmp_path: Path) -> None:
    site.write_reference(tmp_path / "index.md")
    text = (tmp_path / "index.md").read_text()
    named = set(re.findall(r"^::: [\w.]+\.(\w+)$", text, flags=re.MULTILINE))
    assert named == {name for name in sam3_agent.__all__ if not name.startswith("_")}


def test_a_link_to_nothing_is_named(checkout: Path) -> None:
    with pytest.raises(ValueError, match=r"README\.md: no docs/none\.md"):
        list(site.linked("[x](docs/none.md)", checkout / "README.md"))


@pytest.mark.integration
def test_it_builds_without_a_warning(checkout: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="mkdocs is not installed: pip install 'sam3-agent[docs]'")
    built = subprocess.run(
        [sys.executable, "docs/build_site.py"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert "Workspace" in (checkout / "build" / "site" / "api" / "index.html").read_text()
