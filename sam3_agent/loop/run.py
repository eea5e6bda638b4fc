"""The state of one run: its conversation, its price, its trace, the best answer so far."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from sam3_agent.llm.base import LLM, Message
from sam3_agent.llm.clock import Clock
from sam3_agent.llm.task import Task
from sam3_agent.loop.budget import DEFAULT_BUDGET, Budget
from sam3_agent.loop.dialogue import Dialogue, picture_json
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.trace import TRACE_VERSION
from sam3_agent.loop.verdict import Verdict
from sam3_agent.render import Picture
from sam3_agent.tools import Presentation
from sam3_agent.tools.combine_masks import Combined
from sam3_agent.tools.model_scope import standing_hints
from sam3_agent.tools.read_presence import PresenceReading
from sam3_agent.tools.segment_concepts import Segmented
from sam3_agent.types import Answer, Instance, Outcome
from sam3_agent.workspace import Workspace

CLEARLY_ABSENT = 0.1
"""Without a near miss, a presence under this is no doubt about "no match": a fifth of the threshold of an instance."""


class Run(Dialogue):
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
        super().__init__(workspace, llm, read_prompt("system"), budget, clock, stop=stop, keep_pictures=keep_pictures)
        self.task = task
        self.best: tuple[Instance, ...] = ()
        self.asked: dict[str, float] = {}
        """Concept -> presence, of every concept looked for."""
        self.near: dict[str, None] = {}
        """Ids of near misses, and of what was found under another word than asked for."""
        self.rejected: list[tuple[tuple[str, ...], Verdict]] = []
        """Answers that the judge did not let pass, with why."""
        self.none_judged = False
        self._told: set[str] = set()

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
        super().end(outcome, reason)
        if instances is not None:
            self.best = instances

    def answer(self) -> Answer:
        """The answer of an ended run, its last step recorded."""
        assert self.outcome is not None
        usage = self.meter.usage(self.workspace.encodes - self._encodes)
        ids = [instance.id for instance in self.best]
        self.record("end", usage.seconds, outcome=self.outcome, reason=self.reason, mask_ids=ids, usage=usage.to_json())
        view = self.workspace.view(self.task.image_id)
        return Answer(self.task.query, self.outcome, self.best, self.reason, usage, self.trace, view)

    @property
    def known(self) -> Mapping[str, Any]:
        """The image that the run is about."""
        return {"image_id": self.task.image_id}

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
