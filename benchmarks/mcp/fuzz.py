"""`python -m benchmarks.mcp.fuzz`: random and adversarial calls against the server, over stdio.

Half are tool calls drawn by hypothesis from the input schemas (and from values of other types), half raw lines: broken
JSON, wrong envelopes, strange ids. The bars: the process lives, nothing that it sends or logs holds a traceback, every
whole request is answered within a minute, nothing is written outside the output folder, memory stays flat within 10 %.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam3_mcp.job_tools import JOB_TOOLS
from sam3_mcp.malloc_tuning import TRIM_SECONDS

from benchmarks.machine import machine_words
from benchmarks.mcp.messages import messages
from benchmarks.mcp.wire import Wire
from sam3_agent.tools import HOST_TOOLS

_WARM_UP = 0.25
"""Share of the calls before memory is measured: caches fill, allocators settle."""
_FLAT = 1.1
_FEATURE_MIB = 128
"""A small memory for what the model has seen: it is full before memory is measured for the first time."""


def main() -> None:
    """Fuzz, print JSON, exit with 1 when a bar is missed."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        document = fuzz(Path(folder), options.calls, options.seed, options.patience, staged=options.staged)
    print(json.dumps(document | {"machine": machine_words()}, indent=1))
    sys.exit(0 if passes(document) else 1)


def fuzz(folder: Path, calls: int, start: int, patience: float, *, staged: bool) -> dict[str, Any]:
    """Start a server that works below an empty folder, send it so many messages, and tell what became of it."""
    pictures, out, log = folder / "pictures", folder / "out", folder / "log.txt"
    pictures.mkdir()
    picture = _picture(pictures)
    lines = messages(HOST_TOOLS if staged else (*HOST_TOOLS, *JOB_TOOLS), calls, start, picture)
    command = [sys.executable, "-m", "benchmarks.mcp.staged" if staged else "mcp_server"]
    command += ["--allow-dir", str(pictures), "--out-dir", str(out)]
    command += (
        [] if staged else ["--llm", "rules", "--feature-mib", str(_FEATURE_MIB), "--max-seconds", str(patience / 2)]
    )
    began, pipe = time.monotonic(), subprocess.PIPE
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, cwd=pictures, env=_environment())
        wire = Wire(process, picture, patience)
        warm, end = _send_all(wire, lines)
        alive = process.poll() is None
        wire.close()
    made = [path for path in folder.rglob("*") if path.is_file() and path not in (picture, log)]
    return {
        "calls": calls,
        "eye": "staged" if staged else "tiny",
        "seconds": round(time.monotonic() - began, 1),
        "alive": alive,
        "unanswered": len(wire.waiting),
        "outcomes": dict(wire.outcomes),
        "tools_ok": {tool: count for tool, count in wire.tools_ok.items() if count},
        "tracebacks_to_client": wire.tracebacks,
        "tracebacks_in_log": log.read_text(errors="replace").count("Traceback"),
        "files_outside": [str(path) for path in made if not path.is_relative_to(out)],
        "resident_mib": {"warm": warm, "end": end},
    }


def _send_all(wire: Wire, lines: Sequence[bytes]) -> tuple[int, int]:
    """Send everything; MiB of the server's memory when it is warm and at the end, each when nothing runs."""
    warm = 0
    wire.open()
    for number, line in enumerate(lines):
        if number == int(len(lines) * _WARM_UP):
            warm = _at_rest(wire)
        if number % 1000 == 0:
            print(f"{number} of {len(lines)}, {wire.resident_mib()} MiB", file=sys.stderr)
        wire.send(line)
    return warm, _at_rest(wire)


def _at_rest(wire: Wire) -> int:
    """MiB when everything is answered and what was freed has been given back."""
    wire.settle()
    time.sleep(2 * TRIM_SECONDS)
    return wire.resident_mib()


def passes(document: dict[str, Any]) -> bool:
    """Whether every bar is reached."""
    faults = ("unanswered", "tracebacks_to_client", "tracebacks_in_log", "files_outside")
    memory = document["resident_mib"]
    flat = memory["end"] <= memory["warm"] * _FLAT
    return bool(document["alive"] and flat and not any(document[name] for name in faults))


def _environment() -> dict[str, str]:
    """The server runs in another folder, and must still find this code."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _picture(folder: Path) -> Path:
    from PIL import Image

    from sam3_agent.scenes import SceneOptions, generate_scene

    path = folder / "scene.png"
    Image.fromarray(generate_scene(5, SceneOptions(min_objects=6, max_objects=6)).image).save(path)
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--staged", action="store_true", help="the deterministic model in place of the tiny one")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds after which a request hangs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
