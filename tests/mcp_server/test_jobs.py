"""ask_image and jobs: the server's own loop, watched, waited for and cancelled."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from sam3_mcp.jobs import KEPT_SECONDS, Job, Jobs
from sam3_mcp.quota import Account, Limits, Usage
from sam3_mcp.server import build_server

from sam3_agent.errors import Busy, UnknownHandle
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.tools import Presentation, ToolSpec
from tests.mcp_server.fixtures_server import MakeServer, images_of, make_backend, text_of

pytestmark = pytest.mark.anyio


class PatientLLM:
    """Looks once, then waits until it is told to answer."""

    name = "patient"
    sees = False

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.turns = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        self.turns += 1
        if self.turns == 1:
            image_id = messages[1].text.split()[1]
            call = ToolCall("1", "segment_concepts", {"image_id": image_id, "concepts": ["square"]})
            return Reply(Message("assistant", calls=(call,)))
        assert self.go_on.wait(30)
        return Reply(Message("assistant", calls=(ToolCall("2", "submit_answer", {"mask_ids": ["m1"]}),)))


def connect(folder: Path, llm: LLM, mode: str = "auto", **sessions: Any) -> Client:
    return Client(build_server(make_backend(folder, make_llm=lambda: llm, **sessions)), mode=mode)


async def test_without_an_llm_there_are_jobs_but_no_agent(make_server: MakeServer) -> None:
    async with Client(make_server()) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert names & {"ask_image", "get_job", "cancel_job"} == {"get_job", "cancel_job"}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_rules_answer_a_question_with_masks_that_other_tools_take(folder: Path, mode: str) -> None:
    async with connect(folder, load_llm("rules"), mode) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        asked = await client.call_tool("ask_image", {"image_id": "img1", "query": "the leftmost square"})
        data = asked.structured_content
        assert (data["state"], data["outcome"], data["llm"]) == ("done", "answered", "rules"), text_of(asked)
        (instance,) = data["instances"]
        assert instance["box"] == [20, 20, 80, 80]
        assert images_of(asked)
        again = await client.call_tool("get_job", {"job_id": data["job_id"], "wait_s": 0})
        assert again.structured_content["instances"] == data["instances"]
        assert not (await client.call_tool("look", {"image_id": "img1", "mask_ids": [instance["id"]]})).is_error


async def test_a_long_question_becomes_a_job_with_progress_that_can_be_fetched_later(folder: Path) -> None:
    llm, heard = PatientLLM(), list[str | None]()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)
        if message == "turn 1: segment_concepts":
            llm.go_on.set()

    async with connect(folder, llm) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        asked = await client.call_tool("ask_image", {"image_id": "img1", "query": "a square", "wait_s": 0})
        assert asked.structured_content["state"] == "running"
        assert "Call get_job with job_id 'job1'" in text_of(asked)
        got = await client.call_tool("get_job", {"job_id": "job1", "wait_s": 20}, progress_callback=on_progress)
    assert got.structured_content["outcome"] == "answered"
    assert "turn 1: segment_concepts" in heard
    assert got.structured_content["steps"] == ["turn 1: segment_concepts", "turn 2: submit_answer"]


async def test_a_job_can_be_cancelled_and_jobs_at_a_time_are_bounded(folder: Path) -> None:
    llm = PatientLLM()
    async with connect(folder, llm, limits=Limits(jobs=1)) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        ask = {"image_id": "img1", "query": "a square", "wait_s": 0}
        await client.call_tool("ask_image", ask)
        assert "1 of your jobs are running" in text_of(await client.call_tool("ask_image", ask))
        with anyio.fail_after(20):
            while llm.turns < 2:
                await anyio.sleep(0.01)
            stopping = await client.call_tool("cancel_job", {"job_id": "job1"})
        assert stopping.structured_content["state"] == "running"  # its LLM is in the middle of a turn
        llm.go_on.set()
        cancelled = await client.call_tool("get_job", {"job_id": "job1"})
        assert cancelled.structured_content["state"] == "cancelled"
        unknown = text_of(await client.call_tool("get_job", {"job_id": "job7"}))
        assert unknown == "unknown job 'job7'; known: job1"
        assert "query is empty" in text_of(await client.call_tool("ask_image", {**ask, "query": " "}))
        assert "unknown image" in text_of(await client.call_tool("ask_image", {**ask, "image_id": "img9"}))


def account(most: int | None) -> Account:
    return Account(Limits(jobs=most), Usage)


def test_results_are_kept_for_an_hour() -> None:
    now = [0.0]
    jobs = Jobs("-x", account(1), clock=lambda: now[0])
    job = jobs.start("one", lambda _: Presentation("done", {}))
    assert job.id == "job1-x"
    assert job.finished.wait(10)
    now[0] = KEPT_SECONDS - 1
    assert jobs.get("job1-x").state == "done"
    now[0] = KEPT_SECONDS + 1
    with pytest.raises(UnknownHandle):
        jobs.get("job1-x")


def test_a_bug_in_a_job_is_one_line_for_the_client(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Job) -> Presentation:
        raise ZeroDivisionError("secret")

    jobs = Jobs("", account(None))
    job = jobs.start("one", fail)
    assert job.finished.wait(10)
    assert (job.state, job.failure) == ("failed", "internal error; the server's log has the details")
    assert "ZeroDivisionError" in caplog.text
    held = threading.Event()
    limited = Jobs("", account(1))
    limited.start("two", lambda _: Presentation(str(held.wait(10)), {}))
    with pytest.raises(Busy):
        limited.start("three", fail)
    held.set()
