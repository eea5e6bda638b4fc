"""Count of this project's own calls behind one tool call and behind one short agent run.

`python -m benchmarks.trace_calls [--model tiny] [--list]`: calls, distinct functions, files and the deepest nesting, of
this project's code only, over all threads. Comprehensions and generator expressions are no functions of their own here;
every resumption of a coroutine or generator function counts as a call. One concept that is found once is asked for, as
what happens for each mask would otherwise outweigh the hops that a reader has to follow.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from mcp import Client
from mcp_types import CallToolRequestParams, CallToolResult
from PIL import Image
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.model_loader import Loading
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.server import build_server
from sam3_mcp.sessions import Sessions
from sam3_mcp.tool_handler import Backend, Context

from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.model.replicas import load_replicas
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.scenes import Scene, SceneOptions, generate_scene
from sam3_agent.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
OWN = tuple(str(ROOT / room) for room in ("sam3_agent", "mcp_server", "evals"))
SCENE = SceneOptions(min_side=512, max_side=512, min_objects=6, max_objects=8)
SEED = 900_004

NO_FUNCTIONS = frozenset({"<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>"})
"""Python 3.12 has no frames for most of them."""

Place = tuple[str, int, str]
"""(file, first line, name) of a function."""


class CallCounter:
    """Counts of calls while `counting` is open, in every thread started after `install`."""

    def __init__(self) -> None:
        self.calls: Counter[Place] = Counter()
        self.threads: set[int] = set()
        self._on = False

    def install(self) -> None:
        """Watch this thread and all that are started from now on."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)

    @contextmanager
    def counting(self) -> Generator[None]:
        """Count what is called inside the block, by whatever thread."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def row(self) -> dict[str, int]:
        """The figures so far."""
        files = {file for file, _, _ in self.calls}
        return {
            "calls": self.calls.total(),
            "functions": len(self.calls),
            "files": len(files),
            "threads": len(self.threads),
        }

    def lines(self) -> list[str]:
        """Every function with its count, file by file."""
        return [
            f"{count:5d}  {Path(file).relative_to(ROOT)}:{line} {name}"
            for (file, line, name), count in sorted(self.calls.items())
        ]

    def _see(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if self._on and event == "call" and code.co_name not in NO_FUNCTIONS and code.co_filename.startswith(OWN):
            self.calls[code.co_filename, code.co_firstlineno, code.co_qualname] += 1
            self.threads.add(threading.get_ident())


class CountedBackend(Backend):
    """A backend whose calls are counted while it answers them."""

    counter: CallCounter | None = None

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Answer tools/call; counts from here down, not what the protocol does around it."""
        if self.counter is None:
            return await super().call_tool(context, params)
        with self.counter.counting():
            return await super().call_tool(context, params)


async def trace_mcp(model: str) -> CallCounter:
    """Count one warm call of segment_concepts, through an in-memory client."""
    counter = CallCounter()
    counter.install()
    scene = generate_scene(SEED, SCENE)
    warm, once = _nouns(scene)
    with tempfile.TemporaryDirectory() as folder, Scheduler(load_replicas(model)) as scheduler:
        path = Path(folder) / "scene.png"
        Image.fromarray(scene.image).save(path)
        pictures = ImageAccess(PathAllowlist.of([Path(folder)]))
        backend = CountedBackend(Loading(lambda: scheduler, model), lambda: Sessions(pictures))
        async with Client(build_server(backend)) as client:
            await client.call_tool("open_image", {"source": str(path)})
            await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": [warm]})
            backend.counter = counter
            result = await client.call_tool("segment_concepts", {"image_id": "img1", "concepts": [once]})
            (answer,) = result.structured_content["results"]
            assert len(answer["instances"]) == 1, answer
    sys.setprofile(None)
    threading.setprofile(None)
    return counter


def trace_run() -> CallCounter:
    """Count a run of two turns (segment_concepts, submit_answer) with a scripted LLM over a deterministic model."""
    scene = generate_scene(SEED, SCENE)
    workspace = Workspace(_knowing(scene))
    image = workspace.open(scene.image)
    _, noun = _nouns(scene)
    llm = ScriptedLLM(
        ToolCall("1", "segment_concepts", {"image_id": image.id, "concepts": [noun]}),
        ToolCall("2", "submit_answer", {"mask_ids": ["m1"], "reason": "the one asked for"}),
    )
    agent = Agent(workspace, llm)
    counter = CallCounter()
    counter.install()
    with counter.counting():
        answer = agent.ask(image.id, f"the {noun}")
    sys.setprofile(None)
    threading.setprofile(None)
    assert answer.outcome == "answered", answer.reason
    return counter


def _nouns(scene: Scene) -> tuple[str, str]:
    """A noun to warm up with, and one that a single object of the scene has."""
    counts = Counter(obj.noun for obj in scene.objects)
    once = min(counts, key=counts.__getitem__)
    assert (counts[once], len(counts) > 1) == (1, True), counts
    return next(noun for noun in counts if noun != once), once


def _knowing(scene: Scene) -> FakeSegmenter:
    nouns = dict.fromkeys(obj.noun for obj in scene.objects)
    masks = {noun: [obj.mask for obj in scene.objects if obj.noun == noun] for noun in nouns}
    return FakeSegmenter({noun: detection(found, [0.9] * len(found)) for noun, found in masks.items()})


def main(argv: Sequence[str] | None = None) -> None:
    """Trace both, print JSON; with --list also every function."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace_calls", description=__doc__)
    parser.add_argument("--model", default="tiny", help="tiny or a checkpoint, for the MCP case")
    parser.add_argument("--list", action="store_true", help="every function with its count, on stderr")
    given = parser.parse_args(argv)
    counted = {"mcp_segment_concepts_warm": anyio.run(trace_mcp, given.model), "agent_run_two_turns": trace_run()}
    if given.list:
        for name, counter in counted.items():
            sys.stderr.write("\n".join([f"== {name}", *counter.lines(), ""]))
    sys.stdout.write(json.dumps({name: counter.row() for name, counter in counted.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
