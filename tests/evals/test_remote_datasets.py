"""`sam3-eval` on data that lies elsewhere: specs name URLs, runs read this user's copies."""

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from sam3_evals.__main__ import app
from typer.testing import CliRunner

from tests.evals.fixtures_datasets import coco_document, pictures, put, rle

BUCKET = "memory://eval-remote"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A COCO file and its images in a bucket; the cache in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    pictures(tmp_path / "there", "1.png", "2.png")
    for name in ("1.png", "2.png"):
        system.pipe(f"{BUCKET}/images/{name}", (tmp_path / "there" / name).read_bytes())
    system.pipe(f"{BUCKET}/truth.json", json.dumps(coco_document()).encode())
    yield BUCKET
    system.rm(BUCKET, recursive=True)


def test_predictions_are_scored_against_remote_truth(bucket: str, tmp_path: Path) -> None:
    rows = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": rle(0, 0)}]
    spec = f"coco:{bucket}/truth.json@{bucket}/images"
    arguments = ["import", str(put(tmp_path / "r.json", rows)), "--dataset", spec, "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert f"sam3-eval: copying {bucket}/truth.json" in done.stderr
    document = json.loads(done.stdout)
    assert document["complete"]
    assert document["manifest"]["dataset"].startswith(f"coco:{tmp_path / 'cache'}")


def test_remote_data_that_is_not_there_is_one_line(bucket: str, tmp_path: Path) -> None:
    arguments = ["run", f"coco:{bucket}/none.json", "--out", str(tmp_path / "run")]
    failed = CliRunner().invoke(app, arguments)
    assert failed.exit_code == 2
    assert "none.json" in failed.stderr.splitlines()[-1]
    assert "error" in failed.stderr.splitlines()[-1]
