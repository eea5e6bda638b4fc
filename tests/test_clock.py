"""A clock that jumps changes no deadline: durations are measured with clocks that only go forward."""

import ast
from collections.abc import Iterator
from pathlib import Path

import sam3_agent

ROOT = Path(sam3_agent.__file__).resolve().parents[1]
WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}
DATES = {
    "sam3_agent/llm/retry.py",  # a server names a date after which to come again; a bound follows
    "sam3_agent/labeling/review/decisions.py",  # when a person decided
    "sam3_agent/workspace/tracking/decisions.py",  # the same about tracks
}
"""Files that need the time of the day."""


def wall_clocks(tree: ast.Module) -> Iterator[str]:
    """Calls that read the time of the day."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in WALL:
            yield f"{node.value.id}.{node.attr}, line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "time" for a in node.names):
            yield f"from time import time, line {node.lineno}"


def test_the_time_of_the_day_is_read_for_dates_alone() -> None:
    found: dict[str, list[str]] = {}
    for package in ("sam3_agent", "mcp_server/sam3_mcp", "evals/sam3_evals"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if calls := list(wall_clocks(ast.parse(path.read_text(encoding="utf-8")))):
                found[path.relative_to(ROOT).as_posix()] = calls
    assert found.keys() == DATES, found


def test_a_reading_of_the_wall_clock_is_found() -> None:
    assert list(wall_clocks(ast.parse("import time\nstart = time.time()"))) == ["time.time, line 2"]
    assert list(wall_clocks(ast.parse("from time import time"))) == ["from time import time, line 1"]
