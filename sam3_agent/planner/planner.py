"""A brain without an LLM: parses the query once more at each reply and goes on from what the tools have said."""

from collections.abc import Sequence

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.task import Task, read_task
from sam3_agent.planner.aggregate_answers import phrases_of_census, take_census
from sam3_agent.planner.aggregate_queries import Census
from sam3_agent.planner.lexicon import INVENTORY
from sam3_agent.planner.observations import Evidence, Thing, read_evidence
from sam3_agent.planner.parse import parse_query
from sam3_agent.planner.query_ast import Plan
from sam3_agent.planner.select import Chooser, NoMatch
from sam3_agent.tools import ToolSpec

MOST_CONCEPTS = 16
"""What one tool call takes; longer lists are split over several calls of one turn."""
MOST_TURNS = 6
"""Presence, segments, measures, end: more turns would mean that the eye does not answer what was asked."""


class RulesLLM:
    """The planner without an LLM, acting through the same tools; free, instant and limited.

    It keeps no state: each reply is computed from the messages alone. What it does not understand it refuses with an
    LLMError that names the part; it does not guess.
    """

    @property
    def name(self) -> str:
        """The spec that loads it."""
        return "rules"

    @property
    def sees(self) -> bool:
        """It reads numbers, no pictures."""
        return False

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next calls: segment, measure, end."""
        task = next((read_task(message) for message in messages if message.role == "user"), None)
        if task is None:
            raise LLMError("there is no task in the conversation")
        if sum(message.role == "assistant" for message in messages) >= MOST_TURNS:
            raise LLMError(f"the rules planner came to no end in {MOST_TURNS} turns")
        failed = [result for message in messages for result in message.results if result.is_error]
        if failed:
            raise LLMError(f"the rules planner's {failed[-1].name} failed: {failed[-1].text}")
        plan = parse_query(task.query)
        evidence = read_evidence(messages)
        turn = sum(message.role == "assistant" for message in messages) + 1
        calls = _census(plan, task, evidence) if isinstance(plan, Census) else _plan(plan, task, evidence)
        named = tuple(
            ToolCall(f"rules-{turn}-{number}", name, arguments) for number, (name, arguments) in enumerate(calls, 1)
        )
        return Reply(Message("assistant", calls=named))


_Call = tuple[str, dict[str, object]]


def _plan(plan: Plan, task: Task, evidence: Evidence) -> list[_Call]:
    """The next calls of a plan."""
    missing = [phrase for phrase in plan.phrases if phrase not in evidence.looked]
    if missing:
        return _ask("segment_concepts", task, missing)
    simple = len(plan.phrases) == 1 and all(part.is_plain for part in plan.parts)
    if evidence.ids and not evidence.measured and not simple:
        return [("measure_masks", {"image_id": task.image_id, "mask_ids": evidence.ids})]
    chooser = Chooser(evidence, task.width, task.height)
    try:
        return [_submit(chooser.choose(plan), "; ".join(chooser.notes))]
    except NoMatch as none:
        return [_no_match(none)]


def _census(census: Census, task: Task, evidence: Evidence) -> list[_Call]:
    """The next calls of a census."""
    if census.by != "colour" and not evidence.presence:
        return _ask("read_presence", task, INVENTORY)
    missing = [phrase for phrase in phrases_of_census(census, evidence.presence) if phrase not in evidence.looked]
    if missing:
        return _ask("segment_concepts", task, missing)
    try:
        return [_submit(*take_census(census, evidence))]
    except NoMatch as none:
        return [_no_match(none)]


def _ask(tool: str, task: Task, phrases: Sequence[str]) -> list[_Call]:
    chunks = [list(phrases[start : start + MOST_CONCEPTS]) for start in range(0, len(phrases), MOST_CONCEPTS)]
    return [(tool, {"image_id": task.image_id, "concepts": chunk}) for chunk in chunks]


def _submit(things: Sequence[Thing], reason: str) -> _Call:
    return "submit_answer", {"mask_ids": [thing.id for thing in things], "reason": reason}


def _no_match(none: NoMatch) -> _Call:
    return "report_no_match", {"reason": str(none)}
