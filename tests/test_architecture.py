"""The floors: imports only point down, torch stays in its rooms, files and functions stay small."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = {"sam3_agent": "sam3_agent", "sam3_mcp": "mcp_server/sam3_mcp", "sam3_evals": "evals/sam3_evals"}
"""Import package -> its folder."""

FLOORS: dict[str, int] = {
    "sam3_mcp": 9,
    "sam3_evals": 9,
    "sam3_agent.cli": 9,
    "sam3_agent.__main__": 9,
    "sam3_agent": 8,  # the facade: it names what lies below, and only the front doors may use it
    "sam3_agent.labeling": 8,
    "sam3_agent.loop": 7,
    "sam3_agent.planner": 6,
    "sam3_agent.llm": 5,
    "sam3_agent.tools": 4,
    "sam3_agent.training": 4,
    "sam3_agent.serving": 4,
    "sam3_agent.workspace": 3,
    "sam3_agent.model": 2,
    "sam3_agent.render": 1,
    "sam3_agent.formats": 1,
    "sam3_agent.video": 1,
    "sam3_agent.scenes": 1,
    "sam3_agent.types": 0,
    "sam3_agent.tracks": 0,
    "sam3_agent.instances": 0,
    "sam3_agent.masks": 0,
    "sam3_agent.errors": 0,
}
"""Room -> floor; a module belongs to the longest name that it starts with."""

NEIGHBORS = {
    ("sam3_agent.tracks", "sam3_agent.masks"),
    ("sam3_agent.tracks", "sam3_agent.errors"),
    ("sam3_agent.tracks", "sam3_agent.types"),
    ("sam3_agent.types", "sam3_agent.masks"),
    ("sam3_agent.types", "sam3_agent.errors"),
    ("sam3_agent.types", "sam3_agent.instances"),
    ("sam3_agent.instances", "sam3_agent.masks"),
    ("sam3_agent.instances", "sam3_agent.errors"),
    ("sam3_agent.masks", "sam3_agent.errors"),
    ("sam3_agent.__main__", "sam3_agent.cli"),
}
"""(room, room on the same floor that it may import)."""

TORCH = {"torch", "torchvision", "transformers"}
TORCH_ROOMS = {"sam3_agent.model", "sam3_agent.training"}

ONE_IMPORTER_SHARE = 0.10
"""At most this share of the modules may be imported by one sibling alone: such a file belongs into that sibling."""

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
MOST_LINES = 500
MOST_FUNCTION_LINES = 40
TOO_LONG: tuple[str, ...] = ()
"""Files ("sam3_agent/masks.py") and functions ("sam3_agent/masks.py:decode") over the limit. It may only shrink."""


@dataclass(frozen=True)
class Module:
    name: str
    """"sam3_agent.loop.agent"; a package has the name of its folder."""
    source: str
    package: bool = False


@functools.cache
def parsed(source: str) -> ast.Module:
    """The syntax tree of a file; every rule of this page looks at all of them."""
    return ast.parse(source)


def modules() -> Iterator[Module]:
    paths = [(path, CHECKOUT / folder) for folder in PACKAGES.values() for path in (CHECKOUT / folder).rglob("*.py")]
    for path, package_folder in sorted(paths):
        parts = path.relative_to(package_folder.parent).with_suffix("").parts
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
    for node in ast.walk(parsed(module.source)):
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
        elif FLOORS[room] == FLOORS[home] and room != home and (home, room) not in NEIGHBORS:
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
        for node in ast.walk(parsed(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES:
                    found.append(f"{name}:{node.name}")
    return found


def module_graph() -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports at run time; `if TYPE_CHECKING` blocks do not count."""
    known = {module.name: module for module in modules()}
    graph: dict[str, set[str]] = {}
    for name, module in known.items():
        graph[name] = {
            target for found in _run_time_imports(module) if (target := _module_of(found, known)) is not None
        } - {name}
    return graph


def _run_time_imports(module: Module) -> Iterator[str]:
    for node in _statements(parsed(module.source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _statements(child)


def _module_of(name: str, known: Mapping[str, Module]) -> str | None:
    """The module that an imported name lives in: itself, or the module that holds it."""
    return name if name in known else (parent if (parent := name.rpartition(".")[0]) in known else None)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The first circle of modules that import each other, directly or through others; none is an empty list."""
    order = graphlib.TopologicalSorter(graph)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        return [error.args[1]]
    return []


def one_importer(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that exactly one other module of the same folder imports, and nobody else."""
    importers: dict[str, set[str]] = {}
    for name, targets in graph.items():
        for target in targets:
            importers.setdefault(target, set()).add(name)
    return sorted(
        f"{name} <- {next(iter(users))}"
        for name, users in importers.items()
        if len(users) == 1 and next(iter(users)).rpartition(".")[0] == name.rpartition(".")[0]
    )


def test_no_module_imports_itself_through_others() -> None:
    assert circles(module_graph()) == []


def test_the_check_finds_a_planted_circle() -> None:
    (found,) = circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert set(found) == {"a", "b", "c"}


def test_few_modules_exist_for_one_sibling_alone() -> None:
    graph = module_graph()
    found = one_importer(graph)
    assert len(found) <= ONE_IMPORTER_SHARE * len(graph), f"{len(found)} of {len(graph)}:\n" + "\n".join(found)


def test_every_import_points_down_and_every_file_has_a_floor() -> None:
    assert [sentence for module in modules() for sentence in violations(module)] == []


@pytest.mark.parametrize(
    ("planted", "sentence"),
    [
        (Module("sam3_agent.masks", "from sam3_agent import loop"), "imports sam3_agent.loop (floor 7): up"),
        (
            Module("sam3_agent.tools.look", "def f():\n    import torch.nn"),
            "sam3_agent.tools.look imports torch.nn; only",
        ),
        (Module("sam3_evals.run", "from sam3_mcp.server import build"), "another room on floor 9"),
        (Module("sam3_agent.tools", "from ..loop.agent import Agent", package=True), "imports sam3_agent.loop.agent"),
        (Module("sam3_agent.workspace", "from sam3_agent import Agent"), "imports sam3_agent (floor 8): up"),
        (Module("sam3_agent.helpers", "import json"), "sam3_agent.helpers has no floor"),
    ],
)
def test_the_check_finds_a_planted_violation(planted: Module, sentence: str) -> None:
    (found,) = violations(planted)
    assert sentence in found


QUESTION_WORDS = ("What", "Who", "Which", "Where", "How", "Whose", "Why", "When")
"""No docstring opens with one: that of a function opens with a verb, of anything else with a noun of the field."""


def opens_with_a_question(source: str) -> list[str]:
    """The first lines of the texts of a module that open with a question word and stand alone: docstrings all."""
    alone = (node.value for node in ast.walk(parsed(source)) if isinstance(node, ast.Expr))
    found = [node.value for node in alone if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text.splitlines()[0] for text in found if text.strip() and text.split(maxsplit=1)[0] in QUESTION_WORDS]


def test_no_docstring_opens_with_a_question_word() -> None:
    folders = [*PACKAGES.values(), "benchmarks", "docs", "examples"]
    paths = sorted(path for folder in folders for path in (CHECKOUT / folder).rglob("*.py"))
    found = [
        f"{path.relative_to(CHECKOUT)}: {line}" for path in paths for line in opens_with_a_question(path.read_text())
    ]
    assert found == []


def test_the_check_finds_a_planted_question() -> None:
    planted = '"""What it is."""\nx = 3\n"""How many."""\ndef f():\n    """Draw it."""'
    assert opens_with_a_question(planted) == ["What it is.", "How many."]


def test_importing_the_package_or_the_terminal_does_not_import_torch() -> None:
    program = (
        "import sys, sam3_agent, sam3_agent.cli, sam3_agent.cli.app, sam3_agent.types\n"
        "heavy = {'torch', 'transformers', 'cv2', 'scipy', 'anthropic', 'openai', 'mcp'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_and_functions_stay_small() -> None:
    folders = [*PACKAGES.values(), "benchmarks", "examples", "docs", "tests"]
    found = [name for folder in folders for name in too_long(CHECKOUT / folder)]
    over, repaired = sorted(set(found) - set(TOO_LONG)), sorted(set(TOO_LONG) - set(found))
    assert not over, f"over {MOST_LINES} lines a file or {MOST_FUNCTION_LINES} a function: {', '.join(over)}"
    assert not repaired, f"small again, strike them off TOO_LONG: {', '.join(repaired)}"


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    names = [
        path for folder in PACKAGES.values() for path in (CHECKOUT / folder).rglob("*") if path.stem in FORBIDDEN_NAMES
    ]
    assert names == []
