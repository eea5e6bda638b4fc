"""Builds the wheels and the sdist, checks what is in them, installs them into empty environments and uses them there.

    python release/check.py [--whole] [--keep DIR]

Without `--whole` only the small wheel, `sam3-eval`, is installed; with it `sam3-agent` too, 3 GB to download.
Prints seconds and megabytes of each; exits 1 at the first thing that is not as it should be.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_MEGABYTES = {"sam3_agent": 20.0, "sam3_eval": 2.0}
"""Of the wheels: the embedded weights are 14 MB."""
IN_WHEEL = {
    "sam3_agent": (
        "sam3_agent/py.typed",
        "sam3_agent/__init__.pyi",
        "sam3_agent/model/weights/tiny/model.safetensors",
        "sam3_agent/model/weights/tiny/config.json",
        "sam3_agent/loop/prompts/system.md",
        "sam3_agent/skill/SKILL.md",
        "sam3_agent/skill/references/phrases.md",
        "sam3_mcp/__main__.py",
        "sam3_evals/__main__.py",
    ),
    "sam3_eval": ("sam3_agent/py.typed", "sam3_evals/__main__.py", "sam3_evals/conformance/command.py"),
}
SCRIPTS = {"sam3_agent": {"sam3-agent", "sam3-mcp", "sam3-eval"}, "sam3_eval": {"sam3-eval"}}
SOLVER = "def answer(picture, query):\n    return [picture[..., 0] > 128]\n"
"""Somebody's own solver, which needs no model."""


class Wrong(Exception):
    """Something in a distribution is not as it should be."""


@dataclass(frozen=True)
class Installed:
    """An environment with one wheel in it."""

    folder: Path
    seconds: float

    def run(self, *command: str) -> str:
        """Run one of its programs in its folder, away from the checkout; returns stdout."""
        program = str(self.folder / "venv" / "bin" / command[0])
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment["OMP_NUM_THREADS"] = "1"
        done = subprocess.run(
            [program, *command[1:]], cwd=self.folder, capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            raise Wrong(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def megabytes(self) -> float:
        """On disk, links not followed."""
        files = (path for path in (self.folder / "venv").rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_size for path in files) / 1e6


def main() -> None:
    """Do it all and print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="also install sam3-agent and run its demo")
    parser.add_argument("--keep", type=Path, help="where the built files go; thrown away unless given")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="sam3-release-") as scratch:
            check(Path(scratch), given.keep, whole=given.whole)
    except Wrong as error:
        sys.exit(f"error: {error}")


def check(scratch: Path, keep: Path | None, *, whole: bool) -> None:
    """Build, look, install, run; raises Wrong."""
    built = scratch / "dist"
    build(ROOT, built)
    build(ROOT / "release" / "eval", built, "--wheel")
    for path in sorted([*built.glob("*.whl"), *built.glob("*.tar.gz")]):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)
    agent, scoring = one(built, "sam3_agent-*.whl"), one(built, "sam3_eval-*.whl")
    check_wheel(agent)
    check_wheel(scoring)
    check_sdist(one(built, "sam3_agent-*.tar.gz"))
    print("contents and metadata are as they should be")
    check_scoring(install(scoring, scratch / "scoring"))
    if whole:
        check_whole(install(agent, scratch / "whole"))
    if keep is not None:
        shutil.copytree(built, keep, dirs_exist_ok=True)


def build(project: Path, out: Path, *options: str) -> None:
    """Build by whichever front end is there: uv, or `python -m build`."""
    uv = shutil.which("uv")
    tool = [uv, "build", "--out-dir"] if uv else [sys.executable, "-m", "build", "--outdir"]
    call([*tool, str(out), *options, str(project)])


def one(folder: Path, pattern: str) -> Path:
    """The only file of a pattern."""
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise Wrong(f"expected one {pattern}, found {[path.name for path in found]}")
    return found[0]


def check_wheel(path: Path) -> None:
    """Look at members, metadata and console commands of a wheel."""
    name = path.name.split("-")[0]
    with zipfile.ZipFile(path) as wheel:
        members = set(wheel.namelist())
        info = next(member for member in members if member.endswith(".dist-info/METADATA")).rpartition("/")[0]
        metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
        scripts = wheel.read(f"{info}/entry_points.txt").decode()
    missing = [member for member in IN_WHEEL[name] if member not in members]
    strangers = [m for m in members if m.startswith(("tests", "docs", "benchmarks")) or "__pycache__" in m]
    if missing or strangers:
        raise Wrong(f"{path.name} lacks {missing} and should not hold {strangers[:5]}")
    check_metadata(path.name, metadata)
    declared = {line.partition(" =")[0] for line in scripts.splitlines() if " = " in line}
    if declared != SCRIPTS[name]:
        raise Wrong(f"{path.name} installs the commands {sorted(declared)}, not {sorted(SCRIPTS[name])}")
    if path.stat().st_size > MOST_MEGABYTES[name] * 1e6:
        raise Wrong(f"{path.name} is larger than {MOST_MEGABYTES[name]} MB")


def check_metadata(name: str, metadata: Message) -> None:
    """Check that an index would take a wheel and a reader learn the licence and the Python version."""
    wanted = {
        "Requires-Python": ">=3.11",
        "License-Expression": "Apache-2.0",
        "Description-Content-Type": "text/markdown",
    }
    for field, value in wanted.items():
        if metadata[field] != value:
            raise Wrong(f"{name}: {field} is {metadata[field]!r}, not {value!r}")
    if not metadata["Summary"] or len(metadata["Summary"]) > 512:  # PyPI's limit
        raise Wrong(f"{name}: the summary is empty or longer than 512 characters")
    heavy = [need for need in metadata.get_all("Requires-Dist") or [] if need.startswith(("torch", "transformers"))]
    if name.startswith("sam3_eval") and heavy:
        raise Wrong(f"{name} depends on {heavy}")


def check_sdist(path: Path) -> None:
    """Check that a packager can build and test from the sdist."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "tests/conftest.py", "release/eval/pyproject.toml"}
    if wanted - names:
        raise Wrong(f"{path.name} lacks {sorted(wanted - names)}")


def install(wheel: Path, folder: Path) -> Installed:
    """Install a wheel into an environment of its own, from the package index, into nothing that is there already."""
    folder.mkdir()
    began = time.perf_counter()
    venv = folder / "venv"
    if uv := shutil.which("uv"):
        call([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        call([uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), str(wheel)])
    else:
        call([sys.executable, "-m", "venv", str(venv)])
        call([str(venv / "bin" / "pip"), "install", "--quiet", str(wheel)])
    return Installed(folder, time.perf_counter() - began)


def check_scoring(place: Installed) -> None:
    """Score, compare and report a run without PyTorch; where a model is needed, a line says what to install."""
    told(place, "sam3-eval", "without PyTorch")
    heavy = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('torch', 'transformers', 'mcp')))"
    place.run("python", "-c", heavy)
    place.run("sam3-eval", "conformance")
    (place.folder / "bright.py").write_text(SOLVER, encoding="utf-8")
    place.run("sam3-eval", "run", "scenes:1", "--solver", "bright:answer", "--limit", "3", "--out", "a")
    score = json.loads(place.run("sam3-eval", "score", "a", "--json"))
    place.run("sam3-eval", "compare", "a", "a")
    place.run("sam3-eval", "report", "a")
    try:
        place.run("sam3-eval", "run", "scenes:1", "--limit", "1", "--out", "b")
    except Wrong as error:
        if "pip install sam3-agent" not in str(error):
            raise
    else:
        raise Wrong("sam3-eval run --solver concept ran without a model")
    print(f"scored a run of {score['cases']} cases, compared it and wrote its page, without PyTorch")


def check_whole(place: Installed) -> None:
    """Do the main job, and start each command."""
    told(place, "sam3-agent", "whole")
    for name in sorted(SCRIPTS["sam3_agent"]):
        place.run(name, "--help")
    began = time.perf_counter()
    place.run("sam3-agent", "demo", "--out", "demo")
    for name in ("overview.png", "scene.png"):
        if not (place.folder / "demo" / name).stat().st_size:
            raise Wrong(f"the demo did not write {name}")
    print(f"the demo took {time.perf_counter() - began:.0f} s")
    place.run("sam3-agent", "doctor")
    place.run("sam3-agent", "skill", "install", "--target", "skills")
    print("doctor found nothing essential missing, and the skill was installed")


def told(place: Installed, name: str, kind: str) -> None:
    """Print what installing cost."""
    print(f"{name} ({kind}): installed in {place.seconds:.0f} s, {place.megabytes():.0f} MB on disk", flush=True)


def call(command: Sequence[str]) -> None:
    """Run a program; raises Wrong with the end of what it said where it fails."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()[-800:]}")


if __name__ == "__main__":
    main()
