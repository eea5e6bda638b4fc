"""`sam3-agent check`: a page, a document and a summary; wrong folders are one line."""

from pathlib import Path

import pytest

from sam3_agent.labeling.store.journal import Journal
from tests.cli.conftest import Run
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "images", 3)
    label(tmp_path / "images", tmp_path / "run", knowing_segmenter(3)).close()
    return tmp_path / "run"


def test_a_run_gets_its_page_and_its_document(run: Run, folder: Path) -> None:
    document = run("check", folder, "--json").json()
    assert document["images"]["done"] == 3
    assert {"classes", "advice", "counts", "findings", "next", "page"} <= set(document)
    assert Path(document["page"]) == folder / "health.html"
    said = run("check", folder, "--out", folder / "other.html").out
    assert "to review" in said
    assert said.rstrip().endswith("other.html")


def test_what_is_no_run_is_one_line_and_gets_no_page(run: Run, tmp_path: Path) -> None:
    assert "holds no journal.sqlite" in run("check", tmp_path).error()
    Journal.create(tmp_path / "new").close()
    assert "has no labeled images yet" in run("check", tmp_path / "new").error()
    assert not (tmp_path / "new" / "health.html").exists()


def test_a_page_is_not_written_through_a_link(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "health.html").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in run("check", folder).error()
    assert not (tmp_path / "elsewhere").exists()
