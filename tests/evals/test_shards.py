"""Jobs and shards: however a run is split, it ends as the run that one thread would have made."""

import logging
import threading
import time
from pathlib import Path

import pytest
from sam3_evals.merge import merge
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, Plan, execute, prepare, read_cases, read_predictions, trace_name
from sam3_evals.runner import Progress
from sam3_evals.sample import Case, Source
from sam3_evals.score import score_run
from sam3_evals.shard import Shard, read_shard
from sam3_evals.solvers.agent import AgentSolver
from sam3_evals.solvers.concept import ConceptSolver

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from sam3_agent.loop.trace import read_trace
from tests.evals.fixtures_runs import Squares, plan_for, whole_run, workspace_for


def solver() -> ConceptSolver:
    return ConceptSolver(workspace_for(Squares(20)))


def shard(folder: Path, index: int, count: int, limit: int | None = None) -> Path:
    prepare(Plan(Squares(20), "concept", "fake", "", limit, shard=Shard(index, count)), folder)
    execute(folder, Squares(20), [solver()])
    return folder


def answers(run: Path) -> dict[str, tuple[str, ...]]:
    found = [(p.case, tuple(rle.counts for rle in p.rles)) for p in read_predictions(run)]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("count", [2, 3, 12])
def test_merged_shards_are_the_run_that_one_machine_would_have_made(tmp_path: Path, count: int) -> None:
    whole = whole_run(tmp_path / "whole", Squares(20))
    shards = [shard(tmp_path / f"s{i}", i, count) for i in range(1, count + 1)]  # with 12 the last have nothing to do
    merge(shards[::-1], tmp_path / "merged")
    for name in ("manifest.json", "cases.jsonl"):
        assert (tmp_path / "merged" / name).read_bytes() == (whole / name).read_bytes()
    assert answers(tmp_path / "merged") == answers(whole)
    assert score_run(tmp_path / "merged").to_json()["overall"] == score_run(whole).to_json()["overall"]
    assert all("rank" not in line for line in (tmp_path / "merged" / "cases.jsonl").read_text().splitlines())


def test_cases_about_one_picture_stay_together_and_a_shard_says_that_it_is_one(tmp_path: Path) -> None:
    run = shard(tmp_path / "s", 2, 3)
    assert [case.id for case in read_cases(run)] == ["c2", "c3", "c8", "c9", "c14", "c15"]
    assert any("PART OF A RUN: shard 2/3, 6 of 20 cases" in words for words in score_run(run).to_json()["caveats"])


def test_an_unfinished_shard_leaves_a_whole_run_that_can_be_resumed(tmp_path: Path) -> None:
    first, second = shard(tmp_path / "a", 1, 2), shard(tmp_path / "b", 2, 2)
    lines = (first / PREDICTIONS).read_text().splitlines(keepends=True)
    (first / PREDICTIONS).write_text("".join(lines[:-3]))
    merge([first, second], tmp_path / "m")
    assert score_run(tmp_path / "m").missing == 3
    prepare(plan_for(Squares(20)), tmp_path / "m")
    assert execute(tmp_path / "m", Squares(20), [solver()]) == 3
    assert answers(tmp_path / "m") == answers(whole_run(tmp_path / "whole", Squares(20)))


def test_what_is_not_all_shards_of_one_run_is_not_merged(tmp_path: Path) -> None:
    one, two = shard(tmp_path / "1", 1, 2), shard(tmp_path / "2", 2, 2)
    other, whole = shard(tmp_path / "o", 2, 2, limit=8), whole_run(tmp_path / "w", Squares(20))
    for runs, words in [
        ([one], "expected each of the shards 1/2 to 2/2 once, got 1/2"),
        ([one, one], "got 1/2, 1/2"),
        ([one, other], "are not shards of one run: .*cases was 20, is 8"),
        ([one, whole], "is not a shard"),
    ]:
        with pytest.raises(InputError, match=words):
            merge(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="there is a run already"):
        merge([one, two], whole)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a shard is i/n"):
        read_shard(text)
    assert (str(read_shard("2/4")), str(read_shard("")), str(read_shard("1/1"))) == ("2/4", "", "")


class Slow:
    """A solver that takes its time, and tells how many are at work at once."""

    busy = most = 0
    lock = threading.Lock()

    def __init__(self, fails_at: str = "") -> None:
        self.inner, self.fails_at = solver(), fails_at

    def solve(self, case: Case, picture: Source) -> Prediction:
        with Slow.lock:
            Slow.busy += 1
            Slow.most = max(Slow.most, Slow.busy)
        time.sleep(0.02)
        with Slow.lock:
            Slow.busy -= 1
        if case.id == self.fails_at:
            raise Sam3AgentError("the model went blind")
        return self.inner.solve(case, picture)


def test_several_jobs_work_at_once_and_answer_what_one_would(tmp_path: Path) -> None:
    Slow.most = 0
    prepare(plan_for(Squares(20)), tmp_path / "run")
    assert execute(tmp_path / "run", Squares(20), [Slow() for _ in range(4)]) == 20
    assert Slow.most > 1
    whole = whole_run(tmp_path / "whole", Squares(20))
    assert answers(tmp_path / "run") == answers(whole)
    assert score_run(tmp_path / "run").to_json()["overall"] == score_run(whole).to_json()["overall"]


def test_an_error_in_one_job_stops_all_and_what_was_answered_stays(tmp_path: Path) -> None:
    prepare(plan_for(Squares(20)), tmp_path)
    with pytest.raises(Sam3AgentError, match="case c9: the model went blind"):
        execute(tmp_path, Squares(20), [Slow("c9") for _ in range(3)])
    kept = answers(tmp_path)
    assert "c9" not in kept
    assert execute(tmp_path, Squares(20), [solver()]) == 20 - len(kept)


def test_progress_tells_the_running_giou_dollars_and_time_and_goes_on_after_a_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    prepare(plan_for(Squares(8)), tmp_path)
    with Progress(tmp_path) as progress:
        assert progress.words() == "gIoU -, 0.00 USD, 0:00 left"
        execute(tmp_path, Squares(8), [ConceptSolver(workspace_for(Squares(8)))], progress)
    assert (progress.done, progress.total) == (8, 8)
    told = "8 of 8 cases, gIoU 100.0 (100.0 on 4 with a target, 4 of 4 without one left empty), 0.00 USD, 0:00 left"
    assert told in caplog.text
    lines = (tmp_path / PREDICTIONS).read_text().splitlines(keepends=True)
    (tmp_path / PREDICTIONS).write_text("".join(lines[:6]))
    resumed = Progress(tmp_path)
    assert resumed.done == 6
    assert resumed.words().startswith("gIoU 100.0")
    assert "resuming: 6 of 8 cases are done" in caplog.text


def test_an_agent_s_trace_lies_beside_its_prediction(tmp_path: Path) -> None:
    script = ScriptedLLM(
        ToolCall("1", "report_no_match", {"reason": "no"}), ToolCall("2", "report_no_match", {"reason": "no"})
    )
    prepare(plan_for(Squares(2)), tmp_path)
    execute(tmp_path, Squares(2), [AgentSolver(workspace_for(Squares(2)), script)])
    first, second = read_predictions(tmp_path)
    assert first.trace_file != second.trace_file
    assert read_trace(tmp_path / first.trace_file).steps[0].data["query"] == "thing 0"


def test_names_of_traces_are_safe_and_do_not_collide() -> None:
    names = [trace_name(case) for case in ("a/b", "a_b", "../../etc", "ü" * 300, "x" * 300)]
    assert len(set(names)) == 5
    assert all("/" not in name and len(name) < 100 and name.isascii() for name in names)
