"""Tool that has the server's own agent answer a question, as a job."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.errors import InputError, ToolError
from sam3_agent.llm.base import LLM, Message, Reply, WrappedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.arguments import ImageId
from sam3_agent.tools.presentation import instance_data, instance_line
from sam3_agent.types import Answer
from sam3_agent.workspace import Workspace
from sam3_mcp.job_tools import MOST_WAIT, JobContext, JobReport, WaitSeconds, present
from sam3_mcp.jobs import Job


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


ASK_IMAGE = ToolSpec.of(
    ask_image, present, is_job=True, makes="masks", idempotent=False, has_picture=True, shows_masks=True
)


class WatchedLLM(WrappedLLM):
    """An LLM under a job, which notes each turn."""

    def __init__(self, llm: LLM, job: Job) -> None:
        super().__init__(llm)
        self._job = job
        self._turns = 0

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Ask the LLM.

        Raises:
            LLMError: the LLM failed.
        """
        reply = self._llm.reply(messages, tools)
        names = ", ".join(call.name for call in reply.message.calls) or "no tool"
        self._turns += 1
        self._job.notes.append(f"turn {self._turns}: {names}")
        return reply


def _ask(workspace: Workspace, llm: LLM, image_id: str, query: str, job: Job) -> Presentation:
    answer = Agent(workspace, WatchedLLM(llm, job)).ask(image_id, query, stop=job.stop)
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
