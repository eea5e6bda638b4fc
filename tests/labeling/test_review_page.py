"""The review page in a real browser: keys, slider, clicks, undo, reload; and how fast it is with much to show."""

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.store.label import Label
from tests.labeling.fixtures_page import Served, big_journal, launched, served, three_hundred, watched
from tests.labeling.fixtures_rounds import QUICK, begin, decide, mistaken_segmenter
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

COUNT = 4
HERE = ("http://127.0.0.1:", "data:", "blob:")
CONCEPTS = """
accept: 0.99
classes:
  - name: shape
  - name: animal
  - name: vehicle
"""


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Generator[Any]:
    with watched(browser, 1400, 900) as page:
        yield page


@pytest.fixture
def site(tmp_path: Path) -> Generator[Served]:
    write_scenes(tmp_path / "images", COUNT)
    journal = label(tmp_path / "images", tmp_path / "out", knowing_segmenter(COUNT), CONCEPTS)
    with served(journal, knowing_segmenter(COUNT)) as site:
        yield site
    journal.close()


def opened(page: Any, site: Served) -> str:
    """Open the page and wait for its first image; gives the image."""
    page.goto(site.url)
    page.wait_for_selector("body[data-image]")
    page.wait_for_selector(".label.now")
    return str(page.evaluate("document.body.dataset.image"))


def chosen(page: Any) -> str:
    return str(page.locator(".label.now").get_attribute("data-id"))


def ids_on(page: Any) -> list[str]:
    return [str(each.get_attribute("data-id")) for each in page.locator(".label").all()]


def until(site: Served, label_id: str, route: str) -> Label:
    """The label, once it has that route."""
    for _ in range(200):
        found = site.calls.journal.label(label_id)
        if found.route == route:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{label_id} is {found.route}, not {route}")


def on_screen(page: Any, label: Label, x: float, y: float) -> tuple[float, float]:
    """Find a pixel of the image on the page while it fits the stage (View.fit)."""
    box = page.locator("#picture").bounding_box()
    height, width = label.rle.size
    scale = min(box["width"] / width, box["height"] / height) * 0.96
    left, top = box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2
    return left + x * scale, top + y * scale


def test_keys_decide_and_undo_and_a_reload_loses_nothing(page: Any, site: Served) -> None:
    sha = opened(page, site)
    first = chosen(page)
    page.keyboard.press("a")
    assert until(site, first, "accepted").reviewer == "tester"
    page.wait_for_selector(f".label.now:not([data-id='{first}'])")
    second = chosen(page)
    page.keyboard.press("r")
    until(site, second, "rejected")
    page.reload()
    page.wait_for_selector(f"[data-id='{first}'] .route.accepted")
    page.locator(f"[data-id='{first}']").click()
    page.keyboard.press("3")
    until(site, first, "accepted")
    page.wait_for_selector(f"[data-id='{first}'] >> text=vehicle")
    assert site.calls.journal.label(first).class_name == "vehicle"
    page.keyboard.press("u")
    page.wait_for_selector(f"[data-id='{first}'] >> text=shape")
    page.keyboard.press("u")
    assert until(site, second, "review").reviewer == ""
    page.keyboard.press("u")
    assert until(site, first, "review").reviewer == ""
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=nothing to undo")
    page.keyboard.press("j")
    page.wait_for_selector(f"body[data-image]:not([data-image='{sha}'])")


def test_keys_faster_than_the_server_act_one_after_the_other(page: Any, site: Served) -> None:
    opened(page, site)
    waiting = [label_id for label_id in ids_on(page) if site.calls.journal.label(label_id).route == "review"]
    assert len(waiting) >= 2
    page.route("**/decide*", lambda route: (time.sleep(0.2), route.continue_()))
    page.evaluate(
        """() => { for (const key of ["a", "r", "u"])
                   document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })); }"""
    )
    page.wait_for_selector("#toast >> text=undone: reject")
    routes = [site.calls.journal.label(label_id).route for label_id in waiting]
    assert routes.count("accepted") == 1
    assert routes.count("rejected") == 0


def open_on(site: Served, sha: str) -> list[str]:
    return [each.id for each in site.calls.journal.labels(sha) if each.route == "review"]


def test_a_decided_label_is_never_flipped_by_the_next_key(page: Any, site: Served) -> None:
    sha = opened(page, site)
    waiting = open_on(site, sha)
    for number, _ in enumerate(waiting):
        page.keyboard.press("ar"[number % 2])
    page.wait_for_selector(f"body[data-image]:not([data-image='{sha}'])")  # the next image, by itself
    decided = {label_id: site.calls.journal.label(label_id) for label_id in waiting}
    assert all(label.decided_by == "person" for label in decided.values())
    routes = sorted(label.route for label in decided.values())
    assert routes == sorted(["accepted", "rejected"][n % 2] for n in range(len(waiting)))
    page.wait_for_selector(".label.now .route.review")  # on something that nobody has decided


def test_after_the_last_image_keys_decide_nothing(page: Any, site: Served) -> None:
    sha = opened(page, site)
    for number in range(COUNT):
        if number:  # a key before the next image is there would decide nothing
            page.wait_for_selector(f"body[data-image]:not([data-image='{sha}'])")
            sha = str(page.evaluate("document.body.dataset.image"))
        with page.expect_response(lambda response: response.url.endswith("/api/decide")):
            page.keyboard.press("A")
    page.wait_for_selector("#toast >> text=that was the last image of this queue")
    before = [(each.id, each.route) for each in site.calls.journal.labels()]
    assert all(route != "review" for _, route in before)
    for key in "rra":
        page.keyboard.press(key)
    page.wait_for_selector("#toast >> text=choose a label first")
    assert [(each.id, each.route) for each in site.calls.journal.labels()] == before


def test_a_key_pressed_before_the_next_image_came_decides_nothing_on_it(page: Any, site: Served) -> None:
    sha = opened(page, site)
    waiting = open_on(site, sha)
    page.route("**/image*", lambda route: (time.sleep(0.2), route.continue_()))
    page.evaluate(
        """(count) => { for (let n = 0; n < count; n++)
                   document.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true })); }""",
        len(waiting) + 2,
    )
    page.wait_for_selector("#toast >> text=another image came before that key")
    decided = {each.sha for each in site.calls.journal.labels() if each.decided_by == "person"}
    assert decided == {sha}


def test_undo_says_what_it_undid_and_goes_back_to_it(page: Any, site: Served) -> None:
    sha = opened(page, site)
    waiting = open_on(site, sha)
    last = ""
    for _ in waiting:
        last = chosen(page)
        with page.expect_response(lambda response: response.url.endswith("/api/decide")):
            page.keyboard.press("r")
        page.wait_for_selector(f".label.now:not([data-id='{last}'])")
    page.wait_for_selector(f"body[data-image]:not([data-image='{sha}'])")
    label = site.calls.journal.label(last)
    page.keyboard.press("u")
    path = site.calls.journal.image(sha).path
    page.wait_for_selector(
        f"#toast >> text=undone: reject of {label.class_name} {label.score:.2f} on {path}; waits for"
    )
    page.wait_for_selector(f"body[data-image='{sha}'] .label.now[data-id='{last}']")
    assert site.calls.journal.label(last).route == "review"


@pytest.mark.parametrize("width", [820, 1400])
def test_the_image_has_most_of_the_window(page: Any, site: Served, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    opened(page, site)
    page.screenshot(path=str(tmp_path / f"{width}.png"))
    stage = page.locator("#stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.5 * width * 700
    for name in ("#queue", "#labels", "#actions", "#undo", "#keys"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
        assert box["height"] > 20, name


def test_the_slider_shows_at_once_and_routes_when_it_is_set(page: Any, site: Served) -> None:
    opened(page, site)
    before = page.locator(".label:not(.under)").count()
    slider = page.get_by_label("threshold of shape")
    slider.fill("0.97")
    page.wait_for_selector(".label.under")
    assert page.locator(".label:not(.under)").count() < before
    page.locator(".class", has_text="shape").get_by_role("button").click()
    page.wait_for_selector("#toast >> text=threshold 0.97")
    shapes = [each for each in site.calls.journal.labels() if each.class_name == "shape"]
    assert {each.route for each in shapes} == {"rejected"}
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: threshold")
    shapes = [each for each in site.calls.journal.labels() if each.class_name == "shape"]
    assert {each.route for each in shapes} == {"review"}


def test_a_click_draws_a_mask_and_enter_keeps_it(page: Any, site: Served, tmp_path: Path) -> None:
    sha = opened(page, site)
    old = site.calls.journal.label(chosen(page))
    page.keyboard.press("r")
    until(site, old.id, "rejected")
    page.keyboard.press("Escape")
    inside = np.argwhere(masks.decode(old.rle))
    row, column = inside[len(inside) // 2].tolist()
    place = on_screen(page, old, column + 0.5, row + 0.5)
    page.mouse.click(5, 5)
    page.keyboard.press("c")
    page.keyboard.press("n")
    with page.expect_response(lambda response: response.url.endswith("/api/click")) as answered:
        page.mouse.click(*place)
    assert answered.value.ok
    page.screenshot(path=str(tmp_path / "click.png"))
    page.wait_for_timeout(200)
    with page.expect_response(lambda response: response.url.endswith("/api/mask")):
        page.keyboard.press("2")
    (drawn,) = [each for each in site.calls.journal.labels(sha) if each.source == "human"]
    assert (drawn.class_name, drawn.route, drawn.reviewer) == ("animal", "accepted", "tester")
    assert masks.decode(drawn.rle)[row, column]
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: mask")
    assert all(each.source != "human" for each in site.calls.journal.labels(sha))


def drag(page: Any, *places: tuple[float, float]) -> None:
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_a_brush_paints_erases_takes_back_and_is_kept(page: Any, site: Served, tmp_path: Path) -> None:
    sha = opened(page, site)
    old = site.calls.journal.label(chosen(page))
    height, width = old.rle.size
    places = [on_screen(page, old, x * width, 0.5 * height) for x in (0.2, 0.5, 0.8)]
    page.keyboard.press("b")
    page.keyboard.press("n")
    page.wait_for_selector("#mode >> text=a new object")
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("[")
    drag(page, *places)
    page.screenshot(path=str(tmp_path / "brush.png"))
    page.keyboard.down("Shift")
    drag(page, places[1], places[2])
    page.keyboard.up("Shift")
    drag(page, places[1], places[2])
    page.keyboard.press("u")  # the last stroke
    with page.expect_response(lambda response: response.url.endswith("/api/draw")) as answered:
        page.keyboard.press("2")
    assert answered.value.ok
    (drawn,) = [each for each in site.calls.journal.labels(sha) if each.source == "human"]
    assert (drawn.class_name, drawn.route, drawn.reviewer, drawn.phrase) == ("animal", "accepted", "tester", "brush")
    mask, row = masks.decode(drawn.rle), round(0.5 * height)
    assert mask[row, round(0.2 * width)]
    assert mask[row, round(0.35 * width)]
    assert not mask[row, round(0.65 * width)]
    assert 11 <= mask[:, round(0.3 * width)].sum() <= 13  # the second size: 12 pixels here
    page.keyboard.press("u")
    page.wait_for_selector("#toast >> text=undone: mask")
    assert all(each.source != "human" for each in site.calls.journal.labels(sha))


def test_a_mask_is_mended_by_brush_and_keeps_the_rest(page: Any, site: Served) -> None:
    opened(page, site)
    old = site.calls.journal.label(chosen(page))
    x0, y0, x1, y1 = old.box
    page.keyboard.press("b")
    page.wait_for_selector("#mode >> text=mending")
    page.keyboard.down("Shift")
    drag(page, on_screen(page, old, (x0 + x1) / 2, y0 - 3), on_screen(page, old, (x0 + x1) / 2, y1 + 3))
    page.keyboard.up("Shift")
    with page.expect_response(lambda response: response.url.endswith("/api/draw")):
        page.keyboard.press("Enter")
    new = site.calls.journal.label(old.id)
    before, after = masks.decode(old.rle), masks.decode(new.rle)
    column = round((x0 + x1) / 2)
    assert not after[:, column].any()
    away = np.abs(np.arange(before.shape[1]) - column) > 12
    assert (before[:, away] == after[:, away]).all()


def test_a_polygon_is_drawn_its_vertices_move_and_it_is_kept(page: Any, site: Served, tmp_path: Path) -> None:
    sha = opened(page, site)
    old = site.calls.journal.label(chosen(page))
    height, width = old.rle.size
    corners = [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)]
    places = [on_screen(page, old, x * width, y * height) for x, y in corners]
    page.keyboard.press("p")
    page.keyboard.press("n")
    page.wait_for_selector("#mode >> text=a new object")
    for place in places:
        page.mouse.click(*place)
    page.mouse.click(*places[0])  # ends it
    drag(page, places[2], on_screen(page, old, 0.9 * width, 0.9 * height))
    page.mouse.click((places[0][0] + places[1][0]) / 2, places[0][1])  # a vertex more, on the upper edge
    page.screenshot(path=str(tmp_path / "polygon.png"))
    with page.expect_response(lambda response: response.url.endswith("/api/draw")):
        page.keyboard.press("1")
    (drawn,) = [each for each in site.calls.journal.labels(sha) if each.source == "human"]
    mask = masks.decode(drawn.rle)
    at = {(x, y): bool(mask[round(y * height), round(x * width)]) for x in (0.25, 0.5, 0.8) for y in (0.25, 0.5, 0.8)}
    assert at == {
        (0.25, 0.25): False, (0.5, 0.25): False, (0.8, 0.25): False,
        (0.25, 0.5): False, (0.5, 0.5): True, (0.8, 0.5): False,
        (0.25, 0.8): False, (0.5, 0.8): False, (0.8, 0.8): True,
    }  # fmt: skip


def test_vertices_of_a_found_mask_are_few_and_leave_it_as_it_was(page: Any, site: Served, tmp_path: Path) -> None:
    opened(page, site)
    old = site.calls.journal.label(chosen(page))
    page.keyboard.press("p")
    page.wait_for_selector("#mode >> text=mending")
    page.wait_for_timeout(100)
    page.screenshot(path=str(tmp_path / "vertices.png"))
    with page.expect_response(lambda response: response.url.endswith("/api/draw")):
        page.keyboard.press("Enter")
    new = site.calls.journal.label(old.id)
    assert float(masks.iou([old.rle], [new.rle])[0, 0]) > 0.95
    assert new.phrase == old.phrase  # the label it was, with another outline
    page.keyboard.press("p")
    page.keyboard.press("a")
    page.wait_for_selector("#toast >> text=Enter keeps what is drawn")
    page.keyboard.press("Escape")
    assert page.locator("#mode").is_hidden()


def test_a_second_look_does_not_see_the_first_and_disagreements_are_queued(page: Any, site: Served) -> None:
    journal = site.calls.journal
    by_ann = ReviewDecisions(journal, "ann")
    sha = journal.images("done")[0].sha
    first, second = [each.id for each in journal.labels(sha)][:2]
    by_ann.decide([first], "accept")
    by_ann.decide([second], "reject")
    page.goto(site.url)
    page.wait_for_selector("body[data-image]")
    page.select_option("#filter", "second")
    page.wait_for_selector("#count >> text=1 image")
    page.wait_for_selector(".label.now")
    assert "ann" not in page.locator("#labels").inner_text()
    assert {chosen(page)} <= {first, second}
    page.keyboard.press("a")
    page.wait_for_function("document.querySelectorAll('.label.now').length === 1")
    page.keyboard.press("a")
    until(site, second, "review")
    assert journal.label(first).reviewer == "ann, tester"
    page.select_option("#filter", "disagree")
    page.wait_for_selector("#progress >> text=1 on which they disagree")
    page.wait_for_selector(f".label.now[data-id='{second}']")
    page.keyboard.press("r")
    until(site, second, "rejected")


def test_nothing_of_the_old_list_stays_chosen_while_a_new_one_comes(page: Any, site: Served) -> None:
    opened(page, site)
    held: list[Any] = []
    page.route("**/api/queue", lambda route: held.append(route))
    page.select_option("#filter", "second")
    page.wait_for_function("document.querySelectorAll('.label.now').length === 0")
    assert page.locator(".label").count() > 0
    held.pop().continue_()
    page.wait_for_selector("#count >> text=0 images")


def test_more_like_this_finds_the_others_here_and_in_the_queue(page: Any, site: Served) -> None:
    opened(page, site)
    journal = site.calls.journal
    gone = [each for each in journal.labels() if each.id != chosen(page)]
    with journal.writing() as db:
        db.executemany("DELETE FROM labels WHERE id=?", [(each.id,) for each in gone])
    with page.expect_response(lambda response: response.url.endswith("/api/search")):
        page.keyboard.press("M")
    page.wait_for_selector(f"#search >> text=/^$|{COUNT - 1} of {COUNT - 1}/", state="attached")
    for _ in range(3000):
        if not site.calls.segmenter.search.running:
            break
        time.sleep(0.02)
    search = site.calls.segmenter.search
    assert (search.done, search.error) == (COUNT - 1, "")
    with page.expect_response(lambda response: response.url.endswith("/api/like")) as answered:
        page.keyboard.press("m")
    assert answered.value.ok
    found = [each for each in journal.labels() if each.source == "similar"]
    assert all(each.route == "review" and each.phrase == "more like this" for each in found)
    assert len(found) == search.found + len(answered.value.json()["labels"]) > 0


def test_the_button_teaches_in_the_background_and_shows_what_came_of_it(page: Any, tmp_path: Path) -> None:
    with closing(begin(tmp_path)) as journal:
        decide(journal, tmp_path, 3)
        rounds = Rounds(journal, mistaken_segmenter, QUICK)
        with closing(rounds), served(journal, mistaken_segmenter(), rounds) as site:
            page.goto(site.url)
            page.wait_for_selector("body[data-image]")
            page.click("#teach")
            page.wait_for_selector("#round:has-text('labeled anew')")
            assert page.locator("#teach").inner_text() == "Teach"
            page.select_option("#filter", "next")
            page.wait_for_selector("#labels:has-text('@gizmo.v1')")  # not the list from before


def test_a_page_without_rounds_has_no_button(page: Any, site: Served) -> None:
    opened(page, site)
    assert not page.locator("#teach").is_visible()


def test_ten_thousand_images_and_three_hundred_masks_are_there_at_once(page: Any, tmp_path: Path) -> None:
    labels = three_hundred(tmp_path / "images")
    journal = big_journal(tmp_path / "out", tmp_path / "images", 10_000, labels)
    with served(journal, knowing_segmenter(0)) as site:
        opened(page, site)  # the browser's own first start is not the page's
        page.goto(site.url)
        page.wait_for_selector("#count >> text=10000 images")
        page.wait_for_selector("body[data-image]")
        page.keyboard.press("j")
        page.wait_for_selector(f"body[data-image]:not([data-image='{'f' * 64}'])")
        page.evaluate(
            "async () => { document.querySelector('.item').click();"
            f" while (document.body.dataset.image !== '{'f' * 64}' || document.querySelectorAll('.label').length < 300)"
            " await new Promise(requestAnimationFrame) }"
        )
        page.screenshot(path=str(tmp_path / "many.png"))
    journal.close()
    assert page.locator(".item").count() < 60  # of 10 000; the seconds are measured by benchmarks.labeling.page
