"""What must hold for every LLM behind an API."""

import base64
import io
import json
import re
import time
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from sam3_agent.llm.retry import RetryPolicy
from sam3_agent.types import Answer
from tests.llm.fixtures_llm import MODELS, WIRES, Ask, asker
from tests.llm.wire.server import Sent

SEGMENT = ("segment_concepts", {"image_id": "img1", "concepts": ["red circle", "square"]}, "id_1")
MEASURE = ("measure_masks", {"image_id": "img1"}, "id_2")
SUBMIT = ("submit_answer", {"mask_ids": ["m1"], "reason": "the larger red circle"}, "id_3")


@pytest.fixture(params=list(WIRES))
def api(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def wire(api: str) -> ModuleType:
    return WIRES[api]


@pytest.fixture
def ask(api: str, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asker(monkeypatch, api)


def say(wire: ModuleType, *calls: tuple[str, Any, str]) -> Sent:
    return wire.message(*(wire.use(*call) for call in calls))


def pictures(request: dict[str, Any]) -> list[str]:
    """The JPEG files in a request, as base64."""
    return re.findall(r'"(?:data:image/jpeg;base64,)?(/9j/[A-Za-z0-9+/=]+)"', json.dumps(request))


def faults(answer: Answer) -> list[str]:
    return [fault for step in answer.trace.steps if step.kind == "reply" for fault in step.data["faults"]]


def test_a_full_run_with_pictures_and_several_calls_in_a_turn(ask: Ask, wire: ModuleType) -> None:
    answer, served = ask(say(wire, SEGMENT, MEASURE), say(wire, SUBMIT))
    assert (answer.outcome, answer.reason) == ("answered", "the larger red circle")
    assert [instance.id for instance in answer.instances] == ["m1"]
    assert [len(pictures(request)) for request in served.requests] == [1, 2]
    for coded in pictures(served.requests[1]):
        assert Image.open(io.BytesIO(base64.b64decode(coded))).format == "JPEG"
    assert any("sk-test" in value for value in served.headers[0].values())


def test_tokens_and_their_price_are_counted(ask: Ask, wire: ModuleType, api: str) -> None:
    answer, _ = ask(say(wire, SEGMENT), say(wire, SUBMIT))
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8400, 100)
    cost = {
        "anthropic": 1000 * 4 + 200 * 5 + 3000 * 0.2 + 50 * 20,
        "openai": 1000 * 2 + 200 * 2.5 + 3000 * 0.2 + 50 * 10,
        "chat": 1000 * 1.25 + 3200 * 0.125 + 50 * 10,
    }[api]
    assert answer.usage.usd == pytest.approx(2 * cost / 1_000_000)


def test_the_conversation_only_grows(ask: Ask, wire: ModuleType) -> None:
    _, served = ask(say(wire, SEGMENT), say(wire, MEASURE), say(wire, SUBMIT))
    key = "input" if "input" in served.requests[0] else "messages"
    first, second, third = (
        [json.loads(re.sub(r', "cache_control": {"type": "ephemeral"}', "", json.dumps(turn))) for turn in request[key]]
        for request in served.requests
    )
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert served.requests[0]["tools"] == served.requests[2]["tools"]


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_a_server_in_trouble_is_asked_again_and_the_trace_says_so(ask: Ask, wire: ModuleType, status: int) -> None:
    trouble = wire.error(status, "api_error", "Not now", retry_after="0.01")
    answer, served = ask(say(wire, SEGMENT), trouble, trouble, say(wire, SUBMIT))
    assert answer.outcome == "answered"
    assert len(served.requests) == 4
    assert faults(answer) == [f"HTTP {status}: Not now"] * 2


def test_retry_after_is_waited_for(ask: Ask, wire: ModuleType) -> None:
    began = time.monotonic()
    answer, _ = ask(wire.error(429, "rate_limit_error", "slow down", retry_after="0.6"), say(wire, SUBMIT), max_turns=1)
    assert time.monotonic() - began >= 0.6
    assert answer.outcome == "budget"


def test_a_server_that_asks_for_too_long_a_pause_fails_the_run_at_once(ask: Ask, wire: ModuleType) -> None:
    answer, _ = ask(wire.error(429, "rate_limit_error", "slow down", retry_after="3600"))
    assert answer.outcome == "failed"
    assert answer.reason.endswith("it asks to wait 3600 s, which is too long")


def test_a_server_that_stays_in_trouble_fails_the_run_with_the_best_so_far(
    ask: Ask, wire: ModuleType, api: str
) -> None:
    trouble = wire.error(529, "overloaded_error", "Overloaded")
    answer, _ = ask(say(wire, SEGMENT), *[trouble] * 3)
    assert answer.outcome == "failed"
    assert answer.reason.startswith(f"{api}:{MODELS[api]}")
    assert answer.reason.endswith(": HTTP 529: Overloaded (3 attempts)")
    assert [instance.id for instance in answer.instances] == ["m1", "m2"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_request_that_is_refused_is_not_repeated(ask: Ask, wire: ModuleType, status: int) -> None:
    answer, served = ask(wire.error(status, "invalid_request_error", "this will not do"))
    assert answer.outcome == "failed"
    assert answer.reason.endswith(f": HTTP {status}: this will not do")
    assert len(served.requests) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_connection_that_drops_is_tried_again(ask: Ask, wire: ModuleType, share: float) -> None:
    whole = say(wire, SEGMENT)
    answer, served = ask(Sent(whole.body, cut=share), whole, say(wire, SUBMIT))
    assert answer.outcome == "answered"
    assert len(served.requests) == 3
    assert len(faults(answer)) == 1


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"{", b"[]", b"{}", b"", b"data: {\n\n"])
def test_a_body_that_is_no_answer_is_tried_again(ask: Ask, wire: ModuleType, body: bytes) -> None:
    answer, served = ask(Sent(body), say(wire, SEGMENT), say(wire, SUBMIT))
    assert answer.outcome == "answered"
    assert len(served.requests) == 3
    assert len(faults(answer)) == 1


def test_a_server_that_hangs_is_given_up_after_the_timeout(ask: Ask, wire: ModuleType, api: str) -> None:
    late = Sent(say(wire, SEGMENT).body, delay=3600.0)
    once = RetryPolicy(timeout=1.0, retries=1, first_pause=0.01)
    answer, served = ask(late, say(wire, SUBMIT), max_turns=2 if api == "chat" else 1, policy=once)
    if api == "chat":  # it may be a local one, which would work on both
        assert len(served.requests) == 1
        assert "does not answer in time; give it more time by --llm-timeout" in answer.reason
    else:
        assert len(served.requests) == 2
        assert "does not answer in time" in faults(answer)[0]


def test_a_hanging_server_cannot_hold_up_a_run_that_has_a_deadline(ask: Ask, wire: ModuleType) -> None:
    late = Sent(say(wire, SEGMENT).body, delay=3600.0)
    for seconds in (0.8, 4.0, 16.0):  # on a busy machine the first reply alone may take the shorter ones
        answer, _ = ask(say(wire, SEGMENT), late, late, late, max_seconds=seconds)
        assert f"max_seconds={seconds:g}" in answer.reason
        if answer.instances:
            break
    assert (answer.outcome, [i.id for i in answer.instances]) == ("budget", ["m1", "m2"])


def test_an_empty_answer_and_one_without_a_call_are_nudged(ask: Ask, wire: ModuleType) -> None:
    answer, _ = ask(wire.message(), wire.message(wire.text("I see it.")), say(wire, SEGMENT), say(wire, SUBMIT))
    assert answer.outcome == "answered"
    assert [step.data["nudge"].partition(":")[0] for step in answer.trace.steps if step.kind == "nudge"] == [
        "nudge_empty",
        "nudge_text",
    ]


def test_an_unknown_tool_is_shown_to_the_model(ask: Ask, wire: ModuleType) -> None:
    answer, served = ask(
        say(wire, ("segment_phrase", {"text_prompt": "cup"}, "id_0")), say(wire, SEGMENT), say(wire, SUBMIT)
    )
    assert "unknown tool 'segment_phrase'" in json.dumps(served.requests[1])
    assert answer.outcome == "answered"


def test_a_body_that_stays_unusable_fails_the_run_in_one_line(ask: Ask) -> None:
    answer, _ = ask(*[Sent(b"<html>bad gateway</html>")] * 3)
    assert answer.outcome == "failed"
    assert "\n" not in answer.reason


VERDICT = "give_verdict"
REJECTED = {"accepted": [], "rejected": ["m2"], "reasons": ["the smaller one"], "missing": "the larger red circle"}
OTHER = ("submit_answer", {"mask_ids": ["m2"], "reason": "this one"}, "id_4")


def offered(request: dict[str, Any]) -> list[str]:
    """The tools of a request."""
    return [str(tool.get("name") or tool["function"]["name"]) for tool in request["tools"]]


def test_the_judge_looks_at_pictures_of_its_own_and_its_objection_goes_back(ask: Ask, wire: ModuleType) -> None:
    verdict = say(wire, (VERDICT, REJECTED, "id_v"))
    answer, served = ask(say(wire, SEGMENT), say(wire, OTHER), verdict, say(wire, SUBMIT), judge="once")
    assert (answer.outcome, [instance.id for instance in answer.instances]) == ("answered", ["m1"])
    judged, after = served.requests[2], served.requests[3]
    assert offered(judged) == [VERDICT]
    assert len(pictures(judged)) == 2  # the whole with its outlines, and the contact sheet
    assert "You check an answer" in json.dumps(judged)
    assert "read_presence" not in json.dumps(judged)  # nothing of the other conversation
    assert "m2 rejected: the smaller one" in json.dumps(after)
    assert VERDICT not in offered(after)
    assert answer.usage.llm_calls == 4
    assert answer.usage.input_tokens == 4 * 4200


def test_a_judge_in_trouble_is_asked_again_and_one_that_only_talks_too(ask: Ask, wire: ModuleType) -> None:
    trouble, talk = wire.error(529, "overloaded_error", "Not now"), wire.message(wire.text("It looks right to me."))
    accepted = say(wire, (VERDICT, {"accepted": ["m1"]}, "id_v"))
    answer, served = ask(say(wire, SEGMENT), say(wire, SUBMIT), trouble, talk, accepted, judge="once")
    assert (answer.outcome, [instance.id for instance in answer.instances]) == ("answered", ["m1"])
    assert [offered(request) for request in served.requests[2:]] == [[VERDICT]] * 3
    heard = [step.data["faults"] for step in answer.trace.steps if step.kind == "verdict"]
    assert heard == [["HTTP 529: Not now"], []]


def test_a_judge_that_is_refused_lets_the_answer_stand(ask: Ask, wire: ModuleType) -> None:
    refused = wire.error(400, "invalid_request_error", "no more of this")
    answer, served = ask(say(wire, SEGMENT), say(wire, SUBMIT), refused, judge="once")
    assert (answer.outcome, [instance.id for instance in answer.instances]) == ("answered", ["m1"])
    assert len(served.requests) == 3


def test_two_rejected_answers_are_compared_in_both_orders(ask: Ask, wire: ModuleType) -> None:
    turns: list[Sent] = [say(wire, SEGMENT)]
    for mask in ("m1", "m2", "m3"):
        turns.append(say(wire, ("submit_answer", {"mask_ids": [mask], "reason": "r"}, f"id_{mask}")))
        turns.append(say(wire, (VERDICT, {"rejected": [mask], "reasons": ["no"]}, f"id_v{mask}")))
    votes = [say(wire, ("prefer_answer", {"better": better}, "id_p")) for better in ("first", "second")]
    answer, served = ask(*turns, *votes, judge="strict")
    assert [instance.id for instance in answer.instances] == ["m2"]
    there, back = (json.dumps(request) for request in served.requests[-2:])
    assert [offered(request) for request in served.requests[-2:]] == [["prefer_answer"]] * 2
    assert "first answer: m2\\nsecond answer: m3" in there
    assert "first answer: m3\\nsecond answer: m2" in back
    assert pictures(served.requests[-1]) == pictures(served.requests[-2])[::-1]
