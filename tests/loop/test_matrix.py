"""Every way in which Meta's agent loop is known to die or to lie, and what this one does instead.

In the order of the project's list of its failures: first what a model may say, then what a picture, a phrase or a
folder may be.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.llm.tool_calls import read_text
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.trace import write_trace
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.tools import LOOP_TOOLS
from sam3_agent.types import Answer, Detection
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import disc, make_workspace, picture, square

SEGMENT = ToolCall("c1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
NOTHING = ToolCall("c2", "segment_concepts", {"image_id": "img1", "concepts": ["zebra"]})
SUBMIT = ToolCall("c3", "submit_answer", {"mask_ids": ["m1"], "reason": "r"})
RIGHT = ToolCall("v", "give_verdict", {"accepted": ["m1"]})


def ask(*lines: Line, workspace: Workspace | None = None, judge: bool = False, **limits: int) -> Answer:
    llm = ScriptedLLM(*lines, sees=judge)
    return Agent(workspace or make_workspace(), llm, budget=Budget(**limits)).ask("img1", "the circles")


def told(answer: Answer) -> list[str]:
    """What tools and nudges said, in order."""
    return [str(s.data.get("text") or s.data.get("nudge")) for s in answer.trace.steps if s.kind in ("tool", "nudge")]


def ids(answer: Answer) -> list[str]:
    return [instance.id for instance in answer.instances]


def goes_on(*lines: Line) -> list[str]:
    """What was said, after `lines` and then a right answer, which must count."""
    answer = ask(*lines, SEGMENT, SUBMIT)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])
    return told(answer)


def test_no_call_at_all() -> None:
    assert goes_on("I would segment the circles.")[0].startswith("nudge_text")


def test_arguments_that_are_no_json() -> None:
    assert goes_on(ToolCall("x", "segment_concepts", problem="the arguments are no JSON"))[0].endswith("are no JSON")


def test_a_call_that_is_only_thought_about() -> None:
    thinking = '<think>I could use <tool>{"name": "report_no_match", "arguments": {}}</tool></think>'
    said = read_text(thinking, [tool.name for tool in LOOP_TOOLS], turn=1)
    assert said.calls == ()
    assert goes_on(Reply(Message("assistant", "I think of <tool>report_no_match</tool>.")))[0].startswith("nudge_text")


def test_an_unknown_tool() -> None:
    assert "unknown tool 'examine_each_mask'" in goes_on(ToolCall("x", "examine_each_mask"))[0]


def test_an_argument_too_many() -> None:
    extra = ToolCall("x", "segment_concepts", {"image_id": "img1", "concepts": ["circle"], "why": "to see"})
    assert "there is no argument 'why'" in goes_on(extra)[0]


@pytest.mark.parametrize("first", [SUBMIT, ToolCall("l", "look", {"image_id": "img1", "mask_ids": ["m1"]})])
def test_submitting_or_looking_before_anything_was_found(first: ToolCall) -> None:
    assert "unknown mask 'm1'; known: none yet" in goes_on(first)[0]


@pytest.mark.parametrize("wrong", [["m99"], ["99"], [], [99], ["img1"]])  # "1" and 1 are read as m1
def test_submitting_what_does_not_exist_is_never_an_answer(wrong: list[object]) -> None:
    answer = ask(SEGMENT, ToolCall("x", "submit_answer", {"mask_ids": wrong}), SUBMIT)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])
    assert answer.trace.steps[4].data["is_error"]


def test_a_mask_given_twice_counts_once() -> None:
    assert ids(ask(SEGMENT, ToolCall("x", "submit_answer", {"mask_ids": ["m1", "m1"]}))) == ["m1"]


def test_submitting_after_an_empty_search() -> None:
    said = told(ask(NOTHING, SUBMIT, SEGMENT, SUBMIT))
    assert "0 found above the threshold" in said[0]
    assert "unknown mask 'm1'" in said[1]


def test_looking_and_measuring_after_an_empty_search() -> None:
    measure = ToolCall("m", "measure_masks", {"image_id": "img1"})
    look = ToolCall("l", "look", {"image_id": "img1", "style": "contact_sheet"})
    answer = ask(NOTHING, measure, look, SEGMENT, SUBMIT)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_the_same_phrase_again_keeps_every_mask_and_its_picture() -> None:
    again = ToolCall("a", "segment_concepts", {"image_id": "img1", "concepts": ["Circle "]})
    answer = ask(SEGMENT, SEGMENT, again, SUBMIT)
    assert ids(answer) == ["m1"]
    assert all(step.data["pictures"] for step in answer.trace.steps if step.kind == "tool")


def test_masks_of_earlier_phrases_stay_and_can_be_answered_together() -> None:
    other = ToolCall("o", "segment_concepts", {"image_id": "img1", "concepts": ["square"]})
    both = ToolCall("b", "submit_answer", {"mask_ids": ["m1", "m5"]})
    assert ids(ask(SEGMENT, other, both)) == ["m1", "m5"]


def test_a_judge_that_rejects_all_does_not_turn_it_into_an_empty_success() -> None:
    no = ToolCall("v", "give_verdict", {"rejected": ["m1"], "reasons": ["no"]})
    answer = ask(SEGMENT, SUBMIT, no, "hm", "hm", "hm", judge=True)
    assert (answer.outcome, ids(answer)) == ("failed", ["m1"])


@pytest.mark.parametrize("said", ["I cannot tell.", "Accept and Reject.", ""])
def test_a_judge_without_a_verdict_or_with_two(said: str) -> None:
    answer = ask(SEGMENT, SUBMIT, said, said, judge=True)
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_a_reply_that_is_none_once() -> None:
    class Dropping(ScriptedLLM):
        dropped = False

        def reply(self, messages, tools):  # type: ignore[no-untyped-def]
            if not self.dropped:
                self.dropped = True
                return None
            return super().reply(messages, tools)

    answer = Agent(make_workspace(), Dropping(SEGMENT, SUBMIT)).ask("img1", "the circles")
    assert (answer.outcome, ids(answer)) == ("answered", ["m1"])


def test_a_hundred_rounds_lose_nothing() -> None:
    answer = ask(*[SEGMENT] * 120, max_turns=101)
    assert (answer.outcome, len(answer.instances), answer.usage.turns) == ("budget", 3, 101)


def test_a_server_that_is_gone_loses_nothing() -> None:
    answer = ask(SEGMENT, LLMError("HTTP 500"))
    assert (answer.outcome, len(answer.instances)) == ("failed", 3)


def test_a_reply_that_was_cut_off() -> None:
    assert goes_on(Reply(Message("assistant", "First"), stop="truncated"))[0].startswith("nudge_truncated")


def test_a_hundred_masks_are_judged_in_one_call() -> None:
    squares = [square(3 * n, 2 * n, 3 * n + 6, 2 * n + 6) for n in range(95)]
    workspace = Workspace(FakeSegmenter({"circle": detection(squares, [0.9] * 95)}))
    workspace.open(picture())
    every = [f"m{n}" for n in range(1, 96)]
    answer = ask(
        SEGMENT,
        ToolCall("s", "submit_answer", {"mask_ids": every}),
        ToolCall("v", "give_verdict", {"accepted": every}),
        workspace=workspace,
        judge=True,
    )
    assert (answer.outcome, len(answer.instances), answer.usage.llm_calls) == ("answered", 95, 3)


@pytest.mark.parametrize("phrase", ["cup/mug", "what?", "../../etc", "a" * 200, "strich\u00e4hnlich \U0001f600", "%3F"])
def test_any_phrase_can_be_asked(phrase: str) -> None:
    odd = ToolCall("p", "segment_concepts", {"image_id": "img1", "concepts": [phrase]})
    answer = ask(odd, SEGMENT, SUBMIT)
    assert answer.outcome == "answered"


@pytest.mark.parametrize("name", ["masks_0.png", "what?.png", "a b/masks_/c.png", "100%.png"])
def test_any_file_name_can_be_opened_and_nothing_is_written_beside_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / "in" / name
    file.parent.mkdir(parents=True)
    Image.fromarray(picture()).save(file)
    workspace = Workspace(FakeSegmenter({"circle": detection([disc(50, 50, 30)], [0.9])}))
    workspace.open(str(file))
    answer = ask(SEGMENT, SUBMIT, workspace=workspace)
    write_trace(answer.trace, tmp_path / "out" / "trace.jsonl")
    assert answer.outcome == "answered"
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {file, tmp_path / "out" / "trace.jsonl"}


def test_a_photograph_that_lies_on_its_side_is_upright_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "side.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    Image.fromarray(picture()).save(file, exif=exif)
    workspace = Workspace(FakeSegmenter({"circle": detection([disc(50, 50, 30, 320, 200)], [0.9])}))
    image = workspace.open(str(file))
    answer = ask(SEGMENT, SUBMIT, workspace=workspace)
    assert (image.width, image.height) == (200, 320)
    assert answer.instances[0].mask.shape == (320, 200)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1", "CMYK", "I;16"])
def test_pictures_of_every_color_mode_can_be_asked_about(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    image = Image.fromarray(picture())
    grey = Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257)
    (grey if mode == "I;16" else image.convert(mode)).save(file)
    workspace = Workspace(FakeSegmenter({"circle": detection([disc(50, 50, 30)], [0.9])}))
    workspace.open(str(file))
    assert ask(SEGMENT, SUBMIT, workspace=workspace).outcome == "answered"


def test_a_model_that_fails_is_told_of_and_never_answered_from_an_earlier_find() -> None:
    class Failing(FakeSegmenter):
        calls = 0

        def detect(self, *args: object, **named: object) -> list[Detection]:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("CUDA error")
            return super().detect(*args, **named)  # type: ignore[arg-type]

    workspace = Workspace(Failing({"circle": detection([disc(50, 50, 30)], [0.9])}))
    workspace.open(picture())
    answer = ask(SEGMENT, NOTHING, SUBMIT, workspace=workspace)
    assert told(answer)[1] == "internal error: RuntimeError: CUDA error"
    assert answer.trace.steps[4].data["pictures"] == []


def test_runs_of_one_phrase_on_several_pictures_do_not_touch_each_other() -> None:
    workspace = Workspace(FakeSegmenter({"circle": detection([disc(50, 50, 30)], [0.9])}))
    images = [workspace.open(picture()).id for _ in range(4)]

    def answer_on(image_id: str) -> Answer:
        def submit(messages):  # type: ignore[no-untyped-def]
            found = messages[-1].results[0].data["results"][0]["instances"]
            return ToolCall("s", "submit_answer", {"mask_ids": [mask["id"] for mask in found]})

        look = ToolCall("c", "segment_concepts", {"image_id": image_id, "concepts": ["circle"]})
        return Agent(workspace, ScriptedLLM(look, submit)).ask(image_id, "the circle")

    answers = [answer_on(image_id) for image_id in images]
    assert [workspace.image_of(answer.instances[0].id) for answer in answers] == images
