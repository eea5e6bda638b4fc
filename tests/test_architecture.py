"""The floors: imports only point down, torch stays in its rooms, files and functions stay small."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("sam3_agent", "mcp_server", "evals")

FLOORS: dict[str, int] = {
    "mcp_server": 6,
    "evals": 6,
    "sam3_agent.cli": 6,
    "sam3_agent.__main__": 6,
    "sam3_agent": 5,  # the facade: it names what lies below, and only the front doors may use it
    "sam3_agent.labeling": 5,
    "sam3_agent.loop": 4,
    "sam3_agent.tools": 3,
    "sam3_agent.training": 3,
    "sam3_agent.workspace": 2,
    "sam3_agent.model": 1,
    "sam3_agent.render": 1,
    "sam3_agent.formats": 1,
    "sam3_agent.video": 1,
    "sam3_agent.scenes": 1,
    "sam3_agent.clicks": 0,
    "sam3_agent.types": 0,
    "sam3_agent.masks": 0,
    "sam3_agent.errors": 0,
}
"""Room -> floor; a module belongs to the longest name that it starts with."""

NEIGHBOURS = {
    ("sam3_agent.clicks", "sam3_agent.types"),
    ("sam3_agent.clicks", "sam3_agent.masks"),
    ("sam3_agent.clicks", "sam3_agent.errors"),
    ("sam3_agent.types", "sam3_agent.masks"),
    ("sam3_agent.types", "sam3_agent.errors"),
    ("sam3_agent.masks", "sam3_agent.errors"),
    ("sam3_agent.__main__", "sam3_agent.cli"),
}
"""(room, room on the same floor that it may import)."""

TORCH = {"torch", "torchvision", "transformers"}
TORCH_ROOMS = {"sam3_agent.model", "sam3_agent.training"}

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
MOST_LINES = 300
MOST_FUNCTION_LINES = 40
TOO_LONG: tuple[str, ...] = ()
"""Files ("evals/run.py") and functions ("evals/run.py:main") over the limit. This list may only shrink."""


@dataclass(frozen=True)
class Module:
    name: str
    """"sam3_agent.loop.agent"; a package has the name of its folder."""
    source: str
    package: bool = False


def modules() -> Iterator[Module]:
    for path in sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        package = parts[-1] == "__init__"
        yield Module(".".join(parts[:-1] if package else parts), path.read_text(encoding="utf-8"), package)


def room_of(name: str) -> str | None:
    """The room of a module; None where it has no floor. The facade is only `sam3_agent` itself."""
    for room in sorted(FLOORS, key=len, reverse=True):
        if name == room or (room != "sam3_agent" and name.startswith(f"{room}.")):
            return room
    return None


def imported(module: Module) -> Iterator[str]:
    """Every absolute module name that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(module.source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            # `from sam3_agent import loop` names a room in the alias, `from sam3_agent.loop import Agent` does not.
            yield from (f"{base}.{alias.name}" if room_of(f"{base}.{alias.name}") else base for alias in node.names)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parents = module.name.split(".")
    keep = len(parents) - node.level + (1 if module.package else 0)
    return ".".join([*parents[:keep], *([node.module] if node.module else [])])


def violations(module: Module) -> list[str]:
    """One sentence for every import of a module that the floors forbid."""
    home = room_of(module.name)
    if home is None:
        return [f"{module.name} has no floor: add its room to FLOORS"]
    found: list[str] = []
    for name in imported(module):
        if name.split(".")[0] in TORCH and home not in TORCH_ROOMS:
            found.append(f"{module.name} imports {name}; only {', '.join(sorted(TORCH_ROOMS))} may")
        if name.split(".")[0] not in PACKAGES:
            continue
        room = room_of(name)
        if room is None:
            found.append(f"{module.name} imports {name}, which has no floor")
        elif FLOORS[room] > FLOORS[home]:
            found.append(f"{module.name} (floor {FLOORS[home]}) imports {name} (floor {FLOORS[room]}): up")
        elif FLOORS[room] == FLOORS[home] and room != home and (home, room) not in NEIGHBOURS:
            found.append(f"{module.name} imports {name}: another room on floor {FLOORS[home]}")
    return found


def too_long(folder: Path) -> list[str]:
    """The files and functions of a folder that are over the limits, as TOO_LONG names them."""
    found: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(CHECKOUT).as_posix()
        if len(source.splitlines()) > MOST_LINES:
            found.append(name)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES:
                    found.append(f"{name}:{node.name}")
    return found


def test_every_import_points_down_and_every_file_has_a_floor() -> None:
    assert [sentence for module in modules() for sentence in violations(module)] == []


@pytest.mark.parametrize(
    ("planted", "sentence"),
    [
        (Module("sam3_agent.masks", "from sam3_agent import loop"), "imports sam3_agent.loop (floor 4): up"),
        (
            Module("sam3_agent.tools.look", "def f():\n    import torch.nn"),
            "sam3_agent.tools.look imports torch.nn; only",
        ),
        (Module("evals.run", "from mcp_server.server import build"), "another room on floor 6"),
        (Module("sam3_agent.tools", "from ..loop.agent import Agent", package=True), "imports sam3_agent.loop.agent"),
        (Module("sam3_agent.workspace", "from sam3_agent import Agent"), "imports sam3_agent (floor 5): up"),
        (Module("sam3_agent.helpers", "import json"), "sam3_agent.helpers has no floor"),
    ],
)
def test_the_check_finds_a_planted_violation(planted: Module, sentence: str) -> None:
    (found,) = violations(planted)
    assert sentence in found


def test_importing_the_package_or_the_terminal_does_not_import_torch() -> None:
    program = (
        "import sys, sam3_agent, sam3_agent.cli, sam3_agent.cli.app, sam3_agent.types\n"
        "heavy = {'torch', 'transformers', 'cv2', 'scipy', 'anthropic', 'openai', 'mcp'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_and_functions_stay_small() -> None:
    folders = [*PACKAGES, "benchmarks", "examples", "docs", "tests"]
    found = [name for folder in folders for name in too_long(CHECKOUT / folder)]
    over, repaired = sorted(set(found) - set(TOO_LONG)), sorted(set(TOO_LONG) - set(found))
    assert not over, f"over {MOST_LINES} lines a file or {MOST_FUNCTION_LINES} a function: {', '.join(over)}"
    assert not repaired, f"small again, strike them off TOO_LONG: {', '.join(repaired)}"


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    names = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*") if path.stem in FORBIDDEN_NAMES]
    assert names == []
