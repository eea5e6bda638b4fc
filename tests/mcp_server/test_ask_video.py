"""ask_video: the server's own agent over a video, as a job that is watched, bounded and cancelled."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client
from numpy.typing import NDArray
from PIL import Image
from sam3_mcp.quota import Limits
from sam3_mcp.server import build_server

from sam3_agent.llm.base import LLM, Message, Reply, ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.tools import ToolSpec
from tests.mcp_server.fixtures_server import images_of, make_backend, text_of
from tests.workspace.tracking import scripted

pytestmark = pytest.mark.anyio

CATS = 30
"""Frames of the videos here; one of the two cats moves to the right in all of them."""


@pytest.fixture
def clip(folder: Path) -> Path:
    """A folder of frames that say their own number."""
    made = folder / "clip"
    made.mkdir()
    for index in range(CATS):
        Image.fromarray(scripted.frame(index)).save(made / f"{index:03d}.png")
    return made


class Patient(FakeSegmenter):
    """Knows the script, and encodes so many frames of it, then the next only when it is told to."""

    def __init__(self, free: int) -> None:
        super().__init__(scripted.answers)
        self.free = free
        self.go_on = threading.Event()

    def encode(self, image: NDArray[np.uint8]) -> Any:
        if self.encodes >= self.free:
            assert self.go_on.wait(60)
        return super().encode(image)


def connect(folder: Path, llm: LLM | None, model: FakeSegmenter | None = None, **sessions: Any) -> Client:
    make_llm = (lambda: llm) if llm is not None else None
    segmenter = model or scripted.scripted_model()
    return Client(build_server(make_backend(folder, make_segmenter=lambda: segmenter, make_llm=make_llm, **sessions)))


async def until(check: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not check():
            await anyio.sleep(0.01)


async def test_the_rules_answer_with_tracks_that_other_tools_take_and_words_suffice(folder: Path, clip: Path) -> None:
    heard: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with connect(folder, load_llm("rules")) as client:
        await client.call_tool("open_video", {"source": str(clip)})
        ask = {"video_id": "v1", "query": "the cat that moves to the right"}
        asked = await client.call_tool("ask_video", ask, progress_callback=on_progress)
        data = asked.structured_content
        assert (data["state"], data["outcome"], data["llm"]) == ("done", "answered", "rules"), text_of(asked)
        (track,) = data["tracks"]
        assert (track["id"], track["direction"], track["last_frame"]) == ("t1", "right", CATS - 1)
        assert images_of(asked)
        words = text_of(asked)
        assert "answered: 2 tracks for 'cat'; moves right: t1 (by rules)" in words
        assert "t1 cat  0-29" in words
        assert "moves right" in words
        assert "box [5, 8, 25, 28]" in words
        assert data["steps"][0] == "turn 1: track_concepts"
        assert data["steps"][-1] == "turn 3: submit_tracks"
        assert any(step.startswith(f"tracked 30 of {CATS} frames") for step in data["steps"])
        assert set(heard) <= {*data["steps"], None}
        listed = await client.call_tool("list_tracks", {"video_id": "v1"})
        assert [each["id"] for each in listed.structured_content["tracks"]] == ["t1", "t2"]
        seen = await client.call_tool("look_frames", {"video_id": "v1", "track_ids": [track["id"]]})
        assert not seen.is_error
        again = await client.call_tool("ask_video", {**ask, "query": "all cats"})
        assert [each["id"] for each in again.structured_content["tracks"]] == ["t1", "t2"]
        assert again.structured_content["usage"]["encodes"] == 0


async def test_what_cannot_be_asked_is_one_line(folder: Path, clip: Path) -> None:
    async with connect(folder, load_llm("rules")) as client:
        await client.call_tool("open_video", {"source": str(clip)})
        empty = await client.call_tool("ask_video", {"video_id": "v1", "query": "  "})
        unknown = await client.call_tool("ask_video", {"video_id": "v7", "query": "the cat"})
        none = await client.call_tool("ask_video", {"video_id": "v1", "query": "the walrus that leaves"})
    assert empty.is_error
    assert text_of(empty).startswith("the query is empty")
    assert text_of(unknown) == "unknown video 'v7'; known: v1"
    assert (none.structured_content["outcome"], none.structured_content["tracks"]) == ("no_match", [])
    async with connect(folder, None) as client:
        assert text_of(await client.call_tool("ask_video", {"video_id": "v1", "query": "x"})).startswith("unknown tool")


async def test_a_cancelled_question_ends_its_tracking_and_what_was_tracked_stays(folder: Path, clip: Path) -> None:
    model = Patient(5)
    async with connect(folder, load_llm("rules"), model) as client:
        await client.call_tool("open_video", {"source": str(clip)})
        ask = {"video_id": "v1", "query": "the cat that moves to the right", "wait_s": 0}
        begun = await client.call_tool("ask_video", ask)
        assert begun.structured_content["state"] == "running"
        await until(lambda: model.encodes == 5)
        busy = await client.call_tool("ask_video", ask)
        assert text_of(busy) == "v1 is being tracked; wait until that has ended, or stop it"
        await client.call_tool("cancel_job", {"job_id": "job1"})
        model.go_on.set()
        ended = (await client.call_tool("get_job", {"job_id": "job1"})).structured_content
        assert ended["state"] == "cancelled"
        assert (ended["outcome"], ended["reason"]) == ("budget", "interrupted")
        assert [track["id"] for track in ended["tracks"]] == ["t1", "t2"]
        encoded = model.encodes
        assert encoded < CATS
        again = (await client.call_tool("ask_video", {**ask, "wait_s": 20})).structured_content
        assert (again["outcome"], [track["id"] for track in again["tracks"]]) == ("answered", ["t1"])
        assert model.encodes == CATS, "what was tracked before is not tracked again"


async def test_an_agent_whose_tracks_take_more_than_a_client_may_is_told_to_stop(folder: Path, clip: Path) -> None:
    call = ToolCall("1", "track_concepts", {"video_id": "v1", "concepts": ["cat", "dog"]})
    told: list[str] = []

    class Reading(ScriptedLLM):
        def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
            told.extend(result.text for result in messages[-1].results)
            return super().reply(messages, tools)

    llm = Reading(call, ToolCall("2", "report_no_match", {"reason": "no room"}))
    for index in range(CATS, scripted.FRAMES):
        Image.fromarray(scripted.frame(index)).save(clip / f"{index:03d}.png")
    async with connect(folder, llm, limits=Limits(tracks=100)) as client:
        await client.call_tool("open_video", {"source": str(clip)})
        asked = await client.call_tool("ask_video", {"video_id": "v1", "query": "the cat"})
        assert asked.structured_content["outcome"] == "no_match", text_of(asked)
        assert "as much as one client may; free a video" in told[0]
        listed = await client.call_tool("list_tracks", {"video_id": "v1"})
        assert listed.structured_content["tracks"][0]["last_frame"] < scripted.FRAMES - 1
        refused = await client.call_tool("ask_video", {"video_id": "v1", "query": "the dog"})
        assert "free a video with forget_video" in text_of(refused)
