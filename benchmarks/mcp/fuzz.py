"""`python -m benchmarks.mcp.fuzz`: random and adversarial calls against the server, over stdio.

Half are tool calls drawn by hypothesis from the input schemas (and from values of other types), half raw lines: broken
JSON, wrong envelopes, strange ids. The bars: the process lives, nothing that it sends holds a traceback, every request
with an id is answered within a minute, its memory stays flat within 10 %.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.machine import machine_words
from benchmarks.mcp.wire import Wire
from sam3_agent.tools import HOST_TOOLS

_WARM_UP = 0.25
"""Share of the calls before memory is measured: caches fill, allocators settle."""


def main() -> None:
    """Fuzz, print JSON, exit with 1 when a bar is missed."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        picture = _picture(Path(folder))
        program = "benchmarks.mcp.staged" if options.staged else "mcp_server"
        command = [sys.executable, "-m", program, "--allow-dir", folder]
        with (Path(folder) / "log.txt").open("wb") as log:
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, cwd=folder, env=_environment())
            wire = Wire(process, picture)
            wire.open()
            began, memory = time.monotonic(), {"warm": 0, "end": 0}
            for number, message in enumerate(_messages(options.calls, options.seed, picture)):
                if number == int(options.calls * _WARM_UP):
                    wire.settle()
                    memory["warm"] = wire.resident_mib()
                wire.send(message)
            wire.settle()
            memory["end"] = wire.resident_mib()
            alive = process.poll() is None
            wire.close()
        tracebacks = (Path(folder) / "log.txt").read_text(errors="replace").count("Traceback")
    document = {
        "calls": options.calls,
        "eye": "staged" if options.staged else "tiny",
        "seconds": round(time.monotonic() - began, 1),
        "alive": alive,
        "unanswered": len(wire.waiting),
        "outcomes": dict(wire.outcomes),
        "tracebacks_to_client": wire.tracebacks,
        "tracebacks_in_log": tracebacks,
        "resident_mib": memory,
        "machine": machine_words(),
    }
    print(json.dumps(document, indent=1))
    flat = memory["end"] <= memory["warm"] * 1.1
    sys.exit(0 if alive and flat and not (wire.waiting or wire.tracebacks or tracebacks) else 1)


def _environment() -> dict[str, str]:
    """The server runs in another folder, and must still find this code."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}


def _messages(count: int, start: int, picture: Path) -> list[bytes]:
    """Exactly so many lines, in a fixed order."""
    chance = random.Random(start)
    calls = _drawn(_call_strategy(picture), count - count // 2, start)
    raw = _drawn(_raw_strategy(), count // 2, start + 1)
    lines = [json.dumps(call).encode() for call in calls] + list(raw)
    chance.shuffle(lines)
    return lines


def _drawn(strategy: st.SearchStrategy[Any], count: int, start: int) -> list[Any]:
    """Values of a strategy; hypothesis gives fewer where it meets the same again, so it is asked until it is enough."""
    found: list[Any] = []

    while len(found) < count:

        @seed(start + len(found))
        @settings(
            max_examples=2000,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def draw(value: Any) -> None:
            found.append(value)

        draw()
    return found[:count]


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.sampled_from(["m1", "m2", "img1", "img999", "../../etc/passwd", "\u0000", "\U0001f4a5" * 20, "-1", "[", "@x"]),
    st.recursive(
        st.integers(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=20,
    ),
)


def _value(schema: dict[str, Any], picture: Path) -> st.SearchStrategy[Any]:
    """What fits a property, more often than not."""
    kind = schema.get("type")
    numbers = st.floats(-50, 400, allow_nan=False)
    if "enum" in schema:
        fitting: st.SearchStrategy[Any] = st.sampled_from(schema["enum"])
    elif kind == "array":
        fitting = st.lists(_value(schema.get("items", {}), picture), max_size=6)
    elif kind in ("number", "integer"):
        fitting = numbers if kind == "number" else st.integers(-2, 3)
    elif kind == "boolean":
        fitting = st.booleans()
    else:
        known = [
            "img1",
            "m1",
            "m2",
            "m3",
            "house",
            "star",
            str(picture),
            "data:image/png;base64,AAAA",
            "/etc/passwd",
            "",
        ]
        fitting = st.sampled_from(known) | st.text(max_size=20)
    return st.one_of(fitting, fitting, fitting, _JUNK)


def _call_strategy(picture: Path) -> st.SearchStrategy[dict[str, Any]]:
    tools = [tool for tool in HOST_TOOLS if tool.name != "export_masks"]
    shapes: list[st.SearchStrategy[dict[str, Any]]] = []
    for tool in tools:
        schema = tool.json_schema
        values = {name: _value(prop, picture) for name, prop in schema["properties"].items()}
        required = {name: value for name, value in values.items() if name in schema.get("required", ())}
        optional = {name: value for name, value in values.items() if name not in required}
        arguments = st.fixed_dictionaries(required, optional=optional) | st.dictionaries(st.text(max_size=8), _JUNK)
        shapes.append(st.fixed_dictionaries({"name": st.just(tool.name), "arguments": arguments}))
    call = st.one_of(*shapes)
    envelope = {"jsonrpc": st.just("2.0"), "id": st.just(0), "method": st.just("tools/call"), "params": call}
    return st.fixed_dictionaries(envelope)


def _raw_strategy() -> st.SearchStrategy[bytes]:
    methods = st.sampled_from(
        ["tools/call", "tools/list", "resources/read", "resources/list", "prompts/get", "completion/complete", "ping",
         "initialize", "server/discover", "notifications/cancelled", "notifications/initialized", "nothing", ""]
    )  # fmt: skip
    params = st.one_of(
        _JUNK, st.dictionaries(st.sampled_from(["name", "uri", "cursor", "arguments", "_meta", "ref"]), _JUNK)
    )
    envelope = st.fixed_dictionaries(
        {"jsonrpc": st.sampled_from(["2.0", "1.0", 2]), "method": methods | _JUNK},
        optional={"id": st.just(0) | _JUNK, "params": params, "result": _JUNK, "error": _JUNK},
    ).map(lambda message: json.dumps(message).encode())
    broken = st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" "))
    return st.one_of(envelope, envelope, envelope, broken, st.just(b"[" * 5000), st.just(b'{"jsonrpc":"2.0"'))


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
    parser.add_argument("--staged", action="store_true", help="the deterministic eye in place of the tiny one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
