"""Running like production: every image once, duplicates, unreadable files, kill -9, a full disk."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.pipeline.budget import BudgetSpent, DollarBudget
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, Progress, label_images, new_run, run_lock
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import summarize
from sam3_agent.llm.base import LLM, Message, Reply
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import CONCEPTS, contents, knowing_segmenter, label, ontology, write_scenes

COUNT = 12
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_scenes(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    journal = label(images, tmp_path_factory.mktemp("undisturbed"), knowing_segmenter(COUNT))
    return contents(journal)


def program(images: Path, out: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.labeling.fixtures_runs", images, out, *arguments]
    return subprocess.Popen([str(part) for part in command], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)


def test_every_image_is_encoded_once_and_a_second_call_does_nothing(images: Path, tmp_path: Path) -> None:
    segmenter = knowing_segmenter(COUNT)
    label(images, tmp_path, segmenter, CONCEPTS.split("  - name: leftmost")[0]).close()
    assert segmenter.encodes == COUNT
    label(images, tmp_path, segmenter, CONCEPTS.split("  - name: leftmost")[0]).close()
    assert segmenter.encodes == COUNT


def test_what_was_found_and_what_was_routed_add_up(images: Path, tmp_path: Path) -> None:
    journal = label(images, tmp_path, knowing_segmenter(COUNT))
    summary = summarize(journal)
    routed = sum(sum(routes.values()) for routes in summary.classes.values())
    assert routed == len(journal.labels()) > 3 * COUNT
    proposer = Proposer(Workspace(knowing_segmenter(COUNT)), ontology())
    found = 0
    for row in journal.images():
        image = proposer.workspace.open(images / row.path)
        counted = {s.phrase: len(s.found) for s in proposer.look(image.id)}
        found += sum(counted[p] for each in ontology().classes for p in each.phrases)
    queries = sum(1 for each in journal.labels() if each.source == "query")
    assert summary.proposals == found + queries


def test_the_number_of_jobs_does_not_change_the_labels(
    images: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    assert contents(label(images, tmp_path, knowing_segmenter(COUNT), jobs=4)) == undisturbed


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_ends_like_an_undisturbed_run(
    images: Path, undisturbed: dict[str, object], tmp_path: Path, times: int
) -> None:
    chance = random.Random(7)
    kills = 0
    while kills < times:
        running = program(images, tmp_path / "out")
        began = time.monotonic()
        wait = chance.uniform(0.0, 0.35)
        journal = tmp_path / "out" / "journal.sqlite"
        while running.poll() is None and not journal.exists() and time.monotonic() - began < 60:
            time.sleep(0.01)  # the imports of Python are not what is to be interrupted
        time.sleep(wait)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        kills += 1
        if kills % 3 == 0 and not Journal.create(tmp_path / "out").images("pending"):
            shutil.rmtree(tmp_path / "out")  # done too early: more moments with a fresh folder
    finishing = program(images, tmp_path / "out")
    _, said = finishing.communicate(timeout=120)
    assert finishing.returncode == 0, said
    assert contents(Journal.open(tmp_path / "out")) == undisturbed


@pytest.mark.integration
def test_a_full_disk_is_one_clear_line_and_nothing_is_lost(
    images: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    full = program(images, tmp_path, 100_000)
    _, said = full.communicate(timeout=120)
    assert full.returncode == 1
    assert "Sam3AgentError: cannot use the journal" in said
    assert contents(label(images, tmp_path, knowing_segmenter(COUNT))) == undisturbed


def test_a_folder_that_cannot_be_written_is_one_clear_line(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Sam3AgentError, match="cannot write"):
        Journal.create(tmp_path / "file" / "out")
    with pytest.raises(InputError, match="holds no journal"):
        Journal.open(tmp_path)
    (tmp_path / "journal.sqlite").write_text("this is no database, it only has its name" * 100)
    with pytest.raises(Sam3AgentError, match="damaged or no journal"):
        Journal.open(tmp_path)


def test_duplicates_and_unreadable_files_are_listed(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    (folder / "zz").mkdir()
    shutil.copy(folder / "003.png", folder / "zz" / "copy.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "note.txt").write_text("not looked at")
    segmenter = knowing_segmenter(COUNT)
    journal = label(folder, tmp_path / "out", segmenter)
    summary = summarize(journal)
    assert summary.images == {"done": COUNT, "pending": 0, "duplicate": 1, "unreadable": 1}
    assert [(row.path, row.reason) for row in summary.duplicates] == [("zz/copy.png", "003.png")]
    assert summary.unreadable[0].path == "broken.jpg"
    assert "not an image" in summary.unreadable[0].reason
    (folder / "003.png").unlink()  # what it was a copy of is gone: the copy is what is labeled now
    assert {row.path: row.state for row in label(folder, tmp_path / "out", segmenter).images()}["zz/copy.png"] == "done"


def test_another_question_is_refused_and_another_line_is_not(images: Path, tmp_path: Path) -> None:
    simple = "classes: [{name: shape, accept: 0.75}]"
    before = label(images, tmp_path, knowing_segmenter(COUNT), simple)
    accepted = summarize(before).classes["shape"]["accepted"]
    assert accepted > 0
    with pytest.raises(InputError, match="the concept file asks other things"):
        label(images, tmp_path, knowing_segmenter(COUNT), "classes: [{name: shape, phrases: [shape, star]}]")
    after = summarize(label(images, tmp_path, knowing_segmenter(COUNT), "classes: [{name: shape, accept: 0.99}]"))
    assert (after.classes["shape"]["accepted"], after.classes["shape"]["review"]) == (0, accepted)


def test_two_runs_do_not_write_one_folder(images: Path, tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(InputError, match="another 'sam3-agent label' is working"):
        label(images, tmp_path, knowing_segmenter(COUNT))


def test_progress_counts_up_to_all(images: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    journal = Journal.create(tmp_path)
    proposer = Proposer(Workspace(knowing_segmenter(COUNT)), ontology("classes: [{name: shape}]"))
    label_images(Order(images), journal, ThreadExecutor(proposer), seen.append)
    assert [now.done for now in seen] == list(range(1, COUNT + 1))
    assert {now.total for now in seen} == {COUNT}
    assert seen[-1].rate > 0
    assert seen[-1].seconds_left == 0


class Costly:
    """An LLM that says there is no match, for ten cents."""

    name = "costly"
    sees = False

    def reply(self, messages: object, tools: object) -> Reply:
        from sam3_agent.llm.base import ToolCall

        call = ToolCall("1", "report_no_match", {"reason": "nothing like it"})
        return Reply(Message("assistant", calls=(call,)), usd=0.1)


def paid(images: Path, journal: Journal, budget: float | None, loaded_llm: LLM) -> str:
    proposer = Proposer(
        Workspace(knowing_segmenter(COUNT)), ontology("classes: [{name: x, query: the x}]"), lambda: loaded_llm
    )
    return label_images(Order(images, budget_usd=budget), journal, ThreadExecutor(proposer))


def test_a_budget_ends_the_run_and_nothing_is_paid_twice(images: Path, tmp_path: Path) -> None:
    journal = Journal.create(tmp_path)
    ended = paid(images, journal, 0.35, Costly())
    assert ended.startswith("the budget of $0.35 is spent; 8 images are pending")
    assert journal.usd() == pytest.approx(0.4)
    assert paid(images, journal, None, Costly()) == "finished"
    assert journal.usd() == pytest.approx(0.1 * COUNT)


def test_failing_queries_stop_the_run_and_are_asked_again(images: Path, tmp_path: Path) -> None:
    journal = Journal.create(tmp_path)
    with pytest.raises(Sam3AgentError, match="5 queries failed one after another"):
        paid(images, journal, None, ScriptedLLM())
    assert paid(images, journal, None, Costly()) == "finished"
    assert journal.usd() == pytest.approx(0.1 * COUNT)
    assert {check.reason for check in journal.checks()} == {"not there"}


def test_a_budget_says_what_is_left() -> None:
    budget = DollarBudget(1.0)
    budget.spend(0.25)
    assert budget.left() == pytest.approx(0.75)
    budget.spend(0.75)
    with pytest.raises(BudgetSpent):
        budget.left()
    assert DollarBudget().left() is None


def test_a_run_that_never_began_leaves_nothing(images: Path, tmp_path: Path) -> None:
    proposer = Proposer(Workspace(knowing_segmenter(COUNT)), ontology("classes: [{name: shape}]"))

    def run(pictures: Path, out: Path) -> None:
        with new_run(out) as journal:
            label_images(Order(pictures), journal, ThreadExecutor(proposer))
            raise KeyboardInterrupt

    for there in (False, True):
        out = tmp_path / f"out{there}"
        if there:
            out.mkdir()
        (tmp_path / "none").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="no images"):
            run(tmp_path / "none", out)
        assert out.exists() == there
        assert not there or list(out.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        run(images, out)
    with new_run(out) as journal:  # what was begun stays, whatever ended it
        assert len(journal.images("done")) == COUNT
