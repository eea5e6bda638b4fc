"""Planner behind the LLM protocol: parses the query at each reply and goes on from what the tools have reported."""

from collections import Counter
from collections.abc import Sequence

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.task import Task, VideoTask
from sam3_agent.planner.aggregate_queries import By, Census
from sam3_agent.planner.lexicon import INVENTORY
from sam3_agent.planner.observations import SAME_BOX, Evidence, Thing, box_iou, distinct, read_evidence
from sam3_agent.planner.parse import parse_query
from sam3_agent.planner.query_ast import BeyondRules, Plan
from sam3_agent.planner.select import Chooser, NoMatch
from sam3_agent.planner.video.planner import video_calls
from sam3_agent.tools import ToolSpec

EVERYTHING = "object"
PRESENT = 0.5
"""From this presence on a noun of the inventory is segmented: the segmenter's own default threshold."""
MOST_NOUNS = 20
"""Nouns segmented at once for a census: scenes hold fewer kinds, and each costs a decoder pass."""
AS_GOOD = 0.6
"""A thing counts among the majority's kind when it scores at least this share of its best score as one of them."""
LEAKED = 0.02
"""A mask with at least this share outside of its own box is cut to it: on 1,070 masks of the tiny model that takes the
mean IoU from .772 to .789 and worsens one in a hundred by more than .02."""
MOST_DOUBTFUL = 3
"""Among more things unlike the rest, none is the odd one out by far."""
LEAST_ALIKE = 0.6
"""The odd one stands out from a majority of at least this share of all things."""


def phrases_of_census(census: Census, presence: dict[str, float]) -> tuple[str, ...]:
    """List what to segment: every object, and the nouns that seem to be there; colors are read off pixels."""
    present = sorted((noun for noun, value in presence.items() if value >= PRESENT), key=lambda n: -presence[n])
    return (EVERYTHING, *(present[:MOST_NOUNS] if census.by != "color" else ()))


def take_census(census: Census, evidence: Evidence) -> tuple[list[Thing], str]:
    """Find the group that the query means, and say why.

    Raises:
        NoMatch: no group is of that size, or several are.
        BeyondRules: two things stand out, each in its way.
    """
    if census.by == "look":
        return _odd_one(_apart(evidence.things.get(EVERYTHING, ())), evidence)
    things = distinct(thing for found in evidence.things.values() for thing in found)
    values = _values(things, census.by, evidence)
    counts = Counter(value for value in values if value)
    said = ", ".join(f"{value} {count}" for value, count in counts.most_common()) or "nothing found"
    sizes = sorted(counts.values())
    size = {"most": sizes[-1:], "least": sizes[:1]}[census.often] if isinstance(census.often, str) else [census.often]
    chosen = [value for value, count in counts.items() if [count] == size]
    often = f"{census.often} times" if isinstance(census.often, int) else f"the {census.often}"
    if len(chosen) != 1:
        raise NoMatch(f"{len(chosen)} {census.by}s are there {often}: {said}")
    group = [thing for thing, value in zip(things, values, strict=True) if value == chosen[0]]
    return group, f"the {census.by} that is there {often} is {chosen[0]} ({said})"


def _odd_one(things: list[Thing], evidence: Evidence) -> tuple[list[Thing], str]:
    """Find the one thing whose kind or color nobody shares, where nearly all the others share theirs."""
    odd: dict[str, str] = {}
    for by in ("color", "kind"):
        values = _values(things, by, evidence)
        if len(things) <= 2 or len(set(values)) < 2:
            continue
        common, many = Counter(values).most_common(1)[0]
        alone = [(thing, value) for thing, value in zip(things, values, strict=True) if value != common]
        if many / len(things) >= LEAST_ALIKE and (chosen := _surest(alone, common, by)) is not None:
            value = values[things.index(chosen)]
            odd.setdefault(chosen.id, f"the only {value or f'unknown {by}'} among {len(things)} objects")
    if len(odd) > 1:
        raise BeyondRules(f"an odd one out by kind and by color at once ({', '.join(odd)})")
    if not odd:
        raise NoMatch(f"none of {len(things)} objects is alone in its kind or color")
    found, reason = next(iter(odd.items()))
    return [thing for thing in things if thing.id == found], reason


def _surest(alone: Sequence[tuple[Thing, str]], common: str, by: By) -> Thing | None:
    """Choose the one thing unlike the rest; of several by kind, the one that is so by far; None if unclear."""
    if len(alone) == 1:
        return alone[0][0]
    if by == "color" or len(alone) > MOST_DOUBTFUL:
        return None
    margins = [(t.scores.get(noun, 0.0) - t.scores.get(common, 0.0), t) for t, noun in alone]
    margins.sort(key=lambda pair: -pair[0])
    return margins[0][1] if margins[0][0] >= 2 * max(margins[1][0], 0.1) else None


def _values(things: Sequence[Thing], by: By, evidence: Evidence) -> list[str]:
    """List the color of each thing's pixels, or the noun looked for that fits it best; "" where none fits."""
    if by == "color":
        return [thing.color for thing in things]
    nouns = [phrase for phrase in evidence.looked if phrase != EVERYTHING]
    best = [max((n for n in nouns if n in t.scores), key=lambda n, t=t: t.scores[n], default="") for t in things]
    counts = Counter(noun for noun in best if noun)
    if not counts:
        return best
    common = counts.most_common(1)[0][0]
    return [_leaning(thing, noun, common) for thing, noun in zip(things, best, strict=True)]


def _apart(things: Sequence[Thing]) -> list[Thing]:
    """Drop the things that lie on a better one."""
    kept: list[Thing] = []
    for thing in things:
        if all(box_iou(thing.box, other.box) < SAME_BOX for other in kept):
            kept.append(thing)
    return kept


def _leaning(thing: Thing, noun: str, common: str) -> str:
    """Return `common` where it fits nearly as well as the best noun: confusions are mostly with what is common."""
    if not noun or noun == common:
        return noun
    return common if thing.scores.get(common, 0.0) >= AS_GOOD * thing.scores[noun] else noun


MOST_CONCEPTS = 16
"""Concepts in one tool call; longer lists are split over several calls of one turn."""
MOST_TURNS = 6
"""Presence, segments, measures, end: more turns would mean that the model does not answer what was asked."""


class RulesLLM:
    """Planner without an LLM, acting through the same tools; free, instant and limited.

    It keeps no state: each reply is computed from the messages alone. What it does not understand it refuses with an
    LLMError that names the part; it does not guess.
    """

    @property
    def name(self) -> str:
        """Spec that loads it."""
        return "rules"

    @property
    def sees(self) -> bool:
        """False: it reads numbers, no images."""
        return False

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Return the next calls: segment, measure, clean, end."""
        task = next((message.task for message in messages if message.task is not None), None)
        if task is None:
            raise LLMError("there is no task in the conversation")
        if sum(message.role == "assistant" for message in messages) >= MOST_TURNS:
            raise LLMError(f"the rules planner came to no end in {MOST_TURNS} turns")
        results = [result for message in messages for result in message.results]
        failed = [result for result in results if result.is_error and result.name != "combine_masks"]
        if failed:
            raise LLMError(f"the rules planner's {failed[-1].name} failed: {failed[-1].text}")
        turn = sum(message.role == "assistant" for message in messages) + 1
        calls = video_calls(task, results) if isinstance(task, VideoTask) else _image_calls(task, messages)
        named = tuple(
            ToolCall(f"rules-{turn}-{number}", name, arguments) for number, (name, arguments) in enumerate(calls, 1)
        )
        return Reply(Message("assistant", calls=named))


_Call = tuple[str, dict[str, object]]


def _image_calls(task: Task, messages: Sequence[Message]) -> list[_Call]:
    """Return the next calls about an image."""
    plan, evidence = parse_query(task.query), read_evidence(messages)
    return _census(plan, task, evidence) if isinstance(plan, Census) else _plan(plan, task, evidence)


def _plan(plan: Plan, task: Task, evidence: Evidence) -> list[_Call]:
    """Return the next calls of a plan."""
    missing = [phrase for phrase in plan.phrases if phrase not in evidence.looked]
    if missing:
        return _ask("segment_concepts", task, missing)
    simple = len(plan.phrases) == 1 and all(part.is_plain for part in plan.parts)
    if evidence.ids and not evidence.measured and not simple:
        return [("measure_masks", {"image_id": task.image_id, "mask_ids": evidence.ids})]
    chooser = Chooser(evidence, task.width, task.height)
    try:
        chosen = chooser.choose(plan)
    except NoMatch as none:
        return [_no_match(none)]
    return _clean(chosen, evidence) or [_submit(chosen, evidence, "; ".join(chooser.notes))]


def _clean(things: Sequence[Thing], evidence: Evidence) -> list[_Call]:
    """List calls that cut masks that have leaked to their own boxes; none where all are clean or were cut."""
    leaked = [thing.id for thing in things if thing.outside >= LEAKED and thing.id not in evidence.cleaned]
    return [("combine_masks", {"mask_ids": [mask_id], "operation": "in_box"}) for mask_id in leaked]


def _census(census: Census, task: Task, evidence: Evidence) -> list[_Call]:
    """Return the next calls of a census."""
    if census.by != "color" and not evidence.presence:
        return _ask("read_presence", task, INVENTORY)
    missing = [phrase for phrase in phrases_of_census(census, evidence.presence) if phrase not in evidence.looked]
    if missing:
        return _ask("segment_concepts", task, missing)
    try:
        chosen, reason = take_census(census, evidence)
    except NoMatch as none:
        return [_no_match(none)]
    return _clean(chosen, evidence) or [_submit(chosen, evidence, reason)]


def _ask(tool: str, task: Task, phrases: Sequence[str]) -> list[_Call]:
    chunks = [list(phrases[start : start + MOST_CONCEPTS]) for start in range(0, len(phrases), MOST_CONCEPTS)]
    return [(tool, {"image_id": task.image_id, "concepts": chunk}) for chunk in chunks]


def _submit(things: Sequence[Thing], evidence: Evidence, reason: str) -> _Call:
    cleaned = [thing.id for thing in things if evidence.cleaned.get(thing.id, thing.id) != thing.id]
    said = f"{reason}; cut to its box: {', '.join(cleaned)}" if cleaned else reason
    return "submit_answer", {"mask_ids": [evidence.cleaned.get(thing.id, thing.id) for thing in things], "reason": said}


def _no_match(none: NoMatch) -> _Call:
    return "report_no_match", {"reason": str(none)}
