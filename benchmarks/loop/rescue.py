"""Gain and cost of second attempts with an LLM that gives up: "no match" in place of an answer, with a probability.

`python -m benchmarks.loop rescue --runs 100 --model tiny --right 0.7`: the LLM is wrong at its other choices as often
(see `votes`), also where it proposes, compares and judges.
"""

import random
from collections.abc import Sequence
from itertools import islice
from statistics import mean
from typing import Any

from benchmarks.loop.perfect_llm import PerfectLLM, call_of
from benchmarks.loop.price import iou_of, queries, segmenter_for, truth_of
from benchmarks.loop.votes import SEED, NoisyLLM
from sam3_agent.llm.base import Message, Reply
from sam3_agent.loop.agent import Agent
from sam3_agent.tools import ToolSpec

WAYS = {"once": (1, False), "rescue": (1, True), "votes": (5, False), "votes and rescue": (5, True)}
"""Name -> votes, rescue."""


class QuittingLLM(NoisyLLM):
    """The noisy LLM that reports no match in place of an answer as often as it is wrong elsewhere."""

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The noisy reply, or that there is no match."""
        reply = super().reply(messages, tools)
        if reply.message.calls[-1].name == "submit_answer" and self._errs():
            return call_of("report_no_match", reason="nothing here fits")
        return reply


def measure(runs: int, segmenter: str, right: float) -> dict[str, Any]:
    """`runs` queries each way: gIoU, where something is meant and where nothing is, and what they cost."""
    seen_by = segmenter_for(segmenter)
    rows: dict[str, list[tuple[float, bool, int, int]]] = {way: [] for way in WAYS}
    for number, (scene, query) in enumerate(islice(queries(), runs)):
        truth = truth_of(scene, query)
        for way, (votes, rescue) in WAYS.items():
            workspace = seen_by(scene)
            llm = PerfectLLM(scene, query)
            noisy = QuittingLLM(llm, right, random.Random(f"{SEED} {number}"))
            image = workspace.open(scene.image)
            answer = Agent(workspace, noisy, votes=votes, rescue=rescue).ask(image.id, query.text)
            workspace.forget(image.id)
            iou = iou_of(answer.instances, truth)
            rows[way].append((iou, bool(query.target_ids), llm.bill.input_tokens, llm.bill.llm_calls))
    once = rows["once"]
    return {
        "queries": runs,
        "model": segmenter,
        "right": right,
        **{way: _row(found, once) for way, found in rows.items()},
    }


def _row(found: Sequence[tuple[float, bool, int, int]], once: Sequence[tuple[float, bool, int, int]]) -> dict[str, Any]:
    tokens, base = mean(each[2] for each in found), mean(each[2] for each in once)
    gain = mean(each[0] for each in found) - mean(each[0] for each in once)
    return {
        "giou": round(mean(each[0] for each in found), 4),
        "giou_where_meant": round(mean([each[0] for each in found if each[1]] or [0.0]), 4),
        "refused_where_nothing_is": round(mean([each[0] for each in found if not each[1]] or [0.0]), 4),
        "input_tokens": round(tokens),
        "llm_calls": round(mean(each[3] for each in found), 2),
        "times_the_tokens": round(tokens / base, 2),
        "giou_gained_per_1000_tokens": round(1000 * gain / (tokens - base), 4) if tokens > base else None,
    }
