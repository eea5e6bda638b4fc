"""The judge: a second look at an answer, in one call, before it counts."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from sam3_agent.errors import LLMError, ToolError
from sam3_agent.llm.base import Message, Reply
from sam3_agent.loop.dialogue import picture_json
from sam3_agent.loop.prompts import Prompt, read_prompt
from sam3_agent.loop.run import Run
from sam3_agent.loop.verdict import PREFERENCE, VERDICT, Verdict, read_verdict
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec
from sam3_agent.tools.presentation import instance_line
from sam3_agent.workspace import Workspace

ATTEMPTS = 2


def force_call(
    ask: Callable[[Sequence[Message], Sequence[ToolSpec]], Reply], messages: Sequence[Message], tool: ToolSpec
) -> BaseModel | str:
    """Get the checked arguments of the call that the LLM makes of `tool`, or in words why there are none.

    A reply without a usable call is asked for ATTEMPTS times; an LLM that raises LLMError is not asked again.
    """
    why = ""
    for _ in range(ATTEMPTS):
        try:
            reply = ask(messages, (tool,))
        except LLMError as error:
            return str(error)
        call = next((call for call in reply.message.calls if call.name == tool.name), None)
        if call is None or call.problem:
            why = call.problem if call is not None else f"no call of {tool.name}"
            continue
        try:
            return tool.parse(call.arguments)
        except ToolError as error:
            why = str(error)
    return why


JudgeMode = Literal["off", "once", "strict"]
MOST_JUDGED = 3
"""Submissions of one run that a strict judge looks at."""
_WHOLE = 640
"""Longest side of the whole picture: it shows what is missing; the sheets show the details of what is there."""
SHEET = 36
"""Masks on one contact sheet."""
_MASK_ID = re.compile(r"\bm\d+(?:-\w+)?")
_MOST_NAMED = 8
"""Masks outside of the answer that a judge is told of: a reason of one sentence compares with no more."""


class Judge:
    """Asks the LLM, in a conversation of its own, whether an answer is right.

    "once" looks at the first submission of a run, and at a report of no match unless the thing is clearly absent;
    "strict" at up to MOST_JUDGED submissions and at any such report, and it compares two rejected answers that are
    equally bad, in both orders. A judge that gives no verdict rejects nothing.
    """

    def __init__(self, mode: JudgeMode) -> None:
        self.mode = mode

    def wants(self, run: Run, ids: Sequence[str]) -> bool:
        """Whether this submission (of no ids: this report of no match) is to be judged."""
        if self.mode == "off" or (not ids and run.none_judged):
            return False
        if not ids and self.mode == "once":
            return not run.clearly_absent and not run.rejected
        if tuple(ids) in [tuple(before) for before, _ in run.rejected]:
            return False  # the LLM insists
        return len(run.rejected) < (1 if self.mode == "once" else MOST_JUDGED)

    def judge(self, run: Run, ids: Sequence[str], reason: str) -> Verdict:
        """The verdict on an answer; without ids, on the report that nothing matches."""
        if ids:
            words = [f"query: {run.task.query}", f"the answer's reason: {reason or 'none given'}", "the masks:"]
            words += _facts(run.workspace, ids)
            words += _compared(run, ids, reason)
            prompt, pictures = read_prompt("judge"), _pictures(run.workspace, run.task.image_id, ids)
        else:
            run.none_judged = True
            words = [f"query: {run.task.query}", f"the reason why nothing matches: {reason or 'none given'}"]
            words += _compared(run, (), reason)
            prompt = read_prompt("judge_none")
            near = list(run.near)[:SHEET]
            pictures = [run.workspace.look(run.task.image_id, near, style="outline" if near else "plain")]
        answer = self._ask(run, prompt, "\n".join(words), pictures, VERDICT)
        if isinstance(answer, str):
            return Verdict(tuple(ids), {}, missing_because=answer)
        return read_verdict(ids, answer)

    def better(self, run: Run, first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
        """Of two answers the better one, asked in both orders; where the orders disagree, the later one."""
        votes = [self._vote(run, first, second), self._vote(run, second, first)]
        return first if all(list(vote) == list(first) for vote in votes) else second

    def _vote(self, run: Run, left: Sequence[str], right: Sequence[str]) -> Sequence[str]:
        look, image = run.workspace.look, run.task.image_id
        pictures = [look(image, list(ids), style="outline") for ids in (left, right)]
        lines = [f"query: {run.task.query}", f"first answer: {', '.join(left)}", f"second answer: {', '.join(right)}"]
        lines += ["the masks:", *_facts(run.workspace, list(dict.fromkeys((*left, *right))))]
        answer = self._ask(run, read_prompt("compare"), "\n".join(lines), pictures, PREFERENCE)
        return () if isinstance(answer, str) else left if answer.model_dump()["better"] == "first" else right

    def _ask(self, run: Run, prompt: Prompt, words: str, pictures: list[Picture], tool: ToolSpec) -> BaseModel | str:
        """The arguments of the judge's call, or why there are none; the trace shows both."""
        messages = [Message("system", prompt.text), Message("user", words, tuple(pictures))]
        shown: list[Any] = [picture_json(picture, run.keep(picture)) for picture in pictures]
        run.record("judge", 0.0, judge=prompt.id, text=words, pictures=shown)
        answer = force_call(partial(run.ask, kind="verdict"), messages, tool)
        if isinstance(answer, str):
            run.record("error", 0.0, message=f"the judge gave no verdict: {answer}")
        return answer


def _facts(workspace: Workspace, ids: Sequence[str]) -> list[str]:
    facts = workspace.facts(list(ids))
    return [f"  {instance_line(workspace.instance(mask_id), each)}" for mask_id, each in zip(ids, facts, strict=True)]


def _compared(run: Run, ids: Sequence[str], reason: str) -> list[str]:
    """Tell the masks that a reason names beside the answer's own: a judge cannot check "left of m9" without m9."""
    known = {instance.id for instance in run.workspace.masks_of(run.task.image_id)}
    named = [mask_id for mask_id in dict.fromkeys(_MASK_ID.findall(reason)) if mask_id in known and mask_id not in ids]
    return ["named in the reason, not in the answer:", *_facts(run.workspace, named[:_MOST_NAMED])] if named else []


def _pictures(workspace: Workspace, image_id: str, ids: Sequence[str]) -> list[Picture]:
    """Draw the whole image with outlines and ids, and contact sheets of SHEET masks each."""
    sheets = [list(ids[start : start + SHEET]) for start in range(0, len(ids), SHEET)]
    whole = workspace.look(image_id, list(ids), style="marks", longest=_WHOLE)
    return [whole, *(workspace.look(image_id, sheet, style="contact_sheet") for sheet in sheets)]
