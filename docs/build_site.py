"""Builds the manual as a site: stages its pages at their places of the repository, adds the reference, runs MkDocs.

Run by `make site` (extra `[docs]`); the pages go to build/site-pages, the site to build/site.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "site-pages"
CONFIG = ROOT / "docs" / "mkdocs.yml"
FIRST = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md")
_LINK = re.compile(r"(\]\(|(?:src|href)=\")([^)\s\"#]+)(#[^)\s\"]*)?([)\"])")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_IMPORT = re.compile(r"^from (?P<module>[\w.]+) import (?P<name>\w+) as \w+$", re.MULTILINE)


def stage(pages: Path = PAGES) -> None:
    """Copy every page of the manual, and every file that one links to; write the reference."""
    shutil.rmtree(pages, ignore_errors=True)
    todo = [ROOT / name for name in FIRST] + sorted((ROOT / "docs").glob("*.md"))
    done: set[Path] = set()
    while todo:
        source = todo.pop()
        if source in done:
            continue
        done.add(source)
        target = pages / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copyfile(source, target)
            continue
        text = source.read_text(encoding="utf-8")
        target.write_text(_with_files(text, source), encoding="utf-8")
        todo += linked(text, source)
    write_reference(pages / "api" / "index.md")


def linked(text: str, source: Path) -> Iterator[Path]:
    """Files of the repository that a page links to; of a folder its first file.

    Raises:
        ValueError: there is no such file.
    """
    for found in _LINK.finditer(_FENCE.sub("", text)):
        address = unquote(found[2])
        if re.match(r"[a-z][a-z0-9+.-]*:", address):
            continue
        path = (source.parent / address).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            raise ValueError(f"{source.relative_to(ROOT)}: no {address}")
        yield file_of(path)


def file_of(path: Path) -> Path:
    """The file itself, or the first of a folder: a site has no listing of folders."""
    return path if path.is_file() else next(each for each in sorted(path.iterdir()) if each.is_file())


def _with_files(text: str, source: Path) -> str:
    """The page with links to folders turned into links to their first files."""

    def replaced(found: re.Match[str]) -> str:
        path = source.parent / unquote(found[2])
        if ":" in found[2] or not path.is_dir():
            return found[0]
        return f"{found[1]}{found[2].rstrip('/')}/{file_of(path).name}{found[3] or ''}{found[4]}"

    return _LINK.sub(replaced, text)


def write_reference(page: Path) -> None:
    """Write the page of the public names, by their rooms; their docstrings are put in by mkdocstrings."""
    rooms: dict[str, list[tuple[str, str]]] = {}
    for found in _IMPORT.finditer((ROOT / "sam3_agent" / "__init__.pyi").read_text(encoding="utf-8")):
        rooms.setdefault(found["module"].split(".")[1], []).append((found["module"], found["name"]))
    lines = ["# Reference", "", "Everything that `from sam3_agent import ...` gives, from its docstrings.", ""]
    for room, names in rooms.items():
        lines += [f"## sam3_agent.{room}", ""]
        lines += [line for module, name in names for line in (f"::: {module}.{name}", "")]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines), encoding="utf-8")


def main() -> int:
    """Stage and build; the status of MkDocs, which counts every warning as an error."""
    stage()
    return subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", CONFIG]).returncode


if __name__ == "__main__":
    sys.exit(main())
