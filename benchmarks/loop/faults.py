"""Faults in a share of the replies, over the three real wire formats: does every run end in an answer?

`python -m benchmarks.loop faults --runs 1000 --share 0.3`
"""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from sam3_agent.llm.base import LLM
from sam3_agent.llm.retry import RetryPolicy
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace
from tests.llm.fixtures_llm import WIRES, make_llm
from tests.llm.wire.server import Sent

HASTY = RetryPolicy(timeout=10.0, retries=2, first_pause=0.01, longest_pause=0.05)
"""So long that only what is told to hang times out: client and server share the machine, and 16 runs its cores."""
HANGS = 12.0
SEGMENT = ("segment_concepts", {"image_id": "img1", "concepts": ["circle", "square"]})
SOUND: tuple[tuple[str, Any], ...] = (
    SEGMENT,
    ("read_presence", {"image_id": "img1", "concepts": ["star"]}),
    ("measure_masks", {"image_id": "img1"}),
    ("look", {"image_id": "img1", "style": "contact_sheet"}),
    ("submit_answer", {"mask_ids": ["m1"], "reason": "r"}),
    ("report_no_match", {"reason": "r"}),
)
FALSE_CALLS: tuple[tuple[str, Any], ...] = (
    ("segment_phrase", {"text_prompt": "cup"}),
    ("segment_concepts", {"image_id": 7, "concepts": {"a": 1}, "threshold": "high"}),
    ("segment_concepts", {"image_id": "img1", "concepts": []}),
    ("submit_answer", {"mask_ids": []}),
    ("submit_answer", {"mask_ids": ["m77"]}),
    ("combine_masks", {"mask_ids": ["m1", "m1"], "operation": "xor"}),
    ("refine_with_exemplars", {"image_id": "img1", "positive_boxes": [[5, 5, 1, 1]]}),
    ("segment_at", {"image_id": "img1", "points": [[1e9, -4]], "labels": [3]}),
    ("look", {"image_id": "img1", "region": [0, 0, 1e9, -3]}),
)


class Script:
    """Script of the server of one API: sound replies, and faults in a share of them, drawn by one dice."""

    def __init__(self, kind: str, share: float, seed: int) -> None:
        self._wire = WIRES[kind]
        self._share = share
        self._dice = random.Random(seed)
        self.counts: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Sent:
        """The next reply; a judge's request gets a verdict."""
        judging = "give_verdict" in str(body.get("tools"))
        if self._dice.random() >= self._share:
            self.counts["sound"] += 1
            return self._verdict() if judging else self._say([self._dice.choice(SOUND)])
        name, fault = self._dice.choice(self._faults())
        self.counts[name] += 1
        return fault

    def _say(self, calls: Sequence[tuple[str, Any]]) -> Sent:
        number = self._dice.randrange(10**6)
        return self._wire.message(*(self._wire.use(*call, f"c{number}x{i}") for i, call in enumerate(calls)))

    def _verdict(self) -> Sent:
        if self._dice.random() < 0.5:
            return self._say([("give_verdict", {"accepted": ["m1"]})])
        return self._say([("give_verdict", {"rejected": ["m1"], "reasons": ["no"], "missing": "m2"})])

    def _faults(self) -> list[tuple[str, Sent]]:
        wire, dice = self._wire, self._dice
        whole = self._say([SEGMENT])
        errors = [
            (f"HTTP {s}", wire.error(s, "api_error", "trouble", retry_after="0.01")) for s in (429, 500, 503, 529)
        ]
        return [
            *errors,
            ("HTTP 400", wire.error(400, "invalid_request_error", "will not do")),
            ("dropped", Sent(b"", cut=0)),
            ("broken off", Sent(whole.body, cut=dice.choice((0.2, 0.5, 0.9)))),
            ("no answer in time", Sent(whole.body, delay=HANGS)),
            ("HTML", Sent(b"<html>bad gateway</html>")),
            ("half JSON", Sent(b'{"id": ')),
            ("empty body", Sent(b"")),
            ("other JSON", Sent(b"[]")),
            ("empty message", wire.message()),
            ("text alone", wire.message(wire.text("I see three circles."))),
            ("false call", self._say([dice.choice(FALSE_CALLS)])),
            ("several calls", self._say([dice.choice(FALSE_CALLS), dice.choice(SOUND), dice.choice(FALSE_CALLS)])),
            ("arguments that are no object", self._say([("segment_concepts", dice.choice((None, 7, ["x"])))])),
        ]


def measure(runs: int, share: float, jobs: int) -> dict[str, Any]:
    """Do the runs, spread over the three APIs; exceptions are counted, and must be none."""
    kinds = list(WIRES)
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    timeouts = 0
    broken: list[str] = []
    problems: list[str] = []
    began = time.monotonic()
    for number, kind in enumerate(kinds):
        amount = runs // len(kinds) + (number < runs % len(kinds))
        script = Script(kind, share, seed=number)
        with ExitStack() as stack:
            served = stack.enter_context(WIRES[kind].api(answer=script))
            _point_at(served.url)
            llm = make_llm(kind, served.url, policy=HASTY)
            with ThreadPoolExecutor(jobs) as pool:
                for result in pool.map(lambda _, llm=llm: _one(llm), range(amount)):
                    if isinstance(result, str):
                        broken.append(result)
                    else:
                        outcomes[result.outcome] += 1
                        timeouts += _timeouts(result)
                        if result.outcome == "failed":
                            failures[_why(result.reason)] += 1
            problems += served.problems
            faults += script.counts
    return {
        "runs": runs,
        "share_of_faults": share,
        "answers": sum(outcomes.values()),
        "exceptions": broken,
        "outcomes": dict(outcomes),
        "why_failed": dict(failures.most_common()),
        "timeouts": {"told to hang": faults["no answer in time"], "seen": timeouts},
        "requests_that_the_api_would_refuse": problems[:5],
        "replies": dict(faults),
        "seconds": round(time.monotonic() - began, 1),
    }


def _one(llm: LLM) -> Answer | str:
    """One run; an exception or a trace without an end comes back as its words."""
    try:
        answer = Agent(make_workspace(), llm, budget=Budget(max_turns=8)).ask("img1", "the circles")
    except Exception as error:  # noqa: BLE001 - counting these is the point
        return f"{type(error).__name__}: {error}"
    steps = answer.trace.steps
    whole = steps[0].kind == "start" and steps[-1].kind == "end" and steps[-1].data["outcome"] == answer.outcome
    return answer if whole else f"a trace without an end: {[step.kind for step in steps]}"


def _why(reason: str) -> str:
    """A reason without what differs from run to run: the LLM's name, the server's address."""
    return re.sub(r"^\S+: |http://\S+?:\d+(?:/v1/?)?|'[^']*'", "", reason).strip(" :")[:100]


def _timeouts(answer: Answer) -> int:
    """Count how often a request of this run timed out, by its trace; of a reply that failed for good it tells the
    last.
    """
    steps = answer.trace.steps
    faults = [str(fault) for step in steps for fault in step.data.get("faults", ())]
    return sum("timed out" in line for line in (*faults, *(str(s.data["message"]) for s in steps if s.kind == "error")))


def _point_at(url: str) -> None:
    os.environ |= {
        "ANTHROPIC_API_KEY": "sk-test",
        "OPENAI_API_KEY": "sk-test",
        "SAM3_CHAT_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_BASE_URL": f"{url}/v1",
    }
