"""Messages of the fuzz: tool calls drawn by hypothesis from the input schemas, and raw lines.

A third of the calls fit their schema and name things that exist, a third mix in one or two values of other types, a
third are junk. Of the raw lines most are envelopes with strange parts, the rest no JSON at all.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sam3_agent.tools import ToolSpec

_METHODS = [
    "tools/call", "tools/list", "resources/read", "resources/list", "resources/templates/list", "prompts/get",
    "prompts/list", "completion/complete", "ping", "initialize", "server/discover", "subscriptions/listen",
    "logging/setLevel", "notifications/cancelled", "notifications/initialized", "nothing", "",
]  # fmt: skip
_URIS = ["ui://sam3/viewer.html", "sam3://masks/m1.png", "sam3://masks/m1.json", "sam3://images/img1.jpg",
         "sam3://overlays/img1.jpg", "sam3://masks/../m1.png", "file:///etc/passwd", "sam3://"]  # fmt: skip
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
_MASKS = st.lists(st.sampled_from(["m1", "m2", "m3"]), min_size=1, max_size=4)
_CORNERS = st.sampled_from([[0, 0, 160, 160], [40.5, 20, 300, 310.25], [100, 100, 260, 200]])
"""Few, as each region that is new costs an encode."""
_EXISTING: dict[str, st.SearchStrategy[Any]] = {
    "image_id": st.just("img1"),
    "mask_id": st.sampled_from(["", "m1", "m2"]),
    "mask_ids": _MASKS,
    "positive_masks": _MASKS,
    "negative_masks": st.just([]) | _MASKS,
    "concepts": st.lists(st.sampled_from(["house", "star", "red cup", "@thing"]), min_size=1, max_size=4),
    "concept": st.sampled_from(["house", "star"]),
    "region": st.just([]) | _CORNERS,
    "box": st.just([]) | _CORNERS,
    "positive_boxes": st.lists(_CORNERS, max_size=2),
    "negative_boxes": st.lists(_CORNERS, max_size=2),
    "points": st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(list), min_size=1, max_size=2),
    "labels": st.just([]),
    "tiles": st.sampled_from(["auto", "never"] * 8 + ["always"]),  # "always" takes long
    "name": st.sampled_from(["thing", "other"]),
    "query": st.sampled_from(["the largest house", "every star", "the leftmost house"]),
    "job_id": st.sampled_from(["job1", "job2", "job3"]),
    "wait_s": st.sampled_from([0.0, 0.05]),
    "path": st.sampled_from(["masks", "a/b"]),
}
"""Value that fits a property of this name and is there."""
_ESCAPES = st.sampled_from(
    ["/etc/passwd", "../../x", "a/../../x", "file:///etc/passwd", "http://127.0.0.1/x.png",
     "data:image/png;base64,AAAA", "/proc/self/environ", "\\\\host\\share", "~root", "", "a\u0000b"]
)  # fmt: skip


def messages(tools: Sequence[ToolSpec], count: int, start: int, picture: Path) -> list[bytes]:
    """Exactly so many lines, in an order that `start` fixes."""
    calls = _drawn(_calls(tools, picture), count - count // 2, start)
    lines = [json.dumps(call).encode() for call in calls] + _drawn(_raw(), count // 2, start + 1)
    random.Random(start).shuffle(lines)
    return lines


def _drawn(strategy: st.SearchStrategy[Any], count: int, start: int) -> list[Any]:
    """Values of a strategy; hypothesis gives fewer where it meets the same again, so it is asked until it is enough."""
    found: list[Any] = []

    while len(found) < count:

        @seed(start + len(found))
        @settings(
            max_examples=min(2000, count),
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


def _calls(tools: Sequence[ToolSpec], picture: Path) -> st.SearchStrategy[dict[str, Any]]:
    call = st.one_of(*(_call(tool, picture) for tool in tools))
    envelope = {"jsonrpc": st.just("2.0"), "id": st.just(0), "method": st.just("tools/call"), "params": call}
    return st.fixed_dictionaries(envelope)


def _call(tool: ToolSpec, picture: Path) -> st.SearchStrategy[dict[str, Any]]:
    schema = tool.json_schema
    needed = set(schema.get("required", ()))
    fitting = {name: _fitting(name, prop, picture) for name, prop in schema["properties"].items()}
    mixed = {name: st.one_of(value, value, value, _ESCAPES, _JUNK) for name, value in fitting.items()}
    shapes = [
        st.fixed_dictionaries(
            {name: value for name, value in values.items() if name in needed},
            optional={name: value for name, value in values.items() if name not in needed},
        )
        for values in (fitting, mixed)
    ]
    junk = st.dictionaries(st.sampled_from(list(fitting) or ["x"]) | st.text(max_size=8), _JUNK)
    return st.fixed_dictionaries({"name": st.just(tool.name), "arguments": st.one_of(*shapes, junk)})


def _fitting(name: str, schema: dict[str, Any], picture: Path) -> st.SearchStrategy[Any]:
    if name == "source":
        return st.just(str(picture))
    if name in _EXISTING:
        return _EXISTING[name]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return st.lists(_fitting("", schema.get("items", {}), picture), max_size=6)
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 2048)
        return st.floats(low, high) if kind == "number" else st.integers(low, high)
    return st.booleans() if kind == "boolean" else st.text(max_size=20)


def _raw() -> st.SearchStrategy[bytes]:
    keys = st.sampled_from(["name", "uri", "cursor", "arguments", "_meta", "ref", "argument", "requestId", "level"])
    usual = st.sampled_from([*_URIS, "ground_expression", "look", "list_images", "100"])
    params = st.one_of(
        _JUNK, st.dictionaries(keys, _JUNK | usual), st.fixed_dictionaries({"uri": st.sampled_from(_URIS)})
    )
    envelope = st.fixed_dictionaries(
        {"jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2]), "method": st.sampled_from(_METHODS) | _JUNK},
        optional={"id": st.just(0) | _JUNK, "params": params, "result": _JUNK, "error": _JUNK},
    )
    plain = st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "id": st.just(0), "method": st.sampled_from(_METHODS)}, optional={"params": params}
    )
    broken = st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" "))
    deep = st.sampled_from(
        [b"[" * 5000, b'{"jsonrpc":"2.0"', b'{"a":' * 3000 + b"1" + b"}" * 3000, b" ", b"\xef\xbb\xbf{}"]
    )
    text = st.one_of(envelope, plain).map(lambda message: json.dumps(message).encode())
    return st.one_of(text, text, text, broken, deep)
