"""Votes: several runs of one question, and what they add up to."""

from collections.abc import Sequence

import pytest

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.votes import majority, overlap, poll
from sam3_agent.types import INTERRUPTED, Answer, Instance, Step, Trace, Usage
from tests.fixtures_workspace import make_workspace

SIZE = (40, 200)


def square(name: str, place: int, score: float = 0.9) -> Instance:
    box = (place * 20.0, 0.0, place * 20.0 + 10, 10.0)
    return Instance(name, masks.from_box(box, SIZE), box, score, score)


A, B, C = (square(name, place) for place, name in enumerate(("a", "b", "c")))


def answer(*found: Instance, outcome: str = "answered", reason: str = "", usage: Usage | None = None) -> Answer:
    steps = (Step("start", 0.0, {"at": 0.0}), Step("end", 0.0, {"at": 1.0, "outcome": outcome, "reason": reason}))
    price = usage or Usage(turns=2, llm_calls=2, input_tokens=100, usd=0.5, seconds=1.0)
    return Answer("q", outcome, found, reason, price, Trace(steps))  # type: ignore[arg-type]


NONE = answer(outcome="no_match")


class Script:
    """Runs that end in given answers; which of two rivals is better is the first, at a price."""

    def __init__(self, *answers: Answer) -> None:
        self.left = list(answers)
        self.budgets: list[Budget] = []
        self.compared: list[tuple[Answer, Answer]] = []

    def ask(self, budget: Budget) -> Answer:
        self.budgets.append(budget)
        return self.left.pop(0)

    def prefer(self, first: Answer, second: Answer) -> tuple[Answer, Usage]:
        self.compared.append((first, second))
        return second, Usage(llm_calls=2, input_tokens=7)


def ids(found: Answer) -> list[str]:
    return [instance.id for instance in found.instances]


@pytest.mark.parametrize(
    ("answers", "runs", "expected"),
    [
        ([answer(A), answer(A), answer(B)], 2, ["a"]),
        ([NONE, NONE, answer(A)], 2, []),
        ([answer(A), answer(B), answer(B), answer(B), answer(A)], 4, ["b"]),
        ([answer(A), answer(B), answer(B), answer(A), answer(A)], 5, ["a"]),
        ([answer(A, B), answer(A, C), answer(A, B), answer(A), answer(B, C)], 5, ["a", "b"]),
        ([NONE, answer(A), answer(B), NONE, NONE], 5, []),
    ],
)
def test_a_lead_of_two_ends_it_and_else_masks_with_a_majority_count(
    answers: Sequence[Answer], runs: int, expected: list[str]
) -> None:
    script = Script(*answers)
    found = poll(script.ask, Budget(), 5, script.prefer)
    assert (len(script.budgets), ids(found)) == (runs, expected)
    assert found.outcome == ("answered" if expected else "no_match")
    assert found.usage.input_tokens == 100 * runs
    assert script.compared == []


def test_agreement_is_the_mean_overlap_with_the_votes() -> None:
    script = Script(answer(A), answer(A, B), answer(A), answer(A))
    assert poll(script.ask, Budget(), 5, script.prefer).agreement == pytest.approx((1 + 0.5 + 1 + 1) / 4, abs=1e-3)


def test_masks_of_one_object_are_one_whatever_their_ids() -> None:
    twin = square("a2", 0, 0.95)
    found = majority([answer(A, B), answer(twin, C), answer(twin)], Script().prefer)
    assert [instance.id for instance in found.instances] == ["a2"]


def test_rivals_without_a_majority_meet_in_a_tournament_that_is_paid_for() -> None:
    script = Script(answer(A), answer(B), answer(C))
    found = poll(script.ask, Budget(), 3, script.prefer)
    assert [(ids(one), ids(other)) for one, other in script.compared] == [(["c"], ["b"]), (["b"], ["a"])]
    assert ids(found) == ["a"]
    assert (found.usage.input_tokens, found.usage.llm_calls) == (314, 10)
    assert found.trace.steps[-2].data["compared"] is True


def test_failed_runs_have_no_vote_and_are_paid_for() -> None:
    script = Script(answer(outcome="failed", reason="no network"), answer(A), answer(A))
    found = poll(script.ask, Budget(), 3, script.prefer)
    assert (ids(found), found.agreement, found.usage.input_tokens) == (["a"], 1.0, 300)


def test_where_all_runs_fail_the_last_failure_is_the_answer() -> None:
    script = Script(*[answer(outcome="failed", reason=f"fault {number}") for number in range(3)])
    found = poll(script.ask, Budget(), 3, script.prefer)
    assert (found.outcome, found.reason, found.agreement) == ("failed", "fault 2", None)


def test_runs_share_one_budget_and_none_begins_when_it_is_spent() -> None:
    script = Script(answer(A), answer(B), answer(C))
    found = poll(script.ask, Budget(max_usd=1.0, max_llm_calls=50, max_seconds=60), 3, script.prefer)
    assert [budget.max_usd for budget in script.budgets] == [1.0, 0.5]
    assert [budget.max_llm_calls for budget in script.budgets] == [50, 48]
    assert [budget.max_seconds for budget in script.budgets] == [60, 59]
    assert found.usage.usd == 1.0


def test_an_interruption_ends_the_votes() -> None:
    script = Script(answer(A), answer(B, outcome="budget", reason=INTERRUPTED), answer(B))
    found = poll(script.ask, Budget(), 3, script.prefer)
    assert found.interrupted
    assert len(script.left) == 1


def test_the_trace_tells_every_vote_and_still_ends_with_the_end() -> None:
    script = Script(answer(A, reason="one"), answer(B, reason="two"), answer(B), answer(B))
    found = poll(script.ask, Budget(), 5, script.prefer)
    *_, votes, end = found.trace.steps
    assert [vote["mask_ids"] for vote in votes.data["votes"]] == [["a"], ["b"], ["b"], ["b"]]
    assert votes.data["agreement"] == found.agreement == 0.75
    assert (end.kind, end.data["mask_ids"], end.data["usage"]["input_tokens"]) == ("end", ["b"], 400)


def test_two_answers_without_masks_agree() -> None:
    assert overlap((), ()) == 1.0
    assert overlap((A,), ()) == 0.0


def call(number: int, name: str, **arguments: object) -> ToolCall:
    return ToolCall(f"c{number}", name, dict(arguments))


def find(concept: str = "circle") -> Line:
    return call(1, "segment_concepts", image_id="img1", concepts=[concept])


def submit(*mask_ids: str) -> Line:
    return call(2, "submit_answer", mask_ids=list(mask_ids), reason="these")


def test_an_agent_with_votes_asks_until_two_agree() -> None:
    llm = ScriptedLLM(find(), submit("m1"), find(), submit("m2"), find(), submit("m1"), find(), submit("m1"))
    found = Agent(make_workspace(), llm, votes=5).ask("img1", "the larger circle")
    assert (ids(found), found.agreement) == (["m1"], 0.75)
    assert found.usage.llm_calls == 8


def test_an_agent_asked_once_says_nothing_of_agreement() -> None:
    found = Agent(make_workspace(), ScriptedLLM(find(), submit("m1"))).ask("img1", "the larger circle")
    assert found.agreement is None


@pytest.mark.parametrize("votes", [0, -1, 16])
def test_an_impossible_number_of_votes_is_refused(votes: int) -> None:
    with pytest.raises(InputError, match="votes"):
        Agent(make_workspace(), ScriptedLLM(), votes=votes)
