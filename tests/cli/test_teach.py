"""`sam3-agent teach`: what it reads, refuses and leaves behind."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.cli.commands.teach import checkpoint_folder, time_left
from sam3_agent.formats.concept_file import read_concept
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.checkpoint import CHECKPOINT
from tests.cli.conftest import Run

HAVING = SceneOptions(min_side=96, max_side=128, max_objects=4, required_pairs=(("star", "red"), ("star", "blue")))
LACKING = SceneOptions(min_side=96, max_side=128, max_objects=3)


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    return write_labeled(tmp_path / "set")


def write_labeled(folder: Path) -> Path:
    """A folder with a COCO file of stars and other things, four images with stars and four without."""
    folder.mkdir()
    images, annotations = list[dict[str, object]](), list[dict[str, object]]()
    counts, seed = {True: 0, False: 0}, 0
    while min(counts.values()) < 4:
        scene = generate_scene(seed, HAVING if counts[True] < 4 else LACKING)
        stars, seed = sum(o.noun == "star" for o in scene.objects), seed + 1
        if stars == 1 or counts[stars > 1] == 4:
            continue
        counts[stars > 1] += 1
        Image.fromarray(scene.image).save(folder / f"{seed:03d}.png")
        images.append({"id": seed, "file_name": f"{seed:03d}.png", "width": scene.width, "height": scene.height})
        for each in scene.objects:
            rle, number = masks.encode(each.mask), len(annotations) + 1
            annotations.append(
                {
                    "id": number,
                    "image_id": seed,
                    "category_id": 1 if each.noun == "star" else 2,
                    "iscrowd": 0,
                    "segmentation": rle.to_json(),
                    "area": masks.area(rle),
                    "bbox": [0, 0, 1, 1],
                }
            )
    categories = [{"id": 1, "name": "star"}, {"id": 2, "name": "other"}]
    (folder / "labels.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


def test_a_name_that_is_taken_is_refused(run: Run, tmp_path: Path) -> None:
    taken = tmp_path / "star.concept.json"
    taken.write_text("{}")
    assert "is there already" in run("teach", "star", "--from", tmp_path, "--out", taken).error()
    assert taken.read_text() == "{}"


def test_a_folder_without_labels_says_what_to_give(run: Run, tmp_path: Path) -> None:
    ran = run("teach", "star", "--from", tmp_path / "nowhere", "--out", tmp_path / "a.concept.json")
    assert "no such file or folder" in ran.error()
    ran = run("teach", "star", "--from", tmp_path, "--out", tmp_path / "a.concept.json")
    assert "no labeling run and no label file in it; give a COCO or LabelMe .json" in ran.error()


def test_a_class_that_is_not_there_is_told_with_those_that_are(run: Run, labeled: Path, tmp_path: Path) -> None:
    ran = run("teach", "gear", "--from", labeled, "--out", tmp_path / "gear.concept.json")
    assert "holds no class 'gear'; its classes: other, star (--class NAME)" in ran.error()


def test_time_is_told_no_more_exactly_than_it_is_known() -> None:
    assert (time_left(12.3), time_left(130)) == ("12 s left", "2 min left")


@pytest.mark.integration
def test_a_class_of_a_coco_file_is_taught_and_asked_for(
    run: Run, labeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam3_agent.training.teaching.teach.TRAINED_MARGIN", -10.0)  # a short training loses
    out = tmp_path / "mine.concept.json"
    ran = run("teach", "mine", "--from", labeled, "--class", "star", "--steps", 1, "--out", out, "--json")
    told, concept = ran.json(), read_concept(out)
    assert (told["concept"], told["images"], told["images_without"]) == ("@mine", 4, 4)
    assert told["tokens"] == concept.tokens.count == 8
    assert "training: 4 of 4" in ran.err
    assert not checkpoint_folder(out).exists()
    found = run("segment", next(labeled.glob("*.png")), "--json", "--", out).json()
    assert found["results"][0]["concept"] == "@mine"


@pytest.mark.integration
def test_a_call_that_was_killed_goes_on_when_it_is_given_again(
    run: Run, start: Callable[..., subprocess.Popen[str]], labeled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "star.concept.json"
    call = ("teach", "star", "--from", labeled, "--steps", 2, "--out", out)
    process = start(*call)
    checkpoint = checkpoint_folder(out) / CHECKPOINT
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    resumed = run(*call)
    assert resumed.status == 0
    assert "training: 1 of 8" not in resumed.err
    first = read_concept(out)
    assert run(*call, "--replace").status == 0
    assert read_concept(out).tokens == first.tokens
