"""The page of a run: one file with everything in it, whatever a model or a query says."""

import json
import re
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import read_trace, write_trace
from sam3_agent.loop.trace_page import render_page, write_page
from sam3_agent.types import Answer, Trace
from tests.fixtures_workspace import make_workspace
from tests.labeling.fixtures_page import chromium

HOSTILE = '</script><script>alert(1)</script><!-- "quoted" & \u2028'
SEGMENT = ToolCall("c1", "segment_concepts", {"image_id": "img1", "concepts": ["circle"]})
SUBMIT = ToolCall("c3", "submit_answer", {"mask_ids": ["m1"], "reason": HOSTILE})
VERDICT = ToolCall("v", "give_verdict", {"accepted": ["m1"]})


def run(*, keep: bool = True) -> Answer:
    thinking = Reply(Message("assistant", HOSTILE, calls=(SEGMENT,)), thoughts=HOSTILE, input_tokens=5, usd=0.25)
    llm = ScriptedLLM(thinking, SUBMIT, VERDICT, sees=True)
    return Agent(make_workspace(), llm, keep_pictures=keep).ask("img1", f"the circle {HOSTILE}")


def inside(page: str) -> dict[str, object]:
    [data] = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)


def test_the_page_holds_every_step_and_every_picture() -> None:
    trace = run().trace
    held = inside(render_page(trace))
    assert held["steps"] == [{"kind": s.kind, "seconds": s.seconds, "data": s.data} for s in trace.steps]
    shown = [
        p["key"]
        for s in trace.steps
        for p in [*s.data.get("pictures", ()), *([s.data["picture"]] if "picture" in s.data else [])]
    ]
    assert len(shown) == 5  # preview, marks, the submission, and the judge's two
    assert set(shown) == set(trace.pictures)
    assert all(jpeg.startswith(b"\xff\xd8") for jpeg in trace.pictures.values())


def test_nothing_that_a_run_says_can_leave_its_place_in_the_page() -> None:
    page = render_page(run().trace)
    assert page.count("<script") == 2
    assert "alert(1)" in page
    assert "\u2028" not in page


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = render_page(run().trace)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "default-src 'none'" in page


def test_a_trace_keeps_its_pictures_through_a_file(tmp_path: Path) -> None:
    trace = run().trace
    assert read_trace(write_trace(trace, tmp_path / "t.jsonl")) == trace
    assert len(trace.pictures) == 4  # the judge's overview is the picture that came with the submission


def test_without_kept_pictures_trace_and_page_stay_small() -> None:
    trace = run(keep=False).trace
    assert trace.pictures == {}
    assert len(render_page(trace)) < 40_000


def test_an_empty_trace_still_is_a_page(tmp_path: Path) -> None:
    assert inside(write_page(Trace(), tmp_path / "deep" / "p.html").read_text()) == {"steps": [], "pictures": {}}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["p.html"]


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the page"):
        write_page(Trace(), tmp_path / "file" / "p.html")


@pytest.mark.integration
def test_the_page_opens_at_the_answer_with_its_picture_and_lists_each_tool_once(tmp_path: Path) -> None:
    browser_path = chromium()
    from playwright.sync_api import sync_playwright

    page_file = write_page(run().trace, tmp_path / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(page_file.as_uri())
        titles = page.locator("button.step").all_inner_texts()
        assert page.locator("button.step[aria-current=true]").inner_text() == titles[-1]
        assert titles[-1].split(". ")[1] == "end: answered"
        assert page.locator("#view img").count() == 1
        assert sum("segment_concepts" in title for title in titles) == 1
        browser.close()
