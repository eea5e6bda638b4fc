"""SA-Co: up to three annotators, exhaustive pairs alone, and a broken record is named."""

from pathlib import Path
from typing import Any

import pytest

from sam3_agent.errors import InputError
from tests.evals.fixtures_datasets import cases_of, put, rle
from tests.evals.fixtures_runs import SIDE


def saco_document(*sides: int, exhaustive: int = 1) -> dict[str, Any]:
    """Two pairs: "cat" with an instance a side, and "horse", which is not there."""
    pairs = [(100, "cat", 1), (101, "horse", exhaustive)]
    return {
        "info": {},
        "images": [
            {"id": i, "file_name": "a/1.png", "text_input": text, "width": SIDE, "height": SIDE,
             "queried_category": "1", "is_instance_exhaustive": flag, "is_pixel_exhaustive": 1}
            for i, text, flag in pairs
        ],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {"id": n, "image_id": 100, "category_id": 1, "source": "manual", "area": side**2 / SIDE**2,
             "bbox": [0.0, 0.0, side / SIDE, side / SIDE], "segmentation": rle(0, 0, side), "iscrowd": 0}
            for n, side in enumerate(sides, 1)
        ],
    }  # fmt: skip


def test_saco_holds_a_prediction_against_three_annotators(tmp_path: Path) -> None:
    files = [put(tmp_path / f"{n}.json", saco_document(*sides)) for n, sides in enumerate([(8,), (16, 20), ()])]
    cat, horse = cases_of(f"saco:{','.join(map(str, files))}")
    assert (cat.query, len(cat.targets), [len(targets) for targets in cat.others]) == ("cat", 1, [2, 0])
    assert (horse.query, horse.targets, horse.others) == ("horse", (), ((), ()))
    assert cat.size == (SIDE, SIDE)
    (alone, _) = cases_of(f"saco:{files[0]}")
    assert alone.others == ()


def test_pairs_that_an_annotator_does_not_call_exhaustive_are_not_asked(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.json", saco_document(8)), put(tmp_path / "b.json", saco_document(8, exhaustive=0))
    assert [case.query for case in cases_of(f"saco:{first},{second}")] == ["cat"]
    assert [case.query for case in cases_of(f"saco:{first}")] == ["cat", "horse"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["annotations"][0].update(bbox=[0, 0, 8, 8]), r"annotations.0.bbox.2: Input should be less than"),
        (lambda d: d["annotations"][0].update(image_id=7), "annotation 1: image_id: 7 is not in images"),
        (lambda d: d["annotations"][0]["segmentation"].update(size=[4, 4]), "annotation 1: segmentation: an RLE"),
        (lambda d: d["annotations"][0]["segmentation"].pop("counts"), "annotation 1: segmentation: not a COCO RLE"),
        (lambda d: d["images"][1].pop("is_instance_exhaustive"), "images.1.is_instance_exhaustive: Field required"),
        (lambda d: d["images"][1].update(id=100), "images: an id occurs twice"),
    ],
)  # fmt: skip
def test_a_broken_saco_file_is_named_with_its_field(tmp_path: Path, change: Any, words: str) -> None:
    document = saco_document(8)
    change(document)
    with pytest.raises(InputError, match=words):
        cases_of(f"saco:{put(tmp_path / 'a.json', document)}")


def test_annotators_of_different_pairs_are_refused(tmp_path: Path) -> None:
    other = saco_document(8)
    other["images"][1]["text_input"] = "zebra"
    first, second = put(tmp_path / "a.json", saco_document(8)), put(tmp_path / "b.json", other)
    with pytest.raises(InputError, match=r"b.json: images: 101: text_input: not that of the first annotator"):
        cases_of(f"saco:{first},{second}")
    del other["images"][1]
    put(second, other)
    with pytest.raises(InputError, match="the pair 101 of the first annotator is missing"):
        cases_of(f"saco:{first},{second}")
