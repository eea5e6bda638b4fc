"""Several runs of one setup: figures with their standard deviation, and the cases that only some runs solve."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sam3_evals.__main__ import app
from sam3_evals.journal import Journal
from sam3_evals.prediction import Prediction
from sam3_evals.run import PREDICTIONS, prepare, read_cases
from sam3_evals.spread import spread_of, spread_table
from typer.testing import CliRunner

from sam3_agent.errors import InputError
from tests.evals.fixtures_runs import Squares, plan_for


def run(folder: Path, solved: Sequence[str], model: str = "fake") -> Path:
    """A run that answers cases with a target as truth has them if in `solved`, and all others with nothing."""
    prepare(plan_for(Squares(8), model=model), folder)
    with Journal(folder / PREDICTIONS) as journal:
        for case in read_cases(folder):
            rles = case.targets if case.id in solved else ()
            journal.append(Prediction(case.id, rles=rles, scores=(1.0,) * len(rles)).to_json())
    return folder


def test_the_spread_between_runs_and_of_a_single_case_is_told(tmp_path: Path) -> None:
    runs = [run(tmp_path / f"{n}", solved) for n, solved in enumerate((("c0", "c2"), ("c0",), ("c0", "c2", "c4")))]
    found = spread_of(runs)
    giou = found.groups["all"][1]
    # 4 cases without a target are always right; of those with one, 2, 1 and 3 are
    assert giou.mean == pytest.approx((6 + 5 + 7) / 24, abs=1e-5)
    assert giou.sd == pytest.approx(1 / 8, abs=1e-5)
    assert (giou.low, giou.high) == (pytest.approx(5 / 8, abs=1e-5), pytest.approx(7 / 8, abs=1e-5))
    assert found.solved == {"all": 5, "some": 2, "none": 1}
    assert found.within == pytest.approx(2 * (1 / 3) ** 0.5 / 8, abs=1e-5)
    assert [each.case for each in found.unstable] == ["c2", "c4"]
    assert found.groups["kind: plain"][0] == 4
    table = spread_table(found)
    assert "gIoU 75.0, standard deviation between runs 12.50 (62.5 .. 87.5)" in table
    assert "- c4: 0.00 0.00 1.00  'thing 4'" in table


def test_runs_of_different_setups_have_no_spread(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a", ("c0",)), run(tmp_path / "b", ("c0",), model="other")
    with pytest.raises(InputError, match="not runs of one setup: model 'fake', 'other'"):
        spread_of([one, other])
    with pytest.raises(InputError, match="two runs at least"):
        spread_of([one])
    with pytest.raises(InputError, match="a run is there twice"):
        spread_of([one, one])


def test_the_command_prints_a_table_or_one_document(tmp_path: Path) -> None:
    runs = [str(run(tmp_path / name, ("c0",))) for name in ("a", "b")]
    printed = CliRunner().invoke(app, ["spread", *runs])
    assert printed.exit_code == 0, printed.output
    assert "# 2 runs over 8 cases" in printed.output
    document = json.loads(CliRunner().invoke(app, ["spread", *runs, "--json"]).output)
    assert document["figures"]["lisa"]["giou"]["sd"] == 0
    failed = CliRunner().invoke(app, ["spread", runs[0]])
    assert failed.exit_code == 1
    assert "two runs at least" in failed.output
