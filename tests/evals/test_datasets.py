"""COCO files and folders of one's own: what is asked, what is true, and how a broken record is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sam3_evals.datasets import open_dataset
from sam3_evals.datasets.pictures import split_files, split_pictures

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import write_record
from tests.evals.fixtures_datasets import cases_of, coco_document, pictures, put
from tests.evals.fixtures_runs import SIDE, square


def test_coco_asks_every_category_that_is_there_and_some_that_are_not(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "1.png", "2.png")
    file = put(tmp_path / "instances.json", coco_document())
    asked = cases_of(f"coco:{file}")
    first = [case for case in asked if case.picture == "1.png"]
    assert [case.query for case in first[:2]] == ["cat", "dog"]
    assert [len(case.targets) for case in first] == [2, 1, 0, 0, 0]
    assert first[0].ignore is not None  # the crowd
    assert np.array_equal(masks.decode(first[0].ignore), square(40, 40))
    assert {case.query for case in first[2:]} <= {"cup", "car", "bus", "kite"}
    assert len([case for case in asked if case.picture == "2.png"]) == 3
    assert cases_of(f"coco:{file}") == asked
    assert any(cases_of(f"coco:{file}", seed) != asked for seed in (1, 2, 3))
    assert open_dataset(f"coco:{file}", "concept").picture(asked[0]) == tmp_path / "images" / "1.png"


def test_which_negatives_are_asked_of_a_picture_does_not_depend_on_the_other_pictures(tmp_path: Path) -> None:
    document = coco_document()
    whole = cases_of(f"coco:{put(tmp_path / 'a.json', document)}")
    document["images"], document["annotations"] = document["images"][1:], []
    alone = cases_of(f"coco:{put(tmp_path / 'b.json', document)}")
    assert alone == [case for case in whole if case.picture == "2.png"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["images"][1].pop("width"), r"image 2 \(2\.png\): no usable width and height"),
        (lambda d: d["annotations"][2].update(image_id=9), "annotation 3: image_id 9 is not in images"),
        (lambda d: d["annotations"][0].update(segmentation=[[1, 2, 3]]), "annotation 1: segmentation: a polygon"),
        (lambda d: d["annotations"][0].pop("segmentation"), "annotation 1: segmentation: there is none"),
    ],
)
def test_a_broken_coco_file_is_named_with_entry_and_field(tmp_path: Path, change: Any, words: str) -> None:
    document = coco_document()
    change(document)
    file = put(tmp_path / "broken.json", document)
    with pytest.raises(InputError, match=words) as caught:
        cases_of(f"coco:{file}")
    assert "broken.json" in str(caught.value)


def test_pictures_that_are_nowhere_are_named(tmp_path: Path) -> None:
    dataset = open_dataset(f"coco:{put(tmp_path / 'a.json', coco_document())}", "concept")
    with pytest.raises(InputError, match=r"the image 1.png is not in .*say where: DATASET@FOLDER"):
        dataset.picture(next(iter(dataset.cases(None))))
    pictures(tmp_path / "far", "1.png")
    assert open_dataset(f"coco:{tmp_path / 'a.json'}@{tmp_path / 'far'}", "concept").name.endswith("far")


def test_a_folder_of_one_s_own_asks_every_text_in_every_subfolder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write_record(tmp_path, "a", Image.new("RGB", (SIDE, SIDE)), "the square", square(8, 8))
    write_record(tmp_path / "sub", "b", Image.new("RGB", (SIDE, SIDE)), "the other", square(0, 0))
    document = json.loads((tmp_path / "sub" / "b.json").read_text())
    put(tmp_path / "sub" / "b.json", {**document, "text": ["the other", "the second way to say it"]})
    asked = cases_of(f"folder:{tmp_path}")
    assert [(case.id, case.query) for case in asked] == [
        ("a", "the square"), ("sub/b", "the other"), ("sub/b#1", "the second way to say it"),
    ]  # fmt: skip
    assert open_dataset(f"folder:{tmp_path}", "agent").picture(asked[1]) == tmp_path / "sub" / "b.jpg"
    (tmp_path / "sub" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"b.json: b.jpg is missing beside it"):
        cases_of(f"folder:{tmp_path}")
    with pytest.raises(InputError, match=r"no NAME\.json beside NAME.jpg here or in a subfolder"):
        cases_of(f"folder:{empty(tmp_path)}")


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_the_photographs_of_coco_are_read(shared_data: Path) -> None:
    file = shared_data / "coco_permissive" / "instances_permissive.json"
    dataset = open_dataset(f"coco:{file}", "concept")
    asked = list(dataset.cases(None))
    assert len({case.picture for case in asked}) == 33
    assert sum(case.ignore is not None for case in asked) == 3
    assert {case.strata["kind"] for case in asked} == {"category", "negative"}
    assert all(isinstance(dataset.picture(case), Path) for case in asked[:3])


def test_paths_in_a_spec_may_hold_signs_that_mean_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "me@corp, inc"
    (home / "images@2").mkdir(parents=True)
    (home / "a,b.json").touch()
    (home / "c.json").touch()
    monkeypatch.chdir(tmp_path)
    file, folder = "me@corp, inc/c.json", "me@corp, inc/images@2"
    assert split_pictures(file) == (file, None)
    assert split_pictures(f"{file}@{folder}") == (file, Path(folder))
    assert split_pictures(f"{file}:unc:val@{folder}") == (f"{file}:unc:val", Path(folder))
    assert split_pictures("me@corp, inc:unc:val") == ("me@corp, inc:unc:val", None)
    assert split_pictures("me@corp, inc/none.json") == ("me@corp, inc/none.json", None)
    assert split_files(f"me@corp, inc/a,b.json,{file}") == (Path("me@corp, inc/a,b.json"), Path(file))
    assert split_files("x.json,y.json") == (Path("x.json"), Path("y.json"))
    with pytest.raises(InputError, match="nowhere: no such folder of images"):
        split_pictures(f"{file}@nowhere")
