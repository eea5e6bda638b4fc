"""The state of one run: its conversation, its price, its trace, the best answer so far."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from sam3_agent.formats.files import plain
from sam3_agent.llm.base import Message, Reply, ToolCall, ToolResult
from sam3_agent.llm.clock import Clock
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.llm.task import Task
from sam3_agent.loop.budget import Meter
from sam3_agent.loop.prompts import Prompt
from sam3_agent.loop.trace import TRACE_VERSION
from sam3_agent.loop.verdict import Verdict
from sam3_agent.render import Picture
from sam3_agent.types import Answer, Instance, Outcome, Step, Trace
from sam3_agent.workspace import Workspace


class Run:
    """One ask, from the first picture to the answer.

    The best so far is what the latest tool call that found masks left: the instances of the first concept that has
    any (LLMs ask for the target first), or the combined mask. A call that finds nothing leaves it as it is. Once
    the judge has rejected an answer, it is what the judge left of that.
    """

    def __init__(
        self,
        workspace: Workspace,
        task: Task,
        system: Prompt,
        clock: Clock = time.monotonic,
        *,
        keep_pictures: bool = False,
    ) -> None:
        self.workspace = workspace
        self.task = task
        self.system = system
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
        """Ids of near misses."""
        self.rejected: list[tuple[tuple[str, ...], Verdict]] = []
        """Answers that the judge did not let pass, with why."""
        self.none_judged = False
        self._keep_pictures = keep_pictures
        self._pictures: dict[str, bytes] = {}
        self._steps: list[Step] = []
        self._prompts = [system.id]
        self._encodes = workspace.encodes

    def begin(self, preview: Picture, *, llm: str) -> None:
        """Open the conversation."""
        self.messages = [Message("system", self.system.text), self.task.message(preview)]
        self.record(
            "start",
            self.meter.seconds,
            version=TRACE_VERSION,
            query=self.task.query,
            image={"id": self.task.image_id, "width": self.task.width, "height": self.task.height},
            model=self.workspace.info.to_json(),
            llm=llm,
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

    def heard(self, reply: Reply, seconds: float, *, kind: str = "reply") -> None:
        """Count a reply and record it; the LLM's own ("reply") also continues the conversation."""
        self.meter.count(reply)
        if kind == "reply":
            self.messages.append(reply.message)
        self.record(
            kind,
            seconds,
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

    def did(self, call: ToolCall, result: ToolResult, seconds: float) -> None:
        """Take in what a tool did."""
        pictures = [picture_json(picture, self.keep(picture)) for picture in result.pictures]
        self.record(
            "tool",
            seconds,
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

    def learn(self, data: dict[str, Any]) -> None:
        """Remember what a tool call found: concepts, near misses, and the best so far by the rule of this class."""
        for result in data.get("results", ()):
            self.asked[str(result["concept"])] = float(result["presence"])
            self.near |= {str(miss["id"]): None for miss in result.get("near_misses", ())}
        self.asked |= {str(concept): float(value) for concept, value in data.get("presence", {}).items()}
        if not self.rejected and (found := tuple(self.workspace.instance(mask_id) for mask_id in _found_ids(data))):
            self.best = found

    def reject(self, ids: Sequence[str], verdict: Verdict) -> None:
        """Remember an answer that the judge did not let pass."""
        self.rejected.append((tuple(ids), verdict))
        left = [mask_id for mask_id in ids if mask_id not in verdict.rejected] or list(ids)
        if left:
            self.best = tuple(self.workspace.instance(mask_id) for mask_id in left)

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


def _found_ids(data: dict[str, Any]) -> list[str]:
    if "mask" in data:
        return [str(data["mask"]["id"])]
    for result in data.get("results", ()):
        if result.get("instances"):
            return [str(instance["id"]) for instance in result["instances"]]
    return []


def _call_json(call: ToolCall) -> dict[str, Any]:
    known = {"id": call.id, "name": call.name, "args": call.arguments}
    return {**known, "problem": call.problem} if call.problem else known
