"""Gain and cost of votes with an LLM that is often wrong: right with a given probability at each of its choices.

`python -m benchmarks.loop votes --runs 200 --model perfect --right 0.7 --votes 5`
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean
from typing import Any

from benchmarks.loop.perfect_llm import PerfectLLM, boxes_in, call_of
from benchmarks.loop.price import iou_of, queries, segmenter_for, truth_of
from sam3_agent.llm.base import Message, Reply, ToolCall, WrappedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.scenes import Query, Scene
from sam3_agent.tools import ToolSpec

SEED = 5


class NoisyLLM(WrappedLLM):
    """The perfect LLM with errors: each mask of an answer, each report of no match and each verdict is right with
    probability `right`, else another mask, an answer, or the opposite verdict.
    """

    def __init__(self, llm: PerfectLLM, right: float, chance: random.Random) -> None:
        super().__init__(llm)
        self._right = right
        self._chance = chance

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The perfect reply, or one that is wrong."""
        reply = self._llm.reply(messages, tools)
        (*_, call) = reply.message.calls
        known = list(boxes_in("\n".join(result.text for message in messages for result in message.results)))
        match call:
            case ToolCall(name="submit_answer", arguments={"mask_ids": ids}):
                return self._answer(list(dict.fromkeys(self._mask(mask_id, ids, known) for mask_id in ids)))
            case ToolCall(name="report_no_match") if known and self._errs():
                return self._answer([self._chance.choice(known)])
            case ToolCall(name="give_verdict", arguments={"accepted": accepted, "rejected": rejected}):
                swapped = {mask_id: self._errs() for mask_id in (*accepted, *rejected)}
                good = [i for i in swapped if (i in accepted) != swapped[i]]
                return call_of("give_verdict", accepted=good, rejected=[i for i in swapped if i not in good])
            case ToolCall(name="prefer_answer", arguments={"better": better}) if self._errs():
                return call_of("prefer_answer", better="first" if better == "second" else "second")
            case ToolCall(name="propose_candidates", arguments={"phrases": phrases, "boxes": boxes}):
                kept = [phrase for phrase in phrases if not self._errs()]
                return call_of("propose_candidates", phrases=kept, boxes=[box for box in boxes if not self._errs()])
            case _:
                return reply

    def _errs(self) -> bool:
        return self._chance.random() >= self._right

    def _mask(self, mask_id: str, ids: Sequence[str], known: Sequence[str]) -> str:
        others = [each for each in known if each not in ids]
        return self._chance.choice(others) if others and self._errs() else mask_id

    def _answer(self, ids: list[str]) -> Reply:
        return call_of("submit_answer", mask_ids=ids, reason="these")


@dataclass(frozen=True)
class Asked:
    """One query, one way."""

    iou: float
    tokens: int
    runs: int
    agreement: float


def measure(runs: int, segmenter: str, right: float, votes: int) -> dict[str, Any]:
    """`runs` queries: with the perfect LLM, with the noisy one asked once, and with its votes."""
    seen_by = segmenter_for(segmenter)
    ways: dict[str, list[Asked]] = {"perfect": [], "once": [], "votes": []}
    for number, (scene, query) in enumerate(islice(queries(), runs)):
        for way, (share, most) in {"perfect": (1.0, 1), "once": (right, 1), "votes": (right, votes)}.items():
            workspace = seen_by(scene)
            llm = PerfectLLM(scene, query)
            noisy = NoisyLLM(llm, share, random.Random(f"{SEED} {number}"))  # once: the first vote
            ways[way].append(_ask(Agent(workspace, noisy, votes=most), llm, scene, query))
    table = {way: _row(asked) for way, asked in ways.items()}
    lost = table["perfect"]["giou"] - table["once"]["giou"]
    won = table["votes"]["giou"] - table["once"]["giou"]
    return {
        "queries": runs,
        "model": segmenter,
        "right": right,
        "most_votes": votes,
        **table,
        "share_of_the_loss_regained": round(won / lost, 3) if lost > 0 else None,
        "times_the_tokens": round(table["votes"]["input_tokens"] / table["once"]["input_tokens"], 2),
    }


def _ask(agent: Agent, llm: PerfectLLM, scene: Scene, query: Query) -> Asked:
    image = agent.workspace.open(scene.image)
    answer = agent.ask(image.id, query.text)
    agent.workspace.forget(image.id)
    runs = next((len(step.data["votes"]) for step in answer.trace.steps if step.kind == "votes"), 1)
    agreement = 1.0 if answer.agreement is None else answer.agreement
    return Asked(iou_of(answer.instances, truth_of(scene, query)), llm.bill.input_tokens, runs, agreement)


def _row(asked: Sequence[Asked]) -> dict[str, float]:
    right = [each for each in asked if each.iou >= 0.5]
    wrong = [each for each in asked if each.iou < 0.5]
    return {
        "giou": round(mean(each.iou for each in asked), 4),
        "input_tokens": round(mean(each.tokens for each in asked)),
        "runs": round(mean(each.runs for each in asked), 2),
        "agreement_where_right": round(mean(each.agreement for each in right), 3) if right else 0.0,
        "agreement_where_wrong": round(mean(each.agreement for each in wrong), 3) if wrong else 0.0,
    }
