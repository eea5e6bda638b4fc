"""The state of one run: its conversation, its price, its trace, the best answer so far."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from sam3_agent.formats.files import plain
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall, ToolResult
from sam3_agent.llm.clock import Clock
from sam3_agent.llm.deadline import Stopped, deadline
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.llm.task import Task
from sam3_agent.loop.budget import DEFAULT_BUDGET, Budget, Meter
from sam3_agent.loop.prompts import Prompt, read_prompt
from sam3_agent.loop.trace import TRACE_VERSION
from sam3_agent.loop.verdict import Verdict
from sam3_agent.render import Picture
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.combine_masks import Combined
from sam3_agent.tools.model_scope import standing_hints
from sam3_agent.tools.read_presence import PresenceReading
from sam3_agent.tools.segment_concepts import Segmented
from sam3_agent.types import Answer, Instance, Outcome, Step, Trace
from sam3_agent.workspace import Workspace

CLEARLY_ABSENT = 0.1
"""Without a near miss, a presence under this is no doubt about "no match": a fifth of the threshold of an instance."""


class Run:
    """One ask, from the first picture to the answer.

    The best so far is what the latest tool call that found masks left: the instances of the first concept that has
    any (LLMs ask for the target first), or the combined mask. A call that finds nothing leaves it as it is. Once
    the judge has rejected an answer, it is what the judge left of that.
    """

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        task: Task,
        budget: Budget = DEFAULT_BUDGET,
        clock: Clock = time.monotonic,
        *,
        stop: Event | None = None,
        keep_pictures: bool = False,
    ) -> None:
        self.workspace = workspace
        self.task = task
        self.system = read_prompt("system")
        self.clock = clock
        self.meter = Meter(clock=clock)
        self.messages: list[Message] = []
        self.best: tuple[Instance, ...] = ()
        self.outcome: Outcome | None = None
        self.reason = ""
        self.nudges = 0
        self.asked: dict[str, float] = {}
        """Concept -> presence, of every concept looked for."""
        self.near: dict[str, None] = {}
        """Ids of near misses, and of what was found under another word than asked for."""
        self.rejected: list[tuple[tuple[str, ...], Verdict]] = []
        """Answers that the judge did not let pass, with why."""
        self.none_judged = False
        self._llm = llm
        self.budget = budget
        self._stop = stop
        self._keep_pictures = keep_pictures
        self._pictures: dict[str, bytes] = {}
        self._told: set[str] = set()
        self._steps: list[Step] = []
        self._prompts = [self.system.id]
        self._encodes = workspace.encodes

    def begin(self, preview: Picture) -> None:
        """Open the conversation."""
        opening = Message("user", self.task.text(preview.scale), (preview,), task=self.task)
        self.messages = [Message("system", self.system.text), opening]
        self.record(
            "start",
            self.meter.seconds,
            version=TRACE_VERSION,
            query=self.task.query,
            image={"id": self.task.image_id, "width": self.task.width, "height": self.task.height},
            model=self.workspace.info.to_json(),
            llm=self._llm.name,
            picture=picture_json(preview, self.keep(preview)),
        )

    def end(self, outcome: Outcome, reason: str, instances: tuple[Instance, ...] | None = None) -> None:
        """Settle the answer; without `instances` it is the best so far."""
        self.outcome, self.reason = outcome, reason
        if instances is not None:
            self.best = instances

    def answer(self) -> Answer:
        """The answer of an ended run, its last step recorded."""
        assert self.outcome is not None
        usage = self.meter.usage(self.workspace.encodes - self._encodes)
        ids = [instance.id for instance in self.best]
        self.record("end", usage.seconds, outcome=self.outcome, reason=self.reason, mask_ids=ids, usage=usage.to_json())
        trace = Trace(tuple(self._steps), dict(self._pictures))
        view = self.workspace.view(self.task.image_id)
        return Answer(self.task.query, self.outcome, self.best, self.reason, usage, trace, view)

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

    def without_told(self, presentation: Presentation) -> Presentation:
        """A tool's words without the standing hints that this run was told before."""
        standing = {f"hint: {hint}" for hint in standing_hints(self.workspace.info)}
        lines = presentation.text.split("\n")
        kept = [line for line in lines if line not in standing & self._told]
        self._told |= standing & set(lines)
        return replace(presentation, text="\n".join(kept))

    def learn(self, result: object) -> None:
        """Remember what a tool call found: concepts, near misses, and the best so far by the rule of this class."""
        found: tuple[Instance, ...] = ()
        match result:
            case Segmented(results=answers, instead=instead):
                others = [each for _, each in instead]
                self.asked |= {each.prompt.label: each.presence for each in (*answers, *others)}
                self.near |= {miss.id: None for each in answers for miss in each.near_misses}
                self.near |= {instance.id: None for each in others for instance in each.instances}
                found = next((each.instances for each in answers if each.instances), ())
            case PresenceReading(presence=presence):
                self.asked |= presence
            case Combined(instances=instances):
                found = instances
            case _:
                pass
        if found and not self.rejected:
            self.best = found

    def reject(self, ids: Sequence[str], verdict: Verdict) -> None:
        """Remember an answer that the judge did not let pass."""
        self.rejected.append((tuple(ids), verdict))
        left = [mask_id for mask_id in ids if mask_id not in verdict.rejected] or list(ids)
        if left:
            self.best = tuple(self.workspace.instance(mask_id) for mask_id in left)

    @property
    def clearly_absent(self) -> bool:
        """Whether nothing that was looked for came near: no near miss, and no presence worth a second look."""
        return bool(self.asked) and not self.near and max(self.asked.values()) < CLEARLY_ABSENT

    def looked_for(self, reason: str) -> str:
        """The reason of "no match", with the concepts looked for where it names none of them."""
        if not self.asked or any(concept in reason for concept in self.asked):
            return reason
        told = [f"'{concept}' (presence {presence:.2f})" for concept, presence in list(self.asked.items())[:6]]
        more = [f"{len(self.asked) - len(told)} more"] if len(self.asked) > len(told) else []
        return f"{reason or 'nothing fits'}; looked for {', '.join([*told, *more])}"


def picture_json(picture: Picture, key: str = "") -> dict[str, Any]:
    """Describe a picture for a trace: caption, (width, height) in pixels, scale, and its key where it is kept."""
    known = {"caption": picture.caption, "size": list(picture.size), "scale": picture.scale}
    return {**known, "key": key} if key else known


def _call_json(call: ToolCall) -> dict[str, Any]:
    known = {"id": call.id, "name": call.name, "args": call.arguments}
    return {**known, "problem": call.problem} if call.problem else known
