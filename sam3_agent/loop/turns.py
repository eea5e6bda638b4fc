"""Turns of a run: ask the LLM, do what it calls for, until the run has ended."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sam3_agent.errors import Cancelled, LLMError, ModelUnavailable, ToolError
from sam3_agent.llm.base import Message, Reply, ToolCall, ToolResult
from sam3_agent.llm.deadline import Stopped
from sam3_agent.loop.dialogue import Dialogue
from sam3_agent.loop.history import as_shown, share_pictures
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.model.request_context import calling
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.types import INTERRUPTED
from sam3_agent.workspace import Workspace

logger = logging.getLogger(__name__)
T = TypeVar("T")
Running = TypeVar("Running", bound=Dialogue)


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of an act; `repairable` when the model can do something about it and should be told."""

    message: str
    repairable: bool = False


@dataclass(frozen=True, slots=True)
class Success(Generic[T]):
    """Value of an act that worked."""

    value: T


def attempt(act: Callable[[], T]) -> Success[T] | Failure:
    """Call `act` and return what it gives or how it failed; only KeyboardInterrupt and its kin pass through.

    A missing or exhausted model (ModelUnavailable) is not repairable: a model that is told of it could only answer
    "no match", which would be a lie.
    """
    try:
        return Success(act())
    except ToolError as error:
        return Failure(str(error), repairable=True)
    except (Cancelled, LLMError, ModelUnavailable) as error:
        return Failure(str(error))
    except Exception as error:  # the documented border: a bug in one tool or LLM must not end a run
        logger.warning("internal error in a run", exc_info=True)
        return Failure(f"internal error: {type(error).__name__}: {error}", repairable=True)


MAX_NUDGES = 2
"""A model that called no tool in three replies in a row has not called one in the tenth either, in all trials."""
MAX_CALLS = 32
"""Calls of one reply that are made; sound replies have up to 8, a broken model was seen to send 1,000."""


def _one_too_many(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, f"not made: {MAX_CALLS} calls a reply at most; send it again", is_error=True)


@dataclass(frozen=True, slots=True)
class _Made:
    """Call that was made, with its result, how long it took and when it was over, in seconds of the run."""

    call: ToolCall
    result: ToolResult
    seconds: float
    at: float


_ENDING = ("submit_", "report_")
"""The tools that may end a run begin so."""


class Turns(Generic[Running]):
    """Turns with some tools over a workspace; `settle` draws the consequence of a call that worked."""

    def __init__(
        self, workspace: Workspace, tools: Sequence[ToolSpec], settle: Callable[[Running, Presentation], Presentation]
    ) -> None:
        self.workspace = workspace
        self.tools: dict[str, ToolSpec] = {tool.name: tool for tool in tools}
        self._settle = settle

    def take(self, run: Running, begin: Callable[[Running], None]) -> None:
        """Begin, and take turns until the run has an outcome; Ctrl-C is one."""
        try:
            self._survive(run, begin)
            while run.outcome is None:
                self._survive(run, self._turn)
        except (KeyboardInterrupt, Stopped):
            run.end("budget", INTERRUPTED)

    def _survive(self, run: Running, act: Callable[[Running], None]) -> None:
        """Do one part of the run; if it fails, the run ends with the best so far."""
        began = run.clock()
        done = attempt(lambda: act(run))
        if isinstance(done, Failure):
            run.record("error", run.clock() - began, message=done.message)
            spent = run.budget.spent(run.meter)  # a deadline cuts calls short: that is the budget, not the LLM
            run.end("budget" if spent else "failed", spent or done.message)

    def _turn(self, run: Running) -> None:
        """Take one reply of the LLM, with the tools that it calls."""
        if spent := run.budget.spent(run.meter):
            return run.end("budget", spent)
        run.meter.turns += 1
        reply = run.ask(as_shown(run.messages), tuple(self.tools.values()))
        run.messages.append(reply.message)
        if reply.stop == "refused":
            return run.end("failed", f"the model refused: {reply.note or reply.message.text or 'no reason given'}")
        if not reply.message.calls:
            return self._nudge(run, reply)
        run.nudges = 0
        return self._act(run, reply.message.calls)

    def _act(self, run: Running, calls: tuple[ToolCall, ...]) -> None:
        """Run the calls of one turn in order, up to one that ends the run."""
        told: list[ToolResult] = []
        made: list[_Made] = []
        try:
            for number, call in enumerate(calls):
                if spent := run.budget.time_spent(run.meter):
                    return run.end("budget", spent)
                if call.name.startswith(_ENDING):  # a judge comes after what was found in the trace, too
                    told += self._tell(run, made)
                    made = []
                began = run.clock()
                result = self._use(run, call) if number < MAX_CALLS else _one_too_many(call)
                made.append(_Made(call, result, run.clock() - began, run.meter.seconds))
                if run.outcome is not None:
                    return None
        finally:
            told += self._tell(run, made)
        run.messages.append(Message("tool", results=tuple(told)))
        return None

    def _tell(self, run: Running, made: Sequence[_Made]) -> Sequence[ToolResult]:
        """The results as the LLM gets them, recorded: those that mark the same image share a picture."""
        results = tuple(each.result for each in made)
        shared = attempt(lambda: share_pictures(self.workspace, results))
        results = shared.value if isinstance(shared, Success) else results
        for each, result in zip(made, results, strict=True):
            run.did(each.call, result, each.seconds, each.at)
        return results

    def _use(self, run: Running, call: ToolCall) -> ToolResult:
        """Run one call, no longer than the run may last; whatever goes wrong becomes a result that says so."""
        tool = self.tools.get(call.name)
        if call.problem or tool is None:
            unknown = f"unknown tool {call.name!r}; the tools are: {', '.join(self.tools)}"
            return ToolResult(call.id, call.name, call.problem or unknown, is_error=True)
        with calling(seconds=run.budget.seconds_left(run.meter)):
            done = attempt(lambda: self._settle(run, tool.call(self.workspace, call.arguments, run, run.known)))
        if isinstance(done, Failure):
            if not done.repairable:
                run.end("failed", done.message)
            return ToolResult(call.id, call.name, done.message, is_error=True)
        shown = done.value
        return ToolResult(call.id, call.name, shown.text, shown.data, shown.pictures, result=shown.result)

    def _nudge(self, run: Running, reply: Reply) -> None:
        """Ask a model that called no tool to call one; give up after MAX_NUDGES in a row."""
        if run.nudges == MAX_NUDGES:
            said = reply.message.text.strip() or reply.note
            quoted = f": {said!r:.200}" if said else ""
            return run.end("failed", f"the model called no tool in {MAX_NUDGES + 1} replies in a row{quoted}")
        run.nudges += 1
        kind = "truncated" if reply.stop == "truncated" else "text" if reply.message.text.strip() else "empty"
        return run.nudge(read_prompt(f"nudge_{kind}"))
