"""The review page of a video in a real browser: playing, stepping, keys that decide, split, merge, clicks, undo."""

import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.workspace.tracking.journal import Entry, FrameLine, Header, JournalWriter
from tests.labeling.fixtures_page import launched, watched
from tests.labeling.fixtures_track_review import ServedTracks, handlers, scripted_run, served_tracks
from tests.workspace.tracking.scripted import FRAMES, HEIGHT, WIDTH

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
LONG = 2000


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Generator[Any]:
    with watched(browser, 1280, 800) as page:
        yield page


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripted run, tracked once."""
    return scripted_run(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def site(tracked: Path, tmp_path: Path) -> Generator[ServedTracks]:
    with served_tracks(handlers(Path(shutil.copytree(tracked, tmp_path / "run")))) as site:
        yield site


def opened(page: Any, site: ServedTracks) -> None:
    """Open the page and wait for its first frame."""
    page.goto(site.url)
    page.wait_for_selector("body[data-frame='0']")
    page.wait_for_selector(".track.now")


def chosen(page: Any) -> str:
    return str(page.locator(".track.now").get_attribute("data-id"))


def on_frame(page: Any, index: int) -> None:
    page.wait_for_selector(f"body[data-frame='{index}']")


def routes(site: ServedTracks) -> dict[str, str]:
    return {each.track.id: each.route for each in site.calls.review.all}


def until(site: ServedTracks, wanted: dict[str, str]) -> None:
    for _ in range(500):
        if routes(site) == wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"{routes(site)}, not {wanted}")


def on_screen(page: Any, x: float, y: float) -> tuple[float, float]:
    """Find a pixel of the frame on the page while it fits the stage (View.fit)."""
    box = page.locator("#picture").bounding_box()
    scale = min(box["width"] / WIDTH, box["height"] / HEIGHT) * 0.96
    left, top = box["x"] + (box["width"] - WIDTH * scale) / 2, box["y"] + (box["height"] - HEIGHT * scale) / 2
    return left + x * scale, top + y * scale


def center(track: Track, index: int) -> tuple[float, float]:
    entry = track.at(index)
    assert entry is not None
    x0, y0, x1, y1 = entry.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def color_at(page: Any, x: float, y: float) -> list[int]:
    """RGB of the canvas at a pixel of the frame."""
    place = on_screen(page, x, y)
    return page.evaluate(
        """([x, y]) => { const canvas = document.getElementById("picture"), box = canvas.getBoundingClientRect();
             const ratio = canvas.width / box.width;
             const left = (x - box.left) * ratio, top = (y - box.top) * ratio;
             return [...canvas.getContext("2d").getImageData(left, top, 1, 1).data]; }""",
        list(place),
    )[:3]


def test_keys_step_and_jump_and_the_frame_on_the_screen_is_that_of_the_video(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    for key, index in (
        ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", FRAMES - 1), ("ArrowRight", FRAMES - 1),
        ("Home", 0), (".", 1), (",", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        on_frame(page, index)
    page.keyboard.press("End")
    on_frame(page, 79)
    assert abs(color_at(page, 3, 85)[2] - 79) <= 3  # the blue of a frame is its number
    page.locator(".track[data-id='t2'] .name").click()
    page.keyboard.press("]")
    on_frame(page, 79)
    page.keyboard.press("[")
    on_frame(page, 0)
    assert "frame 0 of 0-79" in page.locator("#where").text_content()


def test_playing_shows_every_frame_and_ends_at_the_last_one(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    page.evaluate(
        """() => { window.frames_seen = [];
             new MutationObserver(() => window.frames_seen.push(Number(document.body.dataset.frame)))
               .observe(document.body, { attributes: true, attributeFilter: ["data-frame"] }); }"""
    )
    page.locator("#speed").select_option("4")
    page.keyboard.press(" ")
    on_frame(page, FRAMES - 1)
    page.wait_for_selector("#play >> text=Play")
    seen = page.evaluate("[...new Set(window.frames_seen)]")
    assert seen == [*range(1, FRAMES)]


def test_masks_and_ids_are_those_of_the_frame(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    assert page.evaluate("document.body.dataset.drawn") == "3"
    page.locator(".track[data-id='t2'] .bar").click(position={"x": 400, "y": 8})  # jumps to where it was clicked
    page.wait_for_selector("body[data-frame]:not([data-frame='0'])")
    assert chosen(page) == "t2"
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    on_frame(page, 30)
    assert page.evaluate("document.body.dataset.drawn") == "2"
    color = next(each for each in site.calls.state({})["tracks"] if each["id"] == "t3")["color"]
    red = color_at(page, *center(site.calls.review.get("t3").track, 30))
    assert np.argmax(red) == np.argmax(color)


def test_keys_decide_and_a_decided_track_is_never_flipped_by_the_next_key(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    assert chosen(page) == "t1"
    page.keyboard.press("a")
    page.wait_for_selector(".track.now[data-id='t2']")
    page.wait_for_selector(".track[data-id='t1'] .route.accepted")
    page.keyboard.press("r")
    page.wait_for_selector(".track.now[data-id='t3']")
    page.keyboard.press("1")
    page.wait_for_selector("#toast >> text=every track is decided")
    wanted = {"t1": "accepted", "t2": "rejected", "t3": "accepted"}
    until(site, wanted)
    assert site.calls.review.get("t3").track.concept == "cat"
    assert page.locator(".track.now").count() == 0
    for key in "rar":
        page.keyboard.press(key)
    page.wait_for_selector("#toast >> text=choose a track first")
    assert routes(site) == wanted
    page.reload()
    page.wait_for_selector(".track[data-id='t2'] .route.rejected")
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: relabel of t3 dog as cat; it waits for review again")
    assert chosen(page) == "t3"


def test_keys_faster_than_the_server_decide_about_one_track_only(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    page.route("**/decide*", lambda route: (time.sleep(0.2), route.continue_()))
    page.evaluate(
        """() => { for (const key of ["a", "r", "r"])
                   document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })); }"""
    )
    page.wait_for_selector("#toast >> text=another track was chosen before that key")
    until(site, {"t1": "accepted", "t2": "review", "t3": "review"})


def test_another_label_is_typed_and_its_letters_decide_nothing(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    page.keyboard.press("l")
    page.keyboard.type("red fox")
    page.keyboard.press("Enter")
    page.wait_for_selector(".track[data-id='t1'] >> text=red fox")
    until(site, {"t1": "accepted", "t2": "review", "t3": "review"})
    page.wait_for_selector(".choice >> text=red fox")


def test_a_track_is_split_here_and_merged_again_and_two_objects_are_not(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    on_frame(page, 20)
    page.keyboard.press("s")
    page.wait_for_selector(".track.now[data-id='t4']")
    assert [entry.index for entry in site.calls.review.get("t4").track.visible] == [*range(20, 80)]
    page.keyboard.press("m")
    page.wait_for_selector("#mode >> text=merging into t4")
    page.locator(".track[data-id='t3'] .name").click()
    page.wait_for_selector("#toast.bad >> text=they are two objects")
    page.keyboard.press("m")
    page.locator(".track[data-id='t1'] .name").click()
    page.wait_for_selector("#toast >> text=t1 is part of t4 now")
    assert len(site.calls.review.get("t4").track.visible) == 80
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: merge of t1 into t4")
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: split of t1 cat at frame 20; t4 is part of it again")
    assert [*routes(site)] == ["t1", "t2", "t3"]


def test_clicks_correct_a_track_from_here_on(page: Any, site: ServedTracks) -> None:
    opened(page, site)
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    on_frame(page, 20)
    dog = site.calls.review.get("t3").track
    page.keyboard.press("c")
    page.wait_for_selector("#mode >> text=t1 from frame 20 on")
    with page.expect_response(lambda response: response.url.endswith("/api/click")) as answered:
        page.mouse.click(*on_screen(page, *center(dog, 20)))
    assert answered.value.ok
    page.wait_for_selector("#mode >> text=Enter follows it")
    page.keyboard.press("Enter")
    page.wait_for_selector("#toast >> text=the correction of t1 has ended")
    after = site.calls.review.get("t1").track
    assert [entry.rle for entry in after.frames[20:]] == [entry.rle for entry in dog.frames[20:]]
    page.wait_for_selector("#chosen >> text=corrected from frame 20 on")
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: correction of t1 cat from frame 20 on")
    assert site.calls.review.get("t1").corrected == ()


@pytest.mark.parametrize("size", [(1280, 800), (800, 600)])
def test_everything_is_on_the_screen(page: Any, site: ServedTracks, tmp_path: Path, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, site)
    page.screenshot(path=str(tmp_path / f"{size[0]}.png"))
    stage = page.locator("#stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.35 * size[0] * size[1]
    for name in ("#actions", "#label-list", "#other", "#transport", "#timeline", ".track", "#undo", "#keys"):
        box = page.locator(name).first.bounding_box()
        assert box["x"] >= 0, name
        assert box["y"] >= 0, name
        assert box["x"] + box["width"] <= size[0], name
        assert box["y"] + box["height"] <= size[1], name
        assert box["height"] > 15, name


def long_run(folder: Path) -> Path:
    """A run over 2,000 frames with 20 tracks; the frames are small pictures, one file twice a name."""
    frames = folder / "long"
    frames.mkdir()
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)).save(frames / "0000.png")
    for index in range(1, LONG):
        (frames / f"{index:04d}.png").hardlink_to(frames / "0000.png")
    header = Header(str(frames), WIDTH, HEIGHT, "mixed", 25.0, {"frames": LONG})
    kinds = [
        masks.from_box((x, 5 + 4 * number, x + 12, 15 + 4 * number), (HEIGHT, WIDTH))
        for number in range(20)
        for x in (number, 60)
    ]
    with JournalWriter(folder / "run" / "tracks.jsonl", header) as journal:
        for index in range(LONG):
            entries = [
                Entry(f"t{n + 1}", "thing", TrackFrame(index, rle, masks.box(rle), 0.9))
                for n in range(20)
                for rle in (kinds[2 * n + index % 2],)
            ]
            journal.write(FrameLine(index, index / 25, tuple(entries)))
    return folder / "run"


def test_of_a_long_video_only_what_is_looked_at_is_fetched(page: Any, tmp_path: Path) -> None:
    with served_tracks(handlers(long_run(tmp_path))) as site:
        fetched: set[str] = set()
        page.on("request", lambda request: fetched.add(request.url) if "/picture/" in request.url else None)
        opened(page, site)
        assert page.locator(".track").count() == 20
        for index in (LONG - 1, 0):
            page.keyboard.press("End" if index else "Home")
            on_frame(page, index)
        ruler = page.locator(".scrub .bar").bounding_box()
        page.mouse.click(ruler["x"] + ruler["width"] / 2, ruler["y"] + 10)
        on_frame(page, LONG // 2)
        page.wait_for_timeout(300)
        assert len(fetched) < 100
        page.mouse.move(ruler["x"] + 10, ruler["y"] + 10)
        page.mouse.down()
        page.mouse.move(ruler["x"] + ruler["width"] - 10, ruler["y"] + 10, steps=60)
        page.mouse.up()
        page.wait_for_selector("body[data-frame^='19'][data-drawn='20']")
        assert len(fetched) < 0.75 * LONG
