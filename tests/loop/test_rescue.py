"""Second attempts after "no match": what is proposed, compared and judged before it is an answer."""

import pytest

from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.rescue import Rival, rivals_of, tournament
from sam3_agent.types import INTERRUPTED, Answer
from tests.fixtures_workspace import make_workspace

QUERY = "the goblet"


def call(name: str, **arguments: object) -> Line:
    return ToolCall("c1", name, dict(arguments))


NONE = call("report_no_match", reason="there is no goblet")
AGREED = call("give_verdict", accepted=[], rejected=[])


def propose(*phrases: str, boxes: tuple[tuple[float, ...], ...] = ()) -> Line:
    return call("propose_candidates", phrases=list(phrases), boxes=[list(box) for box in boxes])


def asked(*lines: Line, budget: Budget | None = None) -> tuple[Answer, ScriptedLLM]:
    llm = ScriptedLLM(*lines, sees=True)
    agent = Agent(make_workspace(), llm, judge="off", rescue=True, budget=budget or Budget())
    return agent.ask("img1", QUERY), llm


def steps(answer: Answer, kind: str) -> list[dict[str, object]]:
    return [dict(step.data) for step in answer.trace.steps if step.kind == kind]


def test_another_phrase_that_the_judge_accepts_answers_in_place_of_no_match() -> None:
    answer, llm = asked(NONE, propose("square"), AGREED)
    assert (answer.outcome, len(answer.instances)) == ("answered", 1)
    assert answer.reason == "found by the phrase 'square' after no match was reported"
    assert answer.usage.llm_calls == len(llm.seen) == 3
    assert steps(answer, "rescued")[0]["passes"] is True
    assert answer.trace.steps[-1].data["outcome"] == "answered"


def test_what_the_judge_rejects_leaves_no_match_as_it_was() -> None:
    rejected = call("give_verdict", accepted=[], rejected=["m1"], reasons=["a square"])
    answer, _ = asked(NONE, propose("square"), rejected)
    assert (answer.outcome, answer.instances) == ("no_match", ())
    assert "there is no goblet" in answer.reason


def test_a_second_attempt_that_proposes_nothing_costs_one_call() -> None:
    answer, llm = asked(NONE, propose())
    assert answer.outcome == "no_match"
    assert len(llm.seen) == 2


def test_rivals_meet_in_both_orders_and_the_first_stays_where_the_orders_disagree() -> None:
    first = call("prefer_answer", better="first")
    answer, llm = asked(NONE, propose("square", "circle"), first, first, first, first, AGREED)
    assert answer.reason.startswith("found by the phrase 'square'")
    compared = [messages[1].text for messages in llm.seen if "second answer" in messages[1].text]
    assert len(compared) == 4  # the circles together, and the surest of them, each in both orders
    assert "box [" in compared[0]


def test_a_box_finds_by_clicks_what_no_phrase_names() -> None:
    box = (20.0, 20.0, 81.0, 81.0)
    answer, _ = asked(NONE, propose("nothing like it", boxes=(box,)), AGREED)
    assert answer.reason.startswith("found by the box")
    assert answer.instances[0].box == pytest.approx(box, abs=2)


def test_a_run_that_found_something_is_left_alone() -> None:
    find = call("segment_concepts", concepts=["square"])
    answer, llm = asked(find, call("submit_answer", mask_ids=["m1"], reason="it"))
    assert answer.outcome == "answered"
    assert len(llm.seen) == 2


def test_a_spent_budget_leaves_no_second_attempt() -> None:
    answer, llm = asked(NONE, propose("square"), AGREED, budget=Budget(max_llm_calls=1))
    assert answer.outcome == "no_match"
    assert len(llm.seen) == 1


def test_an_llm_that_is_blind_makes_none() -> None:
    llm = ScriptedLLM(NONE)
    assert Agent(make_workspace(), llm, rescue=True).ask("img1", QUERY).outcome == "no_match"


def test_an_interruption_in_it_ends_the_run_as_interrupted() -> None:
    answer, _ = asked(NONE, KeyboardInterrupt())
    assert (answer.outcome, answer.reason) == ("budget", INTERRUPTED)


def test_boxes_and_phrases_that_are_none_are_passed_over() -> None:
    workspace = make_workspace()
    assert rivals_of(workspace, "img1", ["", "  ", "x" * 500], [(1.0, 2.0), (-5.0, -5.0, -1.0, -1.0)]) == []


def test_equal_answers_meet_once() -> None:
    workspace = make_workspace()
    rivals = rivals_of(workspace, "img1", ["square", "square", "SQUARE"], [])
    assert [each.words for each in rivals] == ["the phrase 'square'"]


def test_the_winner_of_a_tournament_has_met_every_challenger_that_came_after_it() -> None:
    rivals = [Rival((name,), name) for name in "abc"]
    met: list[tuple[str, str]] = []

    def stays(first: object, second: object) -> bool:
        met.append(("".join(first), "".join(second)))  # type: ignore[arg-type]
        return first == ("b",)

    best = tournament(rivals, stays)  # type: ignore[arg-type]
    assert best == rivals[1]
    assert met == [("a", "b"), ("b", "c")]
    assert tournament([], stays) is None  # type: ignore[arg-type]
