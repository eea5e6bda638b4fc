"""`sam3-agent finetune` and `adapter`: what they read, refuse and leave behind; adapters where a model is named."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sam3_agent.cli.commands.finetune import checkpoint_folder
from sam3_agent.formats.adapter_folder import PAGE, TENSORS, read_manifest
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.checkpoint import CHECKPOINT
from tests.cli.conftest import Run
from tests.cli.test_teach import write_labeled
from tests.model.adapters.fixtures_adapter import write_random_adapter


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    return write_labeled(tmp_path / "set")


@pytest.fixture(scope="module")
def gear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_adapter(Sam3.load("tiny", "cpu"), tmp_path_factory.mktemp("adapters") / "gear.adapter")


def test_a_folder_that_is_taken_is_refused(run: Run, labeled: Path, tmp_path: Path) -> None:
    (tmp_path / "star.adapter").mkdir()
    ran = run("finetune", labeled, "--class", "star", "--out", tmp_path / "star.adapter")
    assert "star.adapter is there already: give another --out, or --replace it" in ran.error()


def test_an_adapter_is_not_fine_tuned_on_top_of_another(run: Run, labeled: Path, gear: Path, tmp_path: Path) -> None:
    ran = run("finetune", labeled, "--class", "star", "--model", f"tiny+{gear}", "--out", tmp_path / "a.adapter")
    assert "has an adapter already: fine-tune the model that it belongs to" in ran.error()


def test_an_adapter_is_shown_without_its_model(run: Run, gear: Path) -> None:
    shown = run("adapter", "show", gear, "--json").json()
    assert (shown["name"], shown["words"], shown["always_on"]) == ("gear", ["gear"], False)
    assert "on for its own words alone" in run("adapter", "show", gear).out
    assert "adapter.json" in run("adapter", "show", gear.parent).error()


def test_a_gated_adapter_is_not_merged(run: Run, gear: Path, tmp_path: Path) -> None:
    ran = run("adapter", "merge", f"tiny+{gear}", "--out", tmp_path / "merged")
    assert "is on for 'gear' alone, which no weights can express" in ran.error()
    assert "give a model with one adapter" in run("adapter", "merge", "tiny", "--out", tmp_path / "merged").error()


def test_an_adapters_concept_is_asked_for_by_name_without_a_file(run: Run, labeled: Path, gear: Path) -> None:
    image = next(labeled.glob("*.png"))
    found = run("segment", image, "--model", f"tiny+{gear}", "--json", "--", "@gear", "gear", "star").json()
    named, phrase, star = found["results"]
    assert found["model"]["name"] == f"tiny+{gear}"
    assert (named["concept"], named["presence"]) == ("@gear", phrase["presence"])
    plain = run("segment", image, "--json", "--", "star").json()
    assert star == plain["results"][0] | {"instances": star["instances"]}
    ran = run("segment", image, "--model", f"tiny+{gear}", "--", "@cog")
    assert "@gear (an adapter)" in ran.error()


@pytest.mark.integration
def test_a_dry_run_tells_what_it_will_take_and_trains_nothing(run: Run, labeled: Path, tmp_path: Path) -> None:
    out = tmp_path / "star.adapter"
    ran = run("finetune", labeled, "--class", "star", "--out", out, "--dry-run", "--json")
    told = ran.json()
    assert (told["forecast"]["images_with"], told["forecast"]["images_without"], told["report"]) == (4, 4, None)
    assert "trained: detr_encoder" in ran.err
    assert not out.exists()


@pytest.mark.integration
@pytest.mark.timeout(900)  # half a minute on an idle core
def test_a_killed_fine_tuning_goes_on_and_its_adapter_is_used(
    run: Run, start: Callable[..., subprocess.Popen[str]], labeled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "star.adapter"
    call = ("finetune", labeled, "--class", "star", "--phrase", "my star", "--steps", 1, "--out", out)
    process = start(*call)
    checkpoint = checkpoint_folder(out) / CHECKPOINT
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    resumed = run(*call, "--json")
    assert resumed.status == 0
    assert "training: 1 of 2" not in resumed.err
    assert (out / PAGE).stat().st_size > 1000
    assert (out / TENSORS).stat().st_size < 1_000_000
    assert not checkpoint_folder(out).exists()
    assert read_manifest(out).words == ("my star",)
    assert json.loads((out / "report.json").read_text()) == resumed.json()["report"]
