"""The report: one page that needs nothing but itself, and says what a reader must know."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sam3_evals.datasets import open_dataset
from sam3_evals.manifest import read_manifest
from sam3_evals.prediction import Prediction
from sam3_evals.report import plots
from sam3_evals.report.cards import case_pictures
from sam3_evals.report.page import SHOWN, Gathered, write_report
from sam3_evals.run import Plan, execute, prepare
from sam3_evals.sample import Case, Source
from sam3_evals.score import score_cases

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.types import Step, Trace, Usage
from tests.evals.fixtures_runs import Squares, square, whole_run

SPEC = "scenes:3/queries"


class Knowing:
    """Right in every second case, silent in the others; leaves traces and bills."""

    def __init__(self, right: int) -> None:
        self.right, self.asked = right, 0

    def solve(self, case: Case, picture: Source) -> Prediction:
        self.asked += 1
        rles = case.targets if self.asked % 2 == self.right else ()
        trace = Trace((Step("start", 0.1, {"query": "</pre><script>alert(1)</script>"}),))
        return Prediction(case.id, rles, (0.9,) * len(rles), presence=0.8, usage=Usage(usd=0.01), trace=trace)


def scenes_run(folder: Path, right: int = 0, model: str = "tiny", spec: str = SPEC) -> Path:
    dataset = open_dataset(spec, "agent")
    prepare(Plan(dataset, "agent", model, "rules", 12), folder)
    execute(folder, dataset, [Knowing(right)])
    return folder


class Links(HTMLParser):
    """Everything that a page would load or link to, and the tags that stay open."""

    void = frozenset({"meta", "img", "br", "rect", "path", "line", "circle"})
    lax = frozenset({"html", "body"})

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value for key in ("src", "srcset", "data") if (value := given.get(key))]
        if tag in ("link", "script", "iframe"):
            self.loads.append(tag)
        if href := given.get("href"):
            self.links.append(href)
        if tag not in self.void | self.lax:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void | self.lax:
            assert self.open.pop() == tag


def read(page: Path) -> Links:
    links = Links()
    links.feed(page.read_text())
    assert links.open == []
    return links


def test_the_page_loads_nothing_and_its_traces_are_there(tmp_path: Path) -> None:
    run = scenes_run(tmp_path / "run")
    page = write_report(run, tmp_path / "elsewhere" / "page.html")
    found = read(page)
    assert len(found.loads) == len([load for load in found.loads if load.startswith("data:image/webp;base64,")]) > SHOWN
    assert found.links
    assert all((page.parent / link).resolve().is_file() for link in found.links)
    text = page.read_text()
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    assert "<script>" not in text
    assert "&lt;/pre&gt;&lt;script&gt;" in text


def test_tables_plots_and_cases_are_on_the_page(tmp_path: Path) -> None:
    text = write_report(scenes_run(tmp_path / "run"), tmp_path / "page.html").read_text()
    for words in ("gIoU VR", "cgF1", "N-acc", "Worst cases", "Best cases", "Calibration of presence", "USD a case"):
        assert words in text
    assert text.count("<svg") == 3
    assert "could not be read" not in text
    assert "OUT OF ITS DOMAIN" not in text  # scenes are what the tiny model knows


def test_the_page_begins_with_the_answer_and_ends_with_the_hashes(tmp_path: Path) -> None:
    one, other = scenes_run(tmp_path / "a", right=0), scenes_run(tmp_path / "b", right=1)
    text = re.sub(r"data:[^\"]*", "", write_report(other, tmp_path / "page.html", against=one).read_text())
    order = ["gIoU ", "Against ", "Flipped cases", "Worst cases", "Best cases", "<h2>Figures", "<svg", "dataset_hash"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "<details open" not in text


def test_right_wrong_and_missed_pixels_have_colors_of_their_own() -> None:
    one, other = masks.encode(square(8, 8, 40)), masks.encode(square(28, 8, 40) & square(0, 0, 64))
    case = Case("c", "p", "q", (64, 64), (one,))
    marked, plain = case_pictures(case, Prediction("c", (other,), (0.9,)), np.full((64, 64, 3), 90, dtype=np.uint8))
    shown, bare = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).astype(int)
        for uri in (marked, plain)
    )
    right, wrong, missed = shown[28, 38], shown[28, 58], shown[28, 18]
    assert right.argmax() == 1  # green
    assert wrong.argmax() == 0  # orange
    assert missed.argmax() == 2  # blue
    assert np.ptp(bare[28, 38]) < 20  # the plain picture is grey as it was


def test_flipped_cases_are_shown_from_both_runs(tmp_path: Path) -> None:
    one, other = scenes_run(tmp_path / "a", right=0), scenes_run(tmp_path / "b", right=1)
    text = write_report(other, tmp_path / "page.html", against=one).read_text()
    read(tmp_path / "page.html")
    assert re.search(r"Flipped cases: \d+, the \d largest", text)
    assert text.count("<b>before</b>") == text.count("<b>now</b>") > 0
    with pytest.raises(InputError, match="asked different cases"):
        write_report(other, tmp_path / "page.html", against=whole_run(tmp_path / "c", Squares(4)))


def test_the_tiny_model_away_from_its_scenes_is_warned_of_on_top(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", Squares(4))
    replace(read_manifest(run), model="tiny").write(run)
    text = write_report(run, tmp_path / "page.html").read_text()
    assert 'class="warning"' in text
    assert text.index("OUT OF ITS DOMAIN") < text.index("<table")
    assert "masks lie on grey" in text  # "squares" is no dataset that can be opened again


def test_an_incomplete_run_says_so_on_the_page(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", Squares(4))
    (run / "predictions.jsonl").write_text("")
    assert "INCOMPLETE: 4 of 4 cases have no prediction" in write_report(run, tmp_path / "page.html").read_text()


def test_what_is_gathered_is_bounded_and_the_best_and_worst_are_right(tmp_path: Path) -> None:
    run, gathered = whole_run(tmp_path / "run", Squares(24)), Gathered()
    scored = list(score_cases(run))
    for number, case in enumerate(scored):
        gathered.take(replace(case, lisa=replace(case.lisa, iou=number / 24)))
    assert gathered.worst() == [f"c{n}" for n in range(SHOWN)]
    assert gathered.best() == [f"c{n}" for n in range(22, 22 - 2 * SHOWN, -2)]  # odd ones have no target
    assert sum(gathered.histogram) == 12
    assert gathered.costs()[0] == "seconds"


def test_plots_bear_no_cases_at_all() -> None:
    assert plots.histogram([0, 0], "IoU").startswith("<svg")
    assert plots.scatter([], "USD").count("<circle") == 0
    assert plots.reliability([{"from": 0.9, "cases": 4, "presence": 0.95, "there": 0.5}]).count("<circle") == 1
