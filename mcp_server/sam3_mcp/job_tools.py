"""Tools that only a server has: its own loop as a job, and a look at jobs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from pydantic import Field

from sam3_agent.errors import InputError, LLMError, ToolError
from sam3_agent.llm.base import LLM, Message, Reply, WrappedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.arguments import ImageId, JobId
from sam3_agent.tools.presentation import instance_data, instance_line
from sam3_agent.types import Answer
from sam3_agent.workspace import Workspace
from sam3_mcp.jobs import Job, Jobs
from sam3_mcp.model_loader import Report

MOST_WAIT = 20.0
"""Seconds; some hosts give up after 60."""
_POLL_SECONDS = 0.02
_WAIT_CANCELLED = 2.0
"""A cancelled job ends after its current step, most often at once."""

WaitSeconds = Annotated[
    float, Field(ge=0, le=MOST_WAIT, description="Wait so many seconds for the result, 0-20; then ask again.")
]


@dataclass(frozen=True, slots=True)
class JobContext:
    """Context of a job tool: the workspace and the jobs of its client, and the server's LLM."""

    workspace: Workspace
    jobs: Jobs
    llm: LLM | None


@dataclass(frozen=True, slots=True)
class JobReport:
    """Job to tell of when it is over, or at the latest after `wait_s` seconds."""

    job: Job
    wait_s: float


def ask_image(
    context: JobContext,
    image_id: ImageId,
    query: Annotated[str, Field(max_length=2000, description="What to find, such as 'the cup left of the lamp'.")],
    wait_s: WaitSeconds = MOST_WAIT,
) -> JobReport:
    """Have the server's own agent find what a sentence describes: it plans, segments, measures and judges by itself.

    Use it for one whole question ("the child furthest to the right") when you do not want to do the steps yourself; the
    masks that it answers with can be used in every other tool. It runs as a job: what is not ready after wait_s seconds
    is fetched with get_job.
    """
    llm, workspace = context.llm, context.workspace
    if llm is None:
        raise ToolError("this server runs without --llm, so it has no agent; use segment_concepts and measure_masks")
    if not query.strip():
        raise InputError("the query is empty; say what to find, such as 'the person furthest to the right'")
    workspace.image(image_id)
    return JobReport(context.jobs.start(query, lambda job: _ask(workspace, llm, image_id, query, job)), wait_s)


def get_job(context: JobContext, job_id: JobId, wait_s: WaitSeconds = MOST_WAIT) -> JobReport:
    """See how far a job is, or get its result; results are kept for an hour.

    Give wait_s to wait for the end instead of asking again and again.
    """
    return JobReport(context.jobs.get(job_id), wait_s)


def cancel_job(context: JobContext, job_id: JobId) -> JobReport:
    """Stop a job that is no longer needed; what it has found so far stays."""
    job = context.jobs.get(job_id)
    job.cancel()
    return JobReport(job, _WAIT_CANCELLED)


async def wait_for(report: JobReport, tell: Report) -> None:
    """Wait until a job is over, or as long as its report may wait; its steps are told as they are made."""
    job, deadline, told = report.job, time.monotonic() + report.wait_s, 0
    while not job.finished.is_set() and time.monotonic() < deadline:
        await anyio.sleep(_POLL_SECONDS)
        if len(job.notes) > told:
            told = len(job.notes)
            await tell(told, None, job.notes[-1])


def present(context: JobContext, report: JobReport) -> Presentation:
    """Tell how far the job is, or what it found."""
    job = report.job
    seconds = context.jobs.seconds(job)
    head = f"{job.id} '{job.what}': {job.state} after {seconds:.1f} s, {len(job.notes)} steps"
    data: dict[str, Any] = {
        "job_id": job.id,
        "state": job.state,
        "seconds": round(seconds, 2),
        "steps": list(job.notes),
    }
    if job.state == "running":
        last = f"; last {job.notes[-1]}" if job.notes else ""
        return Presentation(f"{head}{last}. Call get_job with job_id '{job.id}' for the result.", data)
    if job.result is None:
        return Presentation(f"{head}. {job.failure}".strip(), data | {"failure": job.failure})
    return Presentation(f"{head}\n{job.result.text}", data | job.result.data, job.result.pictures)


JOB_TOOLS = (
    ToolSpec.of(ask_image, present, is_job=True, makes="masks", idempotent=False, has_picture=True, shows_masks=True),
    ToolSpec.of(get_job, present, is_job=True, has_picture=True, shows_masks=True),
    ToolSpec.of(cancel_job, present, is_job=True, removes=True),
)


class WatchedLLM(WrappedLLM):
    """An LLM under a job: it notes each turn and stops when the job is cancelled."""

    def __init__(self, llm: LLM, job: Job) -> None:
        super().__init__(llm)
        self._job = job

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The LLM's reply.

        Raises:
            LLMError: the job was cancelled, or the LLM failed.
        """
        if not self._job.wanted:
            raise LLMError("cancelled")
        reply = self._llm.reply(messages, tools)
        names = ", ".join(call.name for call in reply.message.calls) or "no tool"
        self._job.notes.append(f"turn {len(self._job.notes) + 1}: {names}")
        return reply


def _ask(workspace: Workspace, llm: LLM, image_id: str, query: str, job: Job) -> Presentation:
    answer = Agent(workspace, WatchedLLM(llm, job)).ask(image_id, query)
    return present_answer(workspace, image_id, answer, llm.name)


def present_answer(workspace: Workspace, image_id: str, answer: Answer, llm: str) -> Presentation:
    """An answer of the agent in words, data and a picture."""
    ids = [instance.id for instance in answer.instances]
    facts = workspace.facts(ids)
    lines = [f"{answer.outcome}: {answer.reason or 'no reason given'} (by {llm})"]
    lines += [f"  {instance_line(i, f)}" for i, f in zip(answer.instances, facts, strict=True)]
    usage = answer.usage
    lines.append(f"{usage.turns} turns, {usage.encodes} encodes, {usage.seconds:.2f} s")
    data: dict[str, Any] = {
        "image_id": image_id,
        "query": answer.query,
        "outcome": answer.outcome,
        "reason": answer.reason,
        "instances": [instance_data(i, f) for i, f in zip(answer.instances, facts, strict=True)],
        "llm": llm,
        "usage": usage.to_json(),
    }
    if not ids:
        return Presentation("\n".join(lines), data)
    picture = workspace.look(image_id, ids)
    lines.append(f"picture of {image_id}: {picture.caption}")
    return Presentation("\n".join(lines), data, (picture,))
