"""`sam3-agent scenes`: folders that are right, whole, and can be gone on with."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.cli.commands.scenes import PARTS, Order, write_scenes
from sam3_agent.errors import InputError
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.reasonseg import read_reasonseg
from sam3_agent.scenes import generate_scene, queries_of
from tests.cli.conftest import Run

SEED = 3


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "coco"
    write_scenes(Order(2, SEED, "coco"), folder)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_coco_holds_every_object_with_its_exact_mask(coco: Path) -> None:
    dataset = read_coco(coco / "instances.json")
    names = {category.id: category.name for category in dataset.categories}
    for image in dataset.images:
        scene = generate_scene(image.attributes["seed"])
        with Image.open(coco / "images" / image.file_name) as picture:
            assert picture.size == (image.width, image.height) == (scene.width, scene.height)
        found = [a for a in dataset.annotations if a.image_id == image.id]
        assert len(found) == len(scene.objects)
        for annotation, thing in zip(found, scene.objects, strict=True):
            assert annotation.rle is not None
            assert names[annotation.category_id] == thing.noun
            assert annotation.attributes["color"] == thing.color
            assert annotation.attributes["pattern"] == thing.pattern
            assert annotation.attributes["visible_fraction"] == pytest.approx(thing.visible_fraction, abs=1e-4)
            assert annotation.area == thing.area
            assert annotation.box == pytest.approx(thing.box)


def test_queries_and_concepts_point_to_annotations(coco: Path) -> None:
    known = {annotation.id for annotation in read_coco(coco / "instances.json").annotations}
    queries, concepts = (json.loads((coco / f"{name}.json").read_text()) for name in ("queries", "concepts"))
    assert list(queries[0]) == ["id", "image_id", "text", "kind", "is_sentence", "annotation_ids"]
    assert list(concepts[0]) == ["id", "image_id", "phrase", "kind", "annotation_ids"]
    for entry in (*queries, *concepts):
        assert set(entry["annotation_ids"]) <= known
    assert any(not entry["annotation_ids"] for entry in queries)


def test_reasonseg_reads_back_as_the_truth(tmp_path: Path) -> None:
    write_scenes(Order(1, SEED, "reasonseg"), tmp_path / "rs")
    scene = generate_scene(SEED * 1_000_000)
    queries = queries_of(scene, np.random.default_rng([SEED, 0]), limit_per_kind=1)
    records = list(read_reasonseg(tmp_path / "rs"))
    assert [record.texts for record in records] == [(query.text,) for query in queries]
    for record, query in zip(records, queries, strict=True):
        truth = np.zeros_like(record.target)
        for thing in scene.objects:
            truth |= thing.mask & (thing.id in query.target_ids)
        assert np.array_equal(record.target, truth)
        assert record.is_sentence == query.is_sentence
        assert record.extra["kind"] == query.kind


def test_a_finished_order_is_not_drawn_again(coco: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in coco.rglob("*") if path.is_file()}
    write_scenes(Order(2, SEED, "coco"), coco)
    assert {path: path.stat().st_mtime_ns for path in coco.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("other", [Order(3, SEED, "coco"), Order(2, SEED + 1, "coco"), Order(2, SEED, "reasonseg")])
def test_a_folder_of_another_order_is_refused(coco: Path, other: Order) -> None:
    with pytest.raises(InputError, match="holds 2 scenes of seed 3 as coco"):
        write_scenes(other, coco)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        write_scenes(Order(1, SEED, "coco"), tmp_path)
    assert files_of(tmp_path) == {"diary.txt": b"mine"}


def test_the_command_reports_what_it_wrote(run: Run, tmp_path: Path) -> None:
    ran = run("scenes", "--out", tmp_path / "s", "--count", 1, "--seed", SEED, "--json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json()["images"] == 1
    assert ran.json()["objects"] > 0


@pytest.mark.integration
def test_ctrl_c_leaves_whole_files_that_the_same_call_completes(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, coco: Path
) -> None:
    out = tmp_path / "coco"
    order = ("scenes", "--out", out, "--count", 40, "--seed", SEED)
    process = start(*order)
    deadline = time.monotonic() + 90
    while len(list((out / PARTS).glob("0*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
    assert not list(out.rglob(".writing-*"))
    assert not (out / "instances.json").exists()
    for path in (out / "images").iterdir():
        with Image.open(path) as picture:
            picture.load()

    # The same call would go on with all forty; two of them are enough to see that it continues.
    manifest = out / ".scenes" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "count": 2}))
    kept = (out / "images" / "000000.jpg").stat().st_mtime_ns
    write_scenes(Order(2, SEED, "coco"), out)
    assert (out / "images" / "000000.jpg").stat().st_mtime_ns == kept
    for name in ("instances.json", "queries.json", "concepts.json", "images/000001.jpg"):
        assert (out / name).read_bytes() == (coco / name).read_bytes()


def test_what_a_killed_call_left_behind_is_swept_away(tmp_path: Path, coco: Path) -> None:
    out = tmp_path / "coco"
    shutil.copytree(coco, out)
    manifest = out / ".scenes" / "manifest.json"
    manifest.write_text(json.dumps({"count": 2, "seed": SEED, "format": "coco", "finished": False}))
    (out / "images" / ".writing-abc.jpg").write_bytes(b"half")
    write_scenes(Order(2, SEED, "coco"), out)
    assert files_of(out) == files_of(coco)
