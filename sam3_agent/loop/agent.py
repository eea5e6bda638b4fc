"""The loop: ask the brain, do what it asks for, until there is an answer."""

import time
from collections.abc import Callable

from sam3_agent.errors import InputError, LLMError
from sam3_agent.loop.border import Failure, attempt
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.llm import LLM, Message, Reply, ToolCall, ToolResult
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.run import Run
from sam3_agent.loop.task import Task
from sam3_agent.tools import LOOP_TOOLS, Presentation, ToolSpec
from sam3_agent.types import Answer
from sam3_agent.workspace import Workspace

MAX_NUDGES = 2


class Agent:
    """Answers referring expressions about open images. One agent may run many asks at once, each in its thread."""

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        *,
        max_turns: int = 24,
        max_llm_calls: int | None = None,
        max_usd: float | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self.workspace = workspace
        self.llm = llm
        self.budget = Budget(max_turns, max_llm_calls, max_usd, max_seconds)
        self.tools: dict[str, ToolSpec] = {tool.name: tool for tool in LOOP_TOOLS}

    def ask(self, image_id: str, query: str) -> Answer:
        """Find what `query` refers to; nothing that a brain or a tool does is raised, it ends in the answer's outcome.

        Ctrl-C ends the run with outcome "budget", reason "interrupted" and the best so far. `usage.encodes` counts the
        workspace's encodes during this run, those of runs beside it included.

        Raises:
            ToolError: the caller's own mistake: an unknown image id, or an empty query.
        """
        image = self.workspace.image(image_id)
        text = " ".join(query.split())
        if not text:
            raise InputError("the query is empty; say what to find, such as 'the person furthest to the right'")
        run = Run(self.workspace, Task(image_id, image.width, image.height, text), read_prompt("system"))
        try:
            self._survive(run, self._begin)
            while run.outcome is None:
                self._survive(run, self._turn)
        except KeyboardInterrupt:
            run.end("budget", "interrupted")
        return run.answer()

    def _survive(self, run: Run, act: Callable[[Run], None]) -> None:
        """Do one part of the run; if it fails, the run ends with the best so far."""
        began = time.monotonic()
        done = attempt(lambda: act(run))
        if isinstance(done, Failure):
            run.record("error", time.monotonic() - began, message=done.message)
            run.end("failed", done.message)

    def _begin(self, run: Run) -> None:
        """Show the brain its task."""
        preview = self.workspace.look(run.task.image_id, style="plain")
        run.begin(preview, llm=self.llm.name)

    def _turn(self, run: Run) -> None:
        """One reply of the brain, with the tools that it calls."""
        if spent := self.budget.spent(run.meter):
            return run.end("budget", spent)
        reply = self._hear(run)
        if reply.stop == "refused":
            return run.end("failed", f"the model refused: {reply.note or reply.message.text or 'no reason given'}")
        if not reply.message.calls:
            return self._nudge(run, reply)
        run.nudges = 0
        return self._act(run, reply.message.calls)

    def _hear(self, run: Run) -> Reply:
        """The next reply, counted and recorded."""
        run.meter.turns += 1
        run.meter.llm_calls += 1
        began = time.monotonic()
        reply = self.llm.reply(tuple(run.messages), tuple(self.tools.values()))
        if not isinstance(reply, Reply):  # pyright: ignore[reportUnnecessaryIsInstance] - brains are plugs
            raise LLMError(f"{self.llm.name} replied with {type(reply).__name__}, expected a Reply")
        run.heard(reply, time.monotonic() - began)
        return reply

    def _act(self, run: Run, calls: tuple[ToolCall, ...]) -> None:
        """Run the calls of one turn in order, up to one that ends the run."""
        results: list[ToolResult] = []
        for call in calls:
            began = time.monotonic()
            result = self._use(run, call)
            results.append(result)
            run.did(call, result, time.monotonic() - began)
            if run.outcome is not None:
                return
        run.messages.append(Message("tool", results=tuple(results)))

    def _use(self, run: Run, call: ToolCall) -> ToolResult:
        """Run one call; whatever goes wrong becomes a result that says so."""
        tool = self.tools.get(call.name)
        if call.problem or tool is None:
            unknown = f"unknown tool {call.name!r}; the tools are: {', '.join(self.tools)}"
            return ToolResult(call.id, call.name, call.problem or unknown, is_error=True)
        done = attempt(lambda: _settle(run, call.name, tool.call(self.workspace, call.arguments)))
        if isinstance(done, Failure):
            if not done.repairable:
                run.end("failed", done.message)
            return ToolResult(call.id, call.name, done.message, is_error=True)
        return ToolResult(call.id, call.name, done.value.text, done.value.data, done.value.pictures)

    def _nudge(self, run: Run, reply: Reply) -> None:
        """Ask a model that called no tool to call one; give up after MAX_NUDGES in a row."""
        if run.nudges == MAX_NUDGES:
            said = f": {reply.message.text!r:.200}" if reply.message.text else ""
            return run.end("failed", f"the model called no tool in {MAX_NUDGES + 1} replies in a row{said}")
        run.nudges += 1
        kind = "truncated" if reply.stop == "truncated" else "text" if reply.message.text.strip() else "empty"
        return run.nudge(read_prompt(f"nudge_{kind}"))


def _settle(run: Run, tool: str, presentation: Presentation) -> Presentation:
    """Draw the consequence of a call that worked: the run ends, or it knows a better best so far."""
    data = presentation.data
    if tool == "submit_answer":
        run.end("answered", data["reason"], tuple(run.workspace.instance(mask_id) for mask_id in data["mask_ids"]))
    elif tool == "report_no_match":
        run.end("no_match", data["reason"], ())
    else:
        run.keep_best(data)
    return presentation
