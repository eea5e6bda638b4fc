"""The page of a run: one file with everything in it, whatever a model or a query says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.trace import read_trace, write_trace
from sam3_agent.loop.trace_page import render_page, write_page
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.types import Answer, Trace
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import make_workspace
from tests.labeling.fixtures_page import chromium
from tests.workspace.tracking.scripted import FRAMES, scripted_model, scripted_video

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


@pytest.fixture
def video_trace() -> Iterator[Trace]:
    """A run about a video whose judge rejects one of two cats; the names of the tracks are hostile."""
    workspace = Workspace(scripted_model())
    workspace.open_video(scripted_video())
    track = ToolCall("c1", "track_concepts", {"video_id": "v1", "concepts": ["cat"]})
    both, one = (ToolCall("s", "submit_tracks", {"video_id": "v1", "track_ids": ids}) for ids in (["t1", "t2"], ["t2"]))
    verdict = ToolCall("v", "give_track_verdict", {"rejected": ["t1"], "reasons": [HOSTILE]})
    llm = ScriptedLLM(track, both, verdict, one, sees=True)
    yield VideoAgent(workspace, llm, keep_pictures=True).ask("v1", f"the cat that is away {HOSTILE}").trace
    workspace.forget_video("v1")


def test_the_page_of_a_video_holds_every_contact_sheet(video_trace: Trace) -> None:
    page = render_page(video_trace)
    assert page.count("<script") == 2
    assert inside(page)["steps"] == [{"kind": s.kind, "seconds": s.seconds, "data": s.data} for s in video_trace.steps]
    captions = re.findall(r"frames [\d, ]+ of v1, \d+ cells in reading order", page)
    assert len(set(captions)) >= 2
    judged = next(step for step in video_trace.steps if step.kind == "judge")
    assert {picture["key"] for picture in judged.data["pictures"]} <= video_trace.pictures.keys()


@pytest.mark.integration
def test_the_page_of_a_video_opens_at_the_answer_with_a_strip_for_each_track(
    video_trace: Trace, tmp_path: Path
) -> None:
    browser_path = chromium()
    from playwright.sync_api import sync_playwright

    page_file = write_page(video_trace, tmp_path / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        assert page.locator("button.step[aria-current=true]").inner_text().endswith("end: answered")
        assert page.locator("#view img").count() == 1
        assert page.locator("#view").get_by_text("tracks: t2").count() == 1
        [strip] = page.locator("#view .strip").all()
        assert strip.get_attribute("aria-label") == f"seen in frames 0-29, 40-{FRAMES - 1}"
        assert len(strip.locator("span").all()) == 2
        page.locator("button.step", has_text="start").click()
        assert page.locator("#view").get_by_text(f"v1, 120 x 90 px, {FRAMES} frames").count() == 1
        assert page.locator("#view img").count() == 1
        page.locator("button.step", has_text="track_concepts").click()
        assert page.locator("#view .strip").count() == 2
        for step in page.locator("button.step").all():
            step.click()
        assert problems == []
        browser.close()
