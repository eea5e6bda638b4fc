"""The conversation of a run with its price and its trace, whatever it is about."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

from sam3_agent.formats.files import plain
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall, ToolResult
from sam3_agent.llm.clock import Clock
from sam3_agent.llm.deadline import Stopped, deadline
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.loop.budget import Budget, Meter
from sam3_agent.loop.prompts import Prompt
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec
from sam3_agent.types import Outcome, Step, Trace
from sam3_agent.workspace import Workspace


class Dialogue:
    """Messages, meter, steps and outcome of one run; what it finds is kept by the runs made of it."""

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        system: Prompt,
        budget: Budget,
        clock: Clock = time.monotonic,
        *,
        stop: Event | None = None,
        keep_pictures: bool = False,
    ) -> None:
        self.workspace = workspace
        self.system = system
        self.clock = clock
        self.meter = Meter(clock=clock)
        self.messages: list[Message] = []
        self.outcome: Outcome | None = None
        self.reason = ""
        self.nudges = 0
        self.budget = budget
        self._llm = llm
        self._stop = stop
        self._keep_pictures = keep_pictures
        self._pictures: dict[str, bytes] = {}
        self._steps: list[Step] = []
        self._prompts = [system.id]
        self._encodes = workspace.encodes

    def end(self, outcome: Outcome, reason: str) -> None:
        """Settle how it ends; the answer is the best so far."""
        self.outcome, self.reason = outcome, reason

    @property
    def wanted(self) -> bool:
        """Whether long work of a tool is to go on: nobody has stopped the run, and its time is not over."""
        return not (self._stop is not None and self._stop.is_set()) and not self.budget.time_spent(self.meter)

    def note(self, done: int, total: int, words: str) -> None:
        """Be told how far long work of a tool is (see `Watch`): it is recorded when it has ended."""

    @property
    def trace(self) -> Trace:
        """Everything that was recorded so far."""
        return Trace(tuple(self._steps), dict(self._pictures))

    def record(self, kind: str, seconds: float, **data: Any) -> None:
        """Add a step to the trace: how long it took, when it was over, which prompts were in force."""
        known = {"at": round(self.meter.seconds, 4), "prompts": self._prompts, **data}
        self._steps.append(Step(kind, round(seconds, 4), plain(known)))

    def keep(self, picture: Picture) -> str:
        """Keep a picture's file for the trace and return its key; "" where pictures are not kept."""
        if not self._keep_pictures:
            return ""
        data = jpeg(picture)
        key = hashlib.sha256(data).hexdigest()[:16]
        self._pictures[key] = data
        return key

    def ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec], kind: str = "reply") -> Reply:
        """Get the LLM's next reply, counted and recorded as a step of this kind; what is no reply counts as empty.

        Raises:
            LLMError: it could not be reached, or the run's time is over.
            Stopped: the run was told to stop.
        """
        if self._stop is not None and self._stop.is_set():
            raise Stopped
        self.meter.llm_calls += 1
        began = self.clock()
        with deadline(self.budget.seconds_left(self.meter), self._stop):
            reply = self._llm.reply(tuple(messages), tuple(tools))
        if not isinstance(reply, Reply):  # pyright: ignore[reportUnnecessaryIsInstance] - LLMs are plugs
            reply = Reply(Message("assistant"), note=f"replied with {type(reply).__name__}, expected a Reply")
        self.meter.count(reply)
        self.record(
            kind,
            self.clock() - began,
            thoughts=reply.thoughts,
            text=reply.message.text,
            calls=[_call_json(call) for call in reply.message.calls],
            stop=reply.stop,
            note=reply.note,
            input_tokens=reply.input_tokens,
            cached_tokens=reply.cached_tokens,
            output_tokens=reply.output_tokens,
            usd=reply.usd,
            faults=list(reply.faults),
        )
        return reply

    @property
    def known(self) -> Mapping[str, Any]:
        """Arguments of tools that the run knows, so that the LLM need not give them."""
        return {}

    def did(self, call: ToolCall, result: ToolResult, seconds: float, at: float) -> None:
        """Take in what a tool did, which took so long and was over `at` seconds of the run."""
        pictures = [picture_json(picture, self.keep(picture)) for picture in result.pictures]
        self.record(
            "tool",
            seconds,
            at=round(at, 4),
            **_call_json(call),
            text=result.text,
            data=result.data,
            is_error=result.is_error,
            pictures=pictures,
        )

    def nudge(self, prompt: Prompt) -> None:
        """Say something to the LLM that no tool said."""
        self.messages.append(Message("user", prompt.text))
        self._prompts = [*self._prompts, prompt.id]
        self.record("nudge", 0.0, nudge=prompt.id)


def picture_json(picture: Picture, key: str = "") -> dict[str, Any]:
    """Describe a picture for a trace: caption, (width, height) in pixels, scale, and its key where it is kept."""
    known = {"caption": picture.caption, "size": list(picture.size), "scale": picture.scale}
    return {**known, "key": key} if key else known


def _call_json(call: ToolCall) -> dict[str, Any]:
    known = {"id": call.id, "name": call.name, "args": call.arguments}
    return {**known, "problem": call.problem} if call.problem else known
