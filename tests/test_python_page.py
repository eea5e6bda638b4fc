"""The page of the Python API and the example notebook say what the code does, and run."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import python_path

WEIGHTS = Path("sam3_agent", "model", "weights", "tiny")
SHOW = """
import ast, json, sys
names = {}
for source in json.load(sys.stdin):
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    html, png = getattr(value, "_repr_html_", None), getattr(value, "_repr_png_", None)
    print(json.dumps({"text": repr(value), "html": html() if html else "", "png": bool(png and png())}))
"""
"""Runs sources as a notebook does, in one process, and tells how it would show the last value of each."""


def show(checkout: Path, sources: list[str]) -> list[dict[str, str]]:
    if not (checkout / WEIGHTS).is_dir():
        pytest.skip("the embedded weights are not in this checkout")
    environment = {"PYTHONPATH": python_path(checkout), "PATH": "/usr/bin:/bin", "HOME": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        input=json.dumps(sources),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_page_is_current(checkout: Path) -> None:
    page = runpy.run_path(str(checkout / "docs" / "python_page.py"))["python_page"]()
    assert (checkout / "docs" / "python.md").read_text(encoding="utf-8") == page, "run `make docs`"


def test_every_picture_of_the_page_is_there(checkout: Path) -> None:
    page = (checkout / "docs" / "python.md").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]+)"', page)
    assert len(sources) >= 7
    assert [source for source in sources if not (checkout / "docs" / source).is_file()] == []


@pytest.mark.integration
def test_every_snippet_of_the_page_runs(checkout: Path) -> None:
    page = (checkout / "docs" / "python.md").read_text(encoding="utf-8")
    results = show(checkout, re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    assert len(results) >= 11
    shown = [result for result in results if result["html"]]
    assert len(shown) >= 4
    assert max(len(result["text"]) for result in shown) < 200


@pytest.mark.integration
def test_the_notebook_runs_and_shows_pictures(checkout: Path) -> None:
    notebook = json.loads((checkout / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code)
    results = show(checkout, ["".join(cell["source"]) for cell in code])
    assert [result["png"] for result in results] == [True, True, True, False, True, False]
    assert "<img" in results[1]["html"]
    assert results[1]["text"].startswith("Segmentation('house', presence=")
    assert results[4]["text"].startswith("Answer('the house furthest to the right': answered, 1 instance: ")
