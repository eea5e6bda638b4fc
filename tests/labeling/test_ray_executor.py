"""Labeling over a Ray cluster of this machine: two workers, and what happens when they die."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sam3_agent.errors import InputError, LLMError, ModelUnavailable
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Inquiry, Proposer
from sam3_agent.labeling.pipeline.run import Order, Progress, label_images
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import summarize
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.planner import RulesLLM
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_judges import PRICE, Seeing
from tests.labeling.fixtures_runs import contents, knowing_segmenter, label, ontology, write_scenes

ray: Any = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sam3-agent[ray]'")

from sam3_agent.labeling.pipeline.ray_executor import RayExecutor  # noqa: E402 - after the skip

pytestmark = pytest.mark.integration
COUNT = 12
SIMPLE = "classes: [{name: shape}, {name: animal}]"
DEADLY = "deadly.png"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    options = {"include_dashboard": False, "log_to_driver": False, "object_store_memory": 100_000_000}
    ray.init(num_cpus=2, logging_level="ERROR", **options)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_scenes(folder, COUNT)
    return folder


def with_queries(delay: float) -> Proposer:
    return Proposer(Workspace(knowing_segmenter(COUNT, delay)), ontology(), RulesLLM, "never")


def simple(delay: float = 0.0) -> Proposer:
    return Proposer(Workspace(knowing_segmenter(COUNT, delay)), ontology(SIMPLE), None, "never")


def judging() -> Proposer:
    return Proposer(Workspace(knowing_segmenter(COUNT)), ontology(SIMPLE), None, "never", judge=Seeing)


def failing() -> Proposer:
    return Proposer(
        Workspace(knowing_segmenter(COUNT)), ontology(SIMPLE), None, "never", judge=lambda: ScriptedLLM(sees=True)
    )


def blind() -> Proposer:
    raise ModelUnavailable("no weights here")


class Dying:
    """An LLM that takes its whole process with it, over one picture of the folder."""

    name = "dying"
    sees = True

    def reply(self, messages: Any, tools: Any) -> Any:
        picture = messages[-1].pictures[0].image
        if not picture.convert("L").getextrema()[1]:  # all black
            os.kill(os.getpid(), signal.SIGKILL)
        return Seeing().reply(messages, tools)


def dying() -> Proposer:
    return Proposer(Workspace(knowing_segmenter(COUNT)), ontology(SIMPLE), None, "never", judge=Dying)


@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_changes_nothing(images: Path, tmp_path: Path) -> None:
    undisturbed = contents(label(images, tmp_path / "plain", knowing_segmenter(COUNT)))
    killed: list[int] = []
    with RayExecutor(partial(with_queries, 0.05), Inquiry(ontology(), "never"), 2) as engine:
        pids = engine.pids()
        assert len({*pids, os.getpid()}) == 3

        def kill_one(now: Progress) -> None:
            if now.done == 3:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

        journal = Journal.create(tmp_path / "ray")
        assert label_images(Order(images, llm="rules"), journal, engine, kill_one) == "finished"
        assert killed == [pids[0]]
        assert contents(journal) == undisturbed
        after = engine.pids()
        assert after[1] == pids[1]
        assert after[0] != pids[0]  # a new one took its place


@pytest.mark.timeout(240)
def test_an_image_that_kills_every_worker_is_listed_and_the_others_are_labeled(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("000.png", "001.png", "002.png"):
        (folder / name).write_bytes((images / name).read_bytes())
    Image.new("RGB", (64, 48)).save(folder / DEADLY)
    with RayExecutor(dying, Inquiry(ontology(SIMPLE), "never", judged=True), 2) as engine:
        journal = Journal.create(tmp_path / "out")
        assert label_images(Order(folder), journal, engine) == "finished"
    summary = summarize(journal)
    assert summary.images == {"done": 3, "pending": 0, "duplicate": 0, "unreadable": 1}
    assert [(row.path, row.reason) for row in summary.unreadable] == [(DEADLY, "3 workers died over it")]


@pytest.mark.timeout(240)
def test_dollars_are_counted_as_they_are_spent_and_nothing_is_paid_twice(images: Path, tmp_path: Path) -> None:
    plain = Journal.create(tmp_path / "plain")
    label_images(Order(images), plain, ThreadExecutor(judging()))
    journal = Journal.create(tmp_path / "ray")
    with RayExecutor(judging, Inquiry(ontology(SIMPLE), "never", judged=True), 2) as engine:
        ended = label_images(Order(images, budget_usd=4.5 * PRICE), journal, engine)
        assert ended.startswith("the budget of $0.045 is spent")
        done = len(journal.images("done"))
        assert 5 <= done <= 9  # each of two workers had two images in hand
        assert journal.usd() == pytest.approx(done * PRICE)
        assert label_images(Order(images), journal, engine) == "finished"
    assert journal.usd() == pytest.approx(COUNT * PRICE)
    assert contents(journal) == contents(plain)


@pytest.mark.timeout(240)
def test_errors_of_workers_end_the_run_in_one_line_with_what_is_done_kept(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no weights here"):
        RayExecutor(blind, Inquiry(ontology(SIMPLE)), 1)
    with pytest.raises(InputError, match="2 CPUs: too few for 3 workers"):
        RayExecutor(simple, Inquiry(ontology(SIMPLE)), 3)
    journal = Journal.create(tmp_path)
    inquiry = Inquiry(ontology(SIMPLE), "never", judged=True)
    with RayExecutor(failing, inquiry, 1) as engine, pytest.raises(LLMError, match="5 judgments failed one after"):
        label_images(Order(images), journal, engine)
    with RayExecutor(judging, inquiry, 1) as engine:
        assert label_images(Order(images), journal, engine) == "finished"
    assert len(journal.images("done")) == COUNT


@pytest.mark.timeout(240)
def test_a_picture_that_cannot_be_read_is_listed(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "000.png").write_bytes((images / "000.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    with RayExecutor(simple, Inquiry(ontology(SIMPLE), "never"), 1) as engine:
        journal = Journal.create(tmp_path / "out")
        label_images(Order(folder), journal, engine)
        assert engine.encodes == 1
    assert [row.path for row in journal.images("unreadable")] == ["broken.png"]
