"""The judge looks at an answer before it counts, and what it rejects goes back into the loop."""

from typing import Any

import pytest

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.judge import JudgeMode
from sam3_agent.types import Answer
from tests.fixtures_workspace import make_workspace

SEGMENT = ToolCall("c1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
NONE = ToolCall("c4", "report_no_match", {"reason": "no zebra"})


def submit(*ids: str) -> ToolCall:
    return ToolCall("s", "submit_answer", {"mask_ids": list(ids), "reason": "r"})


def verdict(**arguments: Any) -> ToolCall:
    return ToolCall("v", "give_verdict", arguments)


def prefer(better: str) -> ToolCall:
    return ToolCall("p", "prefer_answer", {"better": better})


def ask(*lines: Line, judge: JudgeMode | None = None, **limits: Any) -> tuple[Answer, ScriptedLLM]:
    llm = ScriptedLLM(*lines, sees=True)
    return Agent(make_workspace(), llm, judge=judge, budget=Budget(**limits)).ask("img1", "the red circles"), llm


def ids(answer: Answer) -> list[str]:
    return [instance.id for instance in answer.instances]


def kinds(answer: Answer) -> str:
    return " ".join(step.kind for step in answer.trace.steps)


def test_an_accepted_answer_costs_one_call_more_and_no_turn() -> None:
    answer, llm = ask(SEGMENT, submit("m1", "m2"), verdict(accepted=["m1", "m2"]))
    assert (answer.outcome, ids(answer)) == ("answered", ["m1", "m2"])
    assert (answer.usage.turns, answer.usage.llm_calls) == (2, 3)
    assert kinds(answer) == "start reply tool reply judge verdict tool end"
    assert llm.tools == ("give_verdict",)


def test_the_judge_sees_the_query_the_whole_picture_and_each_mask_with_its_facts() -> None:
    _, llm = ask(SEGMENT, submit("m1", "m3"), verdict(accepted=["m1", "m3"]))
    system, user = llm.seen[2]
    assert system.text.startswith("You check an answer")
    assert user.text.startswith("query: the red circles\n")
    assert "m1 'circle' 0.85; box" in user.text
    assert "m3 'circle' 0.82; box" in user.text
    assert len(user.pictures) == 2  # the whole with outlines, and a contact sheet
    assert not any("m2 'circle'" in message.text for message in llm.seen[2])


def test_the_judge_is_told_of_the_masks_that_a_reason_names() -> None:
    reasoned = ToolCall("s", "submit_answer", {"mask_ids": ["m1"], "reason": "m1 is left of m3, and of m77"})
    _, llm = ask(SEGMENT, reasoned, verdict(accepted=["m1"]))
    text = llm.seen[2][1].text
    assert text.count("m1 'circle'") == 1
    assert "named in the reason, not in the answer:\n  m3 'circle' 0.82; box" in text
    none = ToolCall("n", "report_no_match", {"reason": "the only one, m2, is blue"})
    _, llm = ask(SEGMENT, none, verdict(missing=""))
    assert "named in the reason, not in the answer:\n  m2 'circle'" in llm.seen[2][1].text


def test_a_rejection_goes_back_with_its_reason_and_the_repaired_answer_counts() -> None:
    rejected = verdict(
        accepted=["m1"], rejected=["m3"], reasons=["it is blue"], missing="a red circle at the upper right"
    )
    answer, llm = ask(SEGMENT, submit("m1", "m3"), rejected, submit("m1", "m2"))
    assert (answer.outcome, ids(answer)) == ("answered", ["m1", "m2"])
    told = llm.seen[3][-1].results[0].text
    assert "m3 rejected: it is blue" in told
    assert "missing: a red circle at the upper right" in told
    assert answer.usage.llm_calls == 4  # "once": the second submission is not judged


def test_an_llm_that_insists_has_its_way() -> None:
    answer, _ = ask(SEGMENT, submit("m1"), verdict(rejected=["m1"], reasons=["no"]), submit("m1"), judge="strict")
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_off_never_asks_and_llms_without_models_are_never_judges() -> None:
    answer, _ = ask(SEGMENT, submit("m1"), judge="off")
    assert answer.usage.llm_calls == 2
    blind = ScriptedLLM(SEGMENT, submit("m1"))
    assert Agent(make_workspace(), blind).ask("img1", "the red circle").usage.llm_calls == 2


def test_strict_judges_again_and_compares_two_equally_bad_answers_in_both_orders() -> None:
    no = [verdict(rejected=[mask], reasons=["no"]) for mask in ("m1", "m2", "m3")]
    lines = (SEGMENT, submit("m1"), no[0], submit("m2"), no[1], submit("m3"), no[2])
    same, llm = ask(*lines, prefer("first"), prefer("second"), judge="strict")
    assert ids(same) == ["m2"]  # of the two latest, m2 won in both orders
    assert [len(message.pictures) for message in llm.seen[-1]] == [0, 2]
    split, _ = ask(*lines, prefer("first"), prefer("first"), judge="strict")
    assert ids(split) == ["m3"]  # the orders disagree: the later one
    asked = [step.data["judge"].partition(":")[0] for step in split.trace.steps if step.kind == "judge"]
    assert asked == ["judge"] * 3 + ["compare"] * 2


def test_strict_takes_the_answer_with_the_fewest_objections_without_a_comparison() -> None:
    worse = verdict(rejected=["m1", "m3"], reasons=["no", "no"], missing="m2")
    lines = (SEGMENT, submit("m1", "m3"), worse, submit("m2"), verdict(missing="one"), submit("m3"), worse)
    answer, _ = ask(*lines[:-1], verdict(rejected=["m3"], missing="two"), judge="strict")
    assert ids(answer) == ["m2"]


def test_once_doubts_a_report_of_no_match_unless_the_thing_is_clearly_absent() -> None:
    zebra = ToolCall("z", "segment_concepts", {"image_id": "img1", "concepts": ["zebra"]})
    absent, _ = ask(zebra, NONE)
    assert (absent.outcome, absent.usage.llm_calls) == ("no_match", 2)
    for before in ((), (SEGMENT,)):  # nothing was looked for, or something was found
        doubted, llm = ask(*before, NONE, verdict(missing="two red circles"), NONE)
        said = [result.text for message in llm.seen[-1] for result in message.results]
        assert "missing: two red circles" in said[-1]
        assert doubted.outcome == "no_match"  # it insists


def test_once_doubts_a_report_of_no_match_where_another_word_found_something() -> None:
    disc = ToolCall("d", "segment_concepts", {"image_id": "img1", "concepts": ["disc"]})
    answer, llm = ask(disc, NONE, verdict(missing="the circles"), submit("m1"))
    assert "judge" in kinds(answer)
    assert answer.outcome == "answered"
    assert "m1, m2, m3" in llm.seen[2][1].pictures[0].caption


def test_strict_doubts_a_report_of_no_match_once() -> None:
    answer, llm = ask(
        SEGMENT, NONE, verdict(missing="two red circles"), submit("m1"), verdict(accepted=["m1"]), judge="strict"
    )
    assert "missing: two red circles" in llm.seen[3][-1].results[0].text
    assert ids(answer) == ["m1"]
    stays, _ = ask(NONE, verdict(missing="a zebra"), NONE, judge="strict")
    assert (stays.outcome, stays.usage.llm_calls) == ("no_match", 3)


@pytest.mark.parametrize(
    "lines",
    [
        (LLMError("HTTP 529"),),
        ("Accept.", "Accept, I said."),
        ("", verdict(accepted=["m1"])),
        (verdict(accepted="everything, surely", verdict="Accept"), verdict(better=7)),
        (ToolCall("v", "give_verdict", problem="no JSON"), verdict(accepted=["m1"])),
    ],
)
def test_a_judge_that_cannot_be_understood_rejects_nothing(lines: tuple[Line, ...]) -> None:
    answer, _ = ask(SEGMENT, submit("m1"), *lines)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_the_trace_says_why_a_judge_was_not_heard() -> None:
    answer, _ = ask(SEGMENT, submit("m1"), LLMError("HTTP 529"))
    assert kinds(answer) == "start reply tool reply judge error tool end"
    said = [step.data["message"] for step in answer.trace.steps if step.kind == "error"]
    assert said == ["the judge gave no verdict: HTTP 529"]


def test_a_mask_both_accepted_and_rejected_is_rejected_and_unknown_ids_count_for_nothing() -> None:
    answer, llm = ask(SEGMENT, submit("m1"), verdict(accepted=["m1"], rejected=["m1", "m9"]), submit("m2"))
    assert "m1 rejected: no reason given" in llm.seen[3][-1].results[0].text
    assert "m9" not in llm.seen[3][-1].results[0].text
    assert ids(answer) == ["m2"]


def test_an_answer_in_the_last_of_the_budget_is_not_judged() -> None:
    answer, _ = ask(SEGMENT, submit("m1"), max_llm_calls=2)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_a_budget_that_ends_after_a_rejection_keeps_what_the_judge_left() -> None:
    rejected = verdict(rejected=["m3"], reasons=["blue"])
    answer, _ = ask(SEGMENT, submit("m1", "m2", "m3"), rejected, max_llm_calls=3)
    assert (answer.outcome, ids(answer)) == ("budget", ["m1", "m2"])


def test_ctrl_c_in_the_judge_returns_the_best_so_far() -> None:
    answer, _ = ask(SEGMENT, submit("m1"), KeyboardInterrupt())
    assert (answer.outcome, answer.reason, ids(answer)) == ("budget", "interrupted", ["m1", "m2", "m3"])
