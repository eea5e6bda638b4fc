"""A run is complete, resumable and only ever continued as itself."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sam3_evals
from sam3_evals.datasets import open_dataset
from sam3_evals.manifest import read_manifest
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, Plan, execute, prepare, read_cases, read_predictions
from sam3_evals.sample import Case, Source
from sam3_evals.score import score_run
from sam3_evals.solvers.agent import AgentSolver
from sam3_evals.solvers.concept import ConceptSolver

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.llm.base import ToolCall
from sam3_agent.llm.scripted import ScriptedLLM
from tests.environment import python_path
from tests.evals.fixtures_runs import Squares, plan_for, whole_run, workspace_for

CHECKOUT = Path(sam3_evals.__file__).resolve().parents[2]


def answers(run: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(p.case, tuple(rle.counts for rle in p.rles)) for p in read_predictions(run)]


def test_a_run_answers_every_case_once_and_encodes_each_picture_once(tmp_path: Path) -> None:
    dataset = Squares(8)
    prepare(plan_for(dataset), tmp_path)
    workspace = workspace_for(dataset)
    assert execute(tmp_path, dataset, [ConceptSolver(workspace)]) == 8
    assert [prediction.case for prediction in read_predictions(tmp_path)] == [f"c{n}" for n in range(8)]
    assert workspace.encodes == 4
    assert len(workspace.images()) == 1
    assert score_run(tmp_path).to_json()["overall"]["lisa"]["giou"]["value"] == pytest.approx(1.0, abs=1e-6)


class Stopping:
    """A solver that is interrupted in its n-th case."""

    def __init__(self, solver: ConceptSolver, cases: int) -> None:
        self.solver, self.left = solver, cases

    def solve(self, case: Case, picture: Source) -> Prediction:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.solver.solve(case, picture)


def test_an_interrupted_run_is_resumed_where_it_stopped_and_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    dataset = Squares(8)
    whole_run(tmp_path / "whole", dataset)
    torn = tmp_path / "torn"
    prepare(plan_for(dataset), torn)
    with pytest.raises(KeyboardInterrupt):
        execute(torn, dataset, [Stopping(ConceptSolver(workspace_for(dataset)), 3)])
    with (torn / PREDICTIONS).open("ab") as file:
        file.write(b'{"case":"c3","inst')
    prepare(plan_for(dataset), torn)
    assert execute(torn, dataset, [ConceptSolver(workspace_for(dataset))]) == 5
    assert answers(torn) == answers(tmp_path / "whole")
    assert score_run(torn).to_json()["overall"] == score_run(tmp_path / "whole").to_json()["overall"]


SLOW_RUN = """
import sys, time
from pathlib import Path
from sam3_evals.run import execute, prepare
from sam3_evals.solvers.concept import ConceptSolver
from tests.evals.fixtures_runs import Squares, plan_for, workspace_for
dataset, run, left = Squares(30), Path(sys.argv[1]), int(sys.argv[2])

def slowly(*_):
    global left
    left -= 1
    time.sleep(0.03 if left else 3600)  # who is to be killed waits for it, however late it comes

prepare(plan_for(dataset), run)
execute(run, dataset, [ConceptSolver(workspace_for(dataset))], slowly)
"""


@pytest.mark.integration
def test_kill_9_at_random_moments_loses_no_case_and_doubles_none(tmp_path: Path) -> None:
    chance = random.Random(5)
    whole_run(tmp_path / "whole", Squares(30))
    run, kills = tmp_path / "killed", 0
    environment = {**os.environ, "PYTHONPATH": python_path(CHECKOUT), "OMP_NUM_THREADS": "1"}
    for _ in range(30):
        cases = "6" if kills < 3 else "0"
        process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(run), cases], env=environment, cwd=CHECKOUT)
        done = len(answers(run))
        while kills < 3 and process.poll() is None and len(answers(run)) < min(30, done + 4):
            time.sleep(0.01)
        if kills < 3:
            time.sleep(chance.random() * 0.06)
            process.kill()
        status = process.wait(60)
        kills += status == -signal.SIGKILL
        if status == 0:
            break
    assert kills == 3
    assert score_run(run).to_json()["overall"] == score_run(tmp_path / "whole").to_json()["overall"]
    assert answers(run) == answers(tmp_path / "whole")


def test_a_journal_cut_off_at_any_byte_is_resumed_to_the_undisturbed_result(tmp_path: Path) -> None:
    """What a kill leaves is a prefix of the journal: twenty random ones, each followed by the next kill."""
    chance, dataset = random.Random(11), Squares(30)
    whole = whole_run(tmp_path / "whole", dataset)
    run = whole_run(tmp_path / "torn", dataset)
    for _ in range(20):
        size = (run / PREDICTIONS).stat().st_size
        os.truncate(run / PREDICTIONS, chance.randrange(size + 1))
        prepare(plan_for(dataset), run)
        execute(run, dataset, [ConceptSolver(workspace_for(dataset))])
        assert answers(run) == answers(whole)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (plan_for(Squares(8), model="other"), "model was 'fake', is 'other'"),
        (plan_for(Squares(8), limit=4), "cases was 8, is 4"),
        (replace(plan_for(Squares(8)), device="cuda"), "device was '', is 'cuda'"),
        (replace(plan_for(Squares(8)), dtype="bfloat16"), "dtype was '', is 'bfloat16'"),
    ],
    ids=["model", "limit", "device", "dtype"],
)
def test_a_run_is_not_resumed_as_another_one(tmp_path: Path, other: Plan, expected: str) -> None:
    whole_run(tmp_path, Squares(8))
    with pytest.raises(InputError, match=expected):
        prepare(other, tmp_path)
    assert len(list(read_cases(tmp_path))) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.jsonl", "manifest.json", "predictions.jsonl"]


def test_a_dataset_whose_truth_changed_is_another_run(tmp_path: Path) -> None:
    class Moved(Squares):
        def cases(self, limit: int | None):  # type: ignore[no-untyped-def]
            return reversed(list(super().cases(limit)))

    whole_run(tmp_path, Squares(8))
    with pytest.raises(InputError, match="dataset_hash was"):
        prepare(plan_for(Moved(8)), tmp_path)


def test_a_query_that_the_model_refuses_is_an_error_prediction_that_counts_as_empty(tmp_path: Path) -> None:
    case = Case(id="long", picture="0", query="x" * 301, size=(64, 64), strata={})
    prediction = ConceptSolver(workspace_for(Squares(2))).solve(case, Squares(2).picture(case))
    assert prediction.rles == ()
    assert "at most 300" in prediction.error


def test_a_broken_picture_stops_the_run_and_names_the_case(tmp_path: Path) -> None:
    class Broken(Squares):
        def picture(self, case: Case) -> Source:
            return tmp_path / "missing.png"

    prepare(plan_for(Broken(2)), tmp_path / "run")
    with pytest.raises(Sam3AgentError, match="case c0: no such file"):
        execute(tmp_path / "run", Broken(2), [ConceptSolver(workspace_for(Broken(2)))])


def test_an_agent_s_answer_is_the_prediction_and_its_cost_is_kept(tmp_path: Path) -> None:
    dataset = Squares(2)
    script = ScriptedLLM(
        ToolCall("1", "segment_concepts", {"image_id": "img1", "concepts": ["thing 0"]}),
        ToolCall("2", "submit_answer", {"mask_ids": ["m1"], "reason": "the only one"}),
        ToolCall("3", "report_no_match", {"reason": "nothing here"}),
    )
    prepare(plan_for(dataset), tmp_path)
    execute(tmp_path, dataset, [AgentSolver(workspace_for(dataset), script)])
    first, second = read_predictions(tmp_path)
    assert (first.outcome, first.reason, first.usage.llm_calls) == ("answered", "the only one", 2)
    assert (second.outcome, second.rles) == ("no_match", ())
    assert score_run(tmp_path).to_json()["overall"]["lisa"]["giou"]["value"] == pytest.approx(1.0, abs=1e-6)


def test_an_agent_that_is_interrupted_leaves_no_half_done_prediction(tmp_path: Path) -> None:
    dataset = Squares(2)
    prepare(plan_for(dataset), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, dataset, [AgentSolver(workspace_for(dataset), ScriptedLLM(KeyboardInterrupt()))])
    assert list(read_predictions(tmp_path)) == []


@pytest.mark.parametrize("spec", ["scenes:5/concepts", "scenes:5/queries"])
def test_generated_scenes_are_the_same_every_time_and_a_model_that_knows_them_scores_full_marks(
    tmp_path: Path, spec: str
) -> None:
    dataset = open_dataset(spec, "concept")
    run = whole_run(tmp_path, dataset, limit=8)
    assert prepare(plan_for(open_dataset(spec, "concept"), limit=8), run) == read_manifest(run)
    found = score_run(run).to_json()["overall"]
    assert found["cases"] == 8
    assert found["lisa"]["giou"]["value"] > 0.999
    assert found["instances"]["f1_50"]["value"] > 0.999


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(InputError, match="there is none"):
        prepare(Plan(open_dataset(f"coco:{file}", "concept"), "concept", "tiny", ""), tmp_path / "run")
    assert not (tmp_path / "run").exists()
