"""`label` takes images of a remote folder, and `export` writes to one."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from sam3_agent.cli.commands.label import local_images
from sam3_agent.errors import InputError
from sam3_agent.labeling.pipeline.scan import pictures_in
from tests.cli.conftest import Run
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

BUCKET = "memory://cli-remote"


@pytest.fixture
def bucket() -> Iterator[str]:
    yield BUCKET
    system = fsspec.filesystem("memory")
    if system.exists(BUCKET):
        system.rm(BUCKET, recursive=True)


def test_images_of_a_remote_folder_are_copied_and_labeled(
    bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_scenes(tmp_path / "scenes", 2)
    system = fsspec.filesystem("memory")
    for path in sorted((tmp_path / "scenes").iterdir()):
        system.pipe(f"{bucket}/a/{path.name}", path.read_bytes())
    system.pipe(f"{bucket}/a/.hidden.png", b"x")
    system.pipe(f"{bucket}/a/notes.txt", b"x")
    folder = local_images(f"{bucket}/a", tmp_path / "run")
    assert folder == tmp_path / "run" / "source"
    assert [path.name for path in pictures_in(folder)] == ["000.png", "001.png"]
    assert f"2 files of {bucket}/a in {folder}: 2 copied now" in capfd.readouterr().err
    assert local_images(f"{bucket}/a", tmp_path / "run") == folder
    assert "0 copied now" in capfd.readouterr().err
    journal = label(folder, tmp_path / "run", knowing_segmenter(2))
    assert {row.path for row in journal.images("done")} == {"000.png", "001.png"}
    journal.close()
    assert local_images("photos", None) == Path("photos")


def test_an_export_goes_to_a_remote_folder(run: Run, bucket: str, tmp_path: Path) -> None:
    write_scenes(tmp_path / "images", 2)
    label(tmp_path / "images", tmp_path / "run", knowing_segmenter(2)).close()
    report = run("export", tmp_path / "run", "--format", "coco", "--out", f"{bucket}/labels", "--json").json()
    assert report["out"] == f"{bucket}/labels"
    system = fsspec.filesystem("memory")
    written = {path.rpartition("/labels/")[2] for path in system.find(f"{bucket}/labels")}
    local = tmp_path / "run" / "export" / "coco"
    assert written == {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert "nothing can be written there" in (
        run("export", tmp_path / "run", "--format", "coco", "--out", "https://example.org/x").error()
    )


def test_a_remote_folder_without_images_is_named(bucket: str, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe(f"{bucket}/a/notes.txt", b"x")
    with pytest.raises(InputError, match="no file that is wanted in it"):
        local_images(f"{bucket}/a", tmp_path / "run")
