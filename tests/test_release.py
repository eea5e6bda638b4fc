"""The distributions: the small one asks for what the whole one asks for, and works without the model's packages."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sam3_agent.errors import missing_package
from tests.environment import python_path

BLOCKED = (
    "torch torchvision transformers safetensors huggingface_hub ftfy mcp starlette uvicorn anthropic openai httpx2"
)
WITHOUT_MODEL = f"""
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(BLOCKED.split())!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
runpy.run_module("sam3_evals", run_name="__main__")
"""


def dependencies(path: Path) -> dict[str, str]:
    lines = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
    return {re.split(r"[^\w.-]", line)[0]: line for line in lines}


def without_model(checkout: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_MODEL, *arguments],
        cwd=folder,
        env={"PYTHONPATH": python_path(checkout), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_small_distribution_asks_for_nothing_that_the_whole_one_does_not(checkout: Path) -> None:
    whole, small = dependencies(checkout / "pyproject.toml"), dependencies(checkout / "release/eval/pyproject.toml")
    assert set(small.items()) <= set(whole.items())
    assert not set(small) & {"torch", "torchvision", "transformers", "mcp", "anthropic", "openai"}


@pytest.mark.integration
def test_conformance_runs_without_the_packages_of_the_model(checkout: Path, tmp_path: Path) -> None:
    done = without_model(checkout, tmp_path, "conformance")
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout


@pytest.mark.integration
def test_a_run_that_needs_the_model_says_in_one_line_what_to_install(checkout: Path, tmp_path: Path) -> None:
    done = without_model(checkout, tmp_path, "run", "scenes:1", "--limit", "1", "--out", "run")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "sam3-eval: error: this needs 'torch', which is not installed;"
        " the whole package brings it: pip install sam3-agent"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sam3_agent.nothing", "somebody_elses", None])
def test_any_other_missing_module_is_not_explained_away(name: str | None) -> None:
    assert missing_package(ModuleNotFoundError("no", name=name)) is None
