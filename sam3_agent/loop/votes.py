"""Votes: one question asked several times, the answer that most of them give, and how far they agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sam3_agent import masks
from sam3_agent.loop.budget import Budget
from sam3_agent.types import Answer, Instance, Outcome, Step, Trace, Usage

MAX_VOTES = 15
"""Each vote costs a whole run, and an odd answer in fifteen is outvoted as surely as one in fifty."""
AGREE = 0.9
"""IoU of two answers from which on they mean the same objects: masks of one object that was found under two phrases
have .93 to 1 on the embedded model, and one wrong object of ten brings two answers under it."""
LEAD = 2
"""Votes ahead: where wrong answers are few, they agree with each other too. With an LLM that is right with probability
.78 and wrong in one way, the first two that agree are right in .88 of the queries at 2.3 runs, a lead of two in .91 at
2.8."""
SAME_MASK = 0.7
"""IoU from which on masks of two answers are one object, as in `mask_facts.SAME_OBJECT`."""

MOST_RIVALS = 4
"""Answers in a tournament; each but the first costs two calls, one an order."""
Ask = Callable[[Budget], Answer]
"""Asks once more, within what is left of the budget."""
Prefer = Callable[[Answer, Answer], tuple[Answer, Usage]]
"""Compares two rival answers, the more typical one first; gives the better one and what the comparison cost."""


@dataclass(frozen=True, slots=True)
class Majority:
    """Answer that the votes add up to."""

    nearest: Answer
    """Of the single answers the one that is most like it."""
    instances: tuple[Instance, ...]
    compared: Usage | None = None
    """Cost of comparing rivals, where no mask had a majority."""


def poll(ask: Ask, budget: Budget, most: int, prefer: Prefer) -> Answer:
    """Ask up to `most` times and return what most answers say.

    Two answers that agree (same outcome, IoU of AGREE) end it at once if no third disagrees, else a lead of two or more
    than half of `most`. Without such a lead, a mask counts that more than half of the votes have; where none has, the
    answers that differ meet in a tournament, the one with the most in common with the others first: `prefer` compares
    each with the best so far. Failed runs have no vote. `usage` is that of all runs; `agreement` the mean IoU of the
    answer with each vote, 1 where both say that there is no match.
    """
    answers: list[Answer] = []
    left: Budget | None = budget
    while left is not None and len(answers) < most:
        answer = ask(left)
        answers.append(answer)
        if answer.interrupted or leading(votes_of(answers), most) is not None:
            break
        left = budget.less(total([each.usage for each in answers]))
    return _counted(answers, most, prefer)


def votes_of(answers: Sequence[Answer]) -> list[Answer]:
    """The answers that count: those that ended by themselves, else those that a budget ended."""
    whole = [answer for answer in answers if answer.outcome in ("answered", "no_match")]
    return whole or [answer for answer in answers if answer.outcome == "budget" and answer.instances]


def leading(votes: Sequence[Answer], most: int) -> Answer | None:
    """An answer that two votes more agree with than with any other, or more than half of all that there may be."""
    groups: list[list[Answer]] = []
    for vote in votes:
        same = next((group for group in groups if agree(vote, group[0])), None)
        if same is None:
            groups.append([vote])
        else:
            same.append(vote)
    groups.sort(key=len, reverse=True)
    if not groups:
        return None
    count, second = len(groups[0]), len(groups[1]) if len(groups) > 1 else 0
    return groups[0][0] if count - second >= LEAD or 2 * count > most else None


def agree(first: Answer, second: Answer) -> bool:
    """Whether two answers mean the same."""
    return first.outcome == second.outcome and overlap(first.instances, second.instances) >= AGREE


def overlap(first: Sequence[Instance], second: Sequence[Instance]) -> float:
    """IoU of the unions of two sets of masks; 1 where both are empty."""
    if not first or not second:
        return float(not first and not second)
    unions = [masks.union([instance.rle for instance in each]) for each in (first, second)]
    return float(masks.iou(unions[:1], unions[1:])[0, 0])


def majority(votes: Sequence[Answer], prefer: Prefer) -> Majority:
    """The masks that more than half of the votes have, or the answer that wins a tournament of all that differ."""
    none = [vote for vote in votes if not vote.instances]
    if 2 * len(none) > len(votes):
        return Majority(none[0], ())
    kept = [max(group, key=lambda each: each.score) for group in _objects(votes) if 2 * len(group) > len(votes)]
    if kept:
        return Majority(max(votes, key=lambda vote: overlap(vote.instances, kept)), tuple(kept))
    best, *others = _rivals(votes)
    costs: list[Usage] = []
    for other in others:
        best, cost = prefer(best, other)
        costs.append(cost)
    return Majority(best, best.instances, total(costs) if costs else None)


def _rivals(votes: Sequence[Answer]) -> list[Answer]:
    """Answers that differ, the one with the most in common with all others first."""
    typical = sorted(votes, key=lambda vote: sum(overlap(vote.instances, each.instances) for each in votes))
    rivals: list[Answer] = []
    for vote in reversed(typical):
        if (vote.instances or not any(each.instances for each in votes)) and not any(agree(vote, r) for r in rivals):
            rivals.append(vote)
    return rivals[:MOST_RIVALS]


def total(spent: Sequence[Usage]) -> Usage:
    """The sum of usages."""
    return Usage(
        turns=sum(each.turns for each in spent),
        llm_calls=sum(each.llm_calls for each in spent),
        encodes=sum(each.encodes for each in spent),
        input_tokens=sum(each.input_tokens for each in spent),
        output_tokens=sum(each.output_tokens for each in spent),
        usd=sum(each.usd for each in spent),
        seconds=sum(each.seconds for each in spent),
    )


def _counted(answers: Sequence[Answer], most: int, prefer: Prefer) -> Answer:
    votes, spent = votes_of(answers), [answer.usage for answer in answers]
    if not votes or answers[-1].interrupted:
        return replace(answers[-1], usage=total(spent))
    agreed = leading(votes, most)
    found = Majority(agreed, agreed.instances) if agreed is not None else majority(votes, prefer)
    agreement = round(sum(overlap(found.instances, vote.instances) for vote in votes) / len(votes), 3)
    outcome = found.nearest.outcome if found.instances or not found.nearest.instances else "no_match"
    usage = total([*spent, found.compared] if found.compared else spent)
    return replace(
        found.nearest,
        outcome=outcome,
        instances=found.instances,
        usage=usage,
        trace=_trace(answers, found, outcome, usage, agreement),
        agreement=agreement,
    )


def _objects(votes: Sequence[Answer]) -> list[list[Instance]]:
    """The objects in the answers, each as its masks: at most one of every answer."""
    groups: list[list[Instance]] = []
    for vote in votes:
        free = list(groups)
        for instance in vote.instances:
            same: list[float] = masks.iou([instance.rle], [group[0].rle for group in free]).ravel().tolist()
            if max(same, default=0.0) >= SAME_MASK:
                free.pop(same.index(max(same))).append(instance)
            else:
                groups.append([instance])
    return groups


def _trace(answers: Sequence[Answer], found: Majority, outcome: Outcome, usage: Usage, agreement: float) -> Trace:
    """The steps of the answer most like the result, then one that tells every vote, then the common end."""
    told = [
        {
            "outcome": answer.outcome,
            "reason": answer.reason,
            "mask_ids": [instance.id for instance in answer.instances],
            "usage": answer.usage.to_json(),
        }
        for answer in answers
    ]
    trace = found.nearest.trace
    *steps, last = trace.steps
    ids = [instance.id for instance in found.instances]
    votes = {"at": last.data.get("at", 0.0), "votes": told, "agreement": agreement, "compared": bool(found.compared)}
    end = {**last.data, "outcome": outcome, "mask_ids": ids, "usage": usage.to_json()}
    return Trace((*steps, Step("votes", 0.0, votes), replace(last, data=end)), trace.pictures)
