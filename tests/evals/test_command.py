"""The command `sam3-eval`: exit statuses, one clear line, JSON on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sam3_evals
from sam3_evals.__main__ import app
from typer.testing import CliRunner

from tests.evals.fixtures_runs import Squares, whole_run

CHECKOUT = Path(sam3_evals.__file__).resolve().parents[2]
call = CliRunner().invoke


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "lvis:x", "--out", "r"], "unknown dataset 'lvis:x'; use one of: scenes:SEED"),
        (["run", "scenes:", "--out", "r"], "lacks its argument"),
        (["run", "scenes:seven", "--out", "r"], "expected scenes:SEED"),
        (["run", "scenes:1/colours", "--out", "r"], "expected scenes:SEED"),
        (["run", "reasonseg:/no/such/folder", "--out", "r"], "/no/such/folder: no such folder"),
        (
            ["run", "scenes:1", "--solver", "guess", "--out", "r"],
            "unknown solver 'guess'; use one of: concept, agent, oracle, or MODULE:FUNCTION",
        ),
        (["run", "scenes:1", "--solver", "agent", "--out", "r"], "add --llm rules"),
        (["run", "scenes:1", "--solver", "json:nothing", "--out", "r"], "cannot load the solver 'json:nothing'"),
        (["run", "scenes:1", "--shard", "3/2", "--out", "r"], "a shard is i/n with i from 1 to n"),
        (["run", "refcoco:data", "--out", "r"], "expected refcoco:FOLDER:SPLITTER:SPLIT"),
        (["run", "coco:/no/such.json", "--out", "r"], "/no/such.json: no such file"),
    ],
)
def test_a_usage_error_exits_2_with_one_line_that_says_what_to_do(arguments: list[str], words: str) -> None:
    result = call(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["run", "scenes:1"], ["scor", "x"], ["score"], ["run", "scenes:1", "--limit", "0"]]
)
def test_a_malformed_command_line_exits_2(arguments: list[str]) -> None:
    assert call(app, arguments).exit_code == 2


@pytest.mark.parametrize("command", [[], ["run"], ["merge"], ["score"], ["report"], ["compare"], ["conformance"]])
def test_every_command_has_a_help_page(command: list[str]) -> None:
    result = call(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_a_model_that_is_not_there_exits_1_with_one_line_and_writes_nothing(tmp_path: Path) -> None:
    arguments = ["run", "scenes:1", "--limit", "2", "--model", "/no/such/model", "--out", str(tmp_path / "run")]
    result = call(app, arguments)
    assert result.exit_code == 1
    assert "/no/such/model" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_says_on_what_it_was_made_and_is_not_resumed_in_another_number_format(tmp_path: Path) -> None:
    arguments = ["run", "scenes:1", "--limit", "2", "--device", "cpu", "--out", str(tmp_path), "--json"]
    made = json.loads(call(app, arguments).stdout)["manifest"]
    assert (made["device"], made["dtype"]) == ("cpu", "float32")
    assert call(app, [*arguments, "--dtype", "float32"]).exit_code == 0
    refused = call(app, [*arguments, "--dtype", "bfloat16"])
    assert refused.exit_code == 1
    assert "dtype was 'float32', is 'bfloat16'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_folder_without_a_run_exits_1_with_one_line(tmp_path: Path) -> None:
    for arguments in (["score", str(tmp_path)], ["report", str(tmp_path)], ["compare", str(tmp_path), str(tmp_path)]):
        result = call(app, arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "no run here" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_score_and_compare_print_one_json_document(tmp_path: Path) -> None:
    first, second = whole_run(tmp_path / "a", Squares(4)), whole_run(tmp_path / "b", Squares(4))
    scored = json.loads(call(app, ["score", str(first), "--json"]).stdout)
    assert scored["complete"] is True
    assert set(scored["strata"]["kind"]) == {"plain", "no_target"}
    compared = json.loads(call(app, ["compare", str(first), str(second), "--json"]).stdout)
    assert compared["rows"][0]["difference"] == 0.0


def test_a_report_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", Squares(4))
    assert call(app, ["report", str(run)]).stdout.strip() == str(run / "report.html")
    assert call(app, ["report", str(run), "--out", str(tmp_path / "r.html")]).exit_code == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_coco_ap_is_printed_where_it_is_asked_for(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", Squares(4))
    assert "ap50" in call(app, ["score", str(run), "--coco-ap"]).stdout
    document = json.loads(call(app, ["score", str(run), "--coco-ap", "--json"]).stdout)
    assert document["coco"]["segm"]["ap50"]["value"] == pytest.approx(1.0)


def test_a_function_of_one_s_own_is_run_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blind_solver.py").write_text(
        "import numpy as np\n\ndef everything(picture, query):\n    return np.ones(picture.shape[:2], dtype=bool)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = ["run", "scenes:1/queries", "--solver", "blind_solver:everything", "--limit", "3", "--out", "run", "--json"]
    result = call(app, run)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["complete"], document["manifest"]["model"], document["errors"]) == (True, "", 0)
    (tmp_path / "blind_solver.py").write_text("def everything(picture, query):\n    return []\n")
    assert "code was" in call(app, run).stderr  # another solver is another run


def test_scoring_imports_no_torch(tmp_path: Path) -> None:
    run = whole_run(tmp_path, Squares(4))
    program = (
        "import sys\nfrom pathlib import Path\nimport sam3_evals.__main__\nfrom sam3_evals.score import score_run\n"
        f"score_run(Path({str(run)!r}))\nsys.exit(bool({{'torch', 'transformers', 'anthropic'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, check=False).returncode == 0
