"""`sam3-agent segment`: its JSON, its table, its picture."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.cli.commands import segment as room
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.scenes import Scene
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.loop.fixtures_segmenter import perfect_segmenter


def report_of(segmenter: FakeSegmenter, picture: Path, *concepts: str) -> tuple[Workspace, room.SegmentReport]:
    workspace = Workspace(segmenter)
    prompts = room.prompts_of(concepts, (), ())
    began = time.perf_counter()
    return workspace, room.segment(workspace, str(picture), prompts, room.How(), began=began)


def test_the_json_has_exactly_the_documented_keys(scene: Scene, picture: Path) -> None:
    _, report = report_of(perfect_segmenter(scene), picture, "house", "dog")
    document = report.to_json()
    assert list(document) == ["image", "model", "results", "seconds"]
    assert document["image"] == {"source": str(picture), "width": scene.width, "height": scene.height}
    assert document["model"] == {"name": "fake", "device": "cpu", "dtype": "float32"}
    assert list(document["seconds"]) == ["encode", "prompt", "total"]
    houses, dogs = document["results"]
    assert list(houses) == ["concept", "presence", "instances", "near_misses"]
    assert list(houses["instances"][0]) == ["id", "score", "object_score", "box", "area", "mask"]
    assert dogs == {"concept": "dog", "presence": 0.02, "instances": [], "near_misses": 0}


def test_masks_in_the_json_are_the_masks_of_the_scene(scene: Scene, picture: Path) -> None:
    _, report = report_of(perfect_segmenter(scene), picture, "house")
    (result,) = report.to_json()["results"]
    truth = {masks.encode(thing.mask).counts for thing in scene.objects if thing.noun == "house"}
    assert {instance["mask"]["counts"] for instance in result["instances"]} == truth
    assert truth


def test_the_table_names_every_instance_and_every_empty_concept(
    scene: Scene, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = report_of(perfect_segmenter(scene), picture, "house", "dog")
    room.print_report(report, None)
    out = capsys.readouterr().out
    assert all(instance.id in out for instance in report.results[0].instances)
    assert "nothing" in out
    assert "--out FILE.png" in out


def test_how_to_look_goes_through_to_the_workspace(
    scene: Scene, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = next(thing.mask for thing in scene.objects if thing.noun == "house")
    again = house & (np.indices(house.shape)[1] != np.flatnonzero(house.any(axis=0))[0])
    workspace = Workspace(FakeSegmenter({"house": detection([house, again], [0.9, 0.8], presence=0.2)}))
    prompts = room.prompts_of(["house"], (), ())

    def found(how: room.How) -> int:
        report = room.segment(workspace, str(picture), prompts, how, began=time.perf_counter())
        room.print_report(report, None)
        return len(report.results[0].instances)

    assert found(room.How()) == 0
    assert found(room.How(assume_present=True)) == 2
    assert found(room.How(threshold=0.1)) == 2
    assert found(room.How(assume_present=True, max_iou=0.9)) == 1
    assert "tiles" not in capsys.readouterr().out


def test_markup_in_a_concept_is_printed_as_it_is(
    scene: Scene, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = report_of(perfect_segmenter(scene), picture, "[bold]x[/bold] [/]")
    room.print_report(report, None)
    assert "[bold]x[/bold] [/]" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp"])
def test_the_marked_picture_has_the_format_of_its_name(scene: Scene, picture: Path, tmp_path: Path, name: str) -> None:
    workspace, report = report_of(perfect_segmenter(scene), picture, "house")
    room.write_result(workspace, report, tmp_path / "new" / name)
    with Image.open(tmp_path / "new" / name) as written:
        assert written.size == (scene.width, scene.height)
        assert written.format == {"a.png": "PNG", "a.JPG": "JPEG", "a.webp": "WEBP"}[name]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.usefixtures("tiny")
def test_a_word_that_the_model_was_never_taught_is_told_from_an_absent_thing(run: Run, picture: Path) -> None:
    ran = run("segment", picture, "green roof", "purple umbrellas")
    assert ran.status == 0
    assert "not known to it: green roof; the model knows these words: animal, " in ran.out


@pytest.mark.usefixtures("tiny")
def test_the_embedded_model_prints_one_json_document_and_writes_the_picture(
    run: Run, scene: Scene, picture: Path, tmp_path: Path
) -> None:
    ran = run("segment", picture, "house", "star", "--json", "--out", tmp_path / "marked.png", "--device", "cpu")
    assert ran.status == 0
    assert ran.err == ""
    document = ran.json()
    assert document["model"] == {"name": "tiny", "device": "cpu", "dtype": "float32"}
    assert [result["concept"] for result in document["results"]] == ["house", "star"]
    for instance in (i for result in document["results"] for i in result["instances"]):
        assert instance["mask"]["size"] == [scene.height, scene.width]
        assert masks.area(masks.from_json(instance["mask"])) == instance["area"]
    assert (tmp_path / "marked.png").is_file()


@pytest.mark.usefixtures("tiny")
def test_two_devices_answer_like_one(run: Run, picture: Path) -> None:
    one, two = (run("segment", picture, "house", "--json", "--device", device).json() for device in ("cpu", "cpu,cpu"))
    assert two["model"] == {"name": "tiny", "device": "cpu,cpu", "dtype": "float32"}
    assert two["results"] == one["results"]


@pytest.mark.usefixtures("tiny")
def test_results_of_the_embedded_model_say_that_it_is_a_demonstration(run: Run, picture: Path) -> None:
    ran = run("segment", picture, "--like", "10,10,90,90", "--device", "cpu")
    assert ran.status == 0
    assert "tiny: the embedded demonstration model; use --model facebook/sam3 for real images" in ran.out


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("x" * 500,), "500"),
        (("cat", "--like", "5000,5000,6000,6000"), "outside"),
        (("cat", "--region", "5000,5000,6000,6000"), "outside"),
    ],
)
def test_what_only_the_model_can_refuse_is_one_line_too(
    run: Run, picture: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    ran = run("segment", picture, *options, "--device", "cpu", "--out", tmp_path / "marked.png")
    assert ran.status == 1
    assert words in ran.error()
    assert not (tmp_path / "marked.png").exists()


@pytest.mark.usefixtures("tiny")
def test_a_picture_of_one_pixel_is_looked_at(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    ran = run("segment", tmp_path / "dot.png", "cat", "--json", "--device", "cpu")
    assert (ran.status, ran.json()["image"]["width"]) == (0, 1)


def test_out_html_is_a_page_with_the_masks_inside(scene: Scene, picture: Path, tmp_path: Path) -> None:
    workspace, report = report_of(perfect_segmenter(scene), picture, "house")
    room.write_result(workspace, report, tmp_path / "masks.html")
    page = (tmp_path / "masks.html").read_text(encoding="utf-8")
    instances = [instance for result in report.results for instance in result.instances]
    assert instances
    assert all(f'"id": "{instance.id}"' in page for instance in instances)
    assert page.count('"counts"') == len(instances)
    assert "http://" not in page.replace("http://www.w3.org", "")
