"""MUSE and CAFE: several targets a question, and phrases that only seem to be true."""

from pathlib import Path
from typing import Any

import pytest
from sam3_evals.datasets import open_dataset
from sam3_evals.score import score_run

from sam3_agent.errors import InputError
from tests.evals.fixtures_datasets import cases_of, pictures, put, rle
from tests.evals.fixtures_runs import SIDE, whole_run
from tests.evals.fixtures_tables import rows, write_table


def muse() -> list[dict[str, Any]]:
    box = {"segmentation": [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0]], "bbox": [1, 1, 8, 8], "rephrased_name": "cup"}
    many = [{"segmentation": rle(16 * n, 0)} for n in range(4)]
    return [
        {
            "height": SIDE,
            "width": SIDE,
            "coco_url": "http://images.cocodataset.org/train2017/000000000009.jpg",
            "ann_list": [box],
            "questions": ["what holds coffee?", "what stands in a row?"],
            "answers": [[box], many],
        },
        {"height": SIDE, "width": SIDE, "file_name": "b.jpg", "questions": ["nothing"], "answers": [[]]},
    ]


def cafe() -> dict[str, Any]:
    base = {"width": SIDE, "height": SIDE, "edit_type": "Superficial Mimicry"}
    images = [
        {**base, "id": 1, "file_name": "a.jpg", "text_input": "suitcase"},
        {**base, "id": 2, "file_name": "b.jpg", "text_input": "teddy bear", "edit_type": "Context Conflict"},
        {**base, "id": 10**9 + 1, "file_name": "a.jpg", "text_input": "giraffe", "fp_source_id": 1},
        {**base, "id": 10**9 + 2, "file_name": "b.jpg", "text_input": "polar bear", "fp_source_id": 2},
    ]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "segmentation": rle(8 * n, 0)} for n in (1, 2)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def test_muse_asks_every_question_with_all_of_its_targets(tmp_path: Path) -> None:
    file = put(tmp_path / "muse_val.json", muse())
    pictures(tmp_path / "train2017", "000000000009.jpg", "b.jpg")
    asked = cases_of(f"muse:{file}")
    assert [(case.id, len(case.targets), case.strata["targets"]) for case in asked] == [
        ("0-0", 1, "few"), ("0-1", 4, "many"), ("1-0", 0, "few"),
    ]  # fmt: skip
    assert open_dataset(f"muse:{file}", "concept").picture(asked[0]) == tmp_path / "train2017" / "000000000009.jpg"


def test_muse_s_tables_are_read_too(tmp_path: Path) -> None:
    write_table(tmp_path / "val.parquet", rows())
    assert len(cases_of(f"muse:{tmp_path / 'val.parquet'}")) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d[0]["answers"].pop(), "entry 0: 2 questions, but 1 answers"),
        (lambda d: d[1].pop("file_name"), "entry 1: neither file_name nor coco_url"),
        (lambda d: d[1].pop("questions"), "entry 1.questions"),
        (lambda d: d[0]["answers"][0][0].update(segmentation=[[1.0, 2.0]]), "entry 0: answer 0: segmentation"),
        (lambda d: d.clear(), "no entry in it"),
    ],
)
def test_a_broken_muse_file_is_named(tmp_path: Path, change: Any, words: str) -> None:
    document = muse()
    change(document)
    with pytest.raises(InputError, match=words):
        cases_of(f"muse:{put(tmp_path / 'm.json', document)}")


def test_cafe_asks_the_true_phrase_and_the_misleading_one_of_each_image(tmp_path: Path) -> None:
    file = put(tmp_path / "CAFEval2026_annotations.json", cafe())
    pictures(tmp_path / "CAFEval2026_imgs", "a.jpg", "b.jpg")
    dataset = open_dataset(f"cafe:{file}", "concept")
    asked = list(dataset.cases(None))
    assert [(case.query, len(case.targets), *case.strata.values()) for case in asked] == [
        ("suitcase", 1, "SM", "true"), ("giraffe", 0, "SM", "misleading"),
        ("teddy bear", 1, "CC", "true"), ("polar bear", 0, "CC", "misleading"),
    ]  # fmt: skip
    assert dataset.picture(asked[1]) == tmp_path / "CAFEval2026_imgs" / "a.jpg"
    document = score_run(whole_run(tmp_path / "run", dataset)).to_json()
    assert document["strata"]["edit"]["SM"]["instances"]["cgf1"]["value"] == pytest.approx(1, abs=1e-3)
    assert document["strata"]["prompt"]["misleading"]["gres"]["n_acc"]["value"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["images"][2].update(fp_source_id=7), "fp_source_id: 7 is no entry with a true phrase"),
        (lambda d: d["annotations"][0].update(image_id=7), "annotation 0: image_id: 7 is not in images"),
        (lambda d: d["annotations"][0].update(segmentation=rle(0, 0) | {"size": [4, 4]}), "annotation 0: segmentation"),
        (lambda d: d["images"][0].update(file_name="../x.jpg"), "leads elsewhere"),
        (lambda d: d["images"][1].update(id=1), "an id occurs twice"),
    ],
)
def test_a_broken_cafe_file_is_named(tmp_path: Path, change: Any, words: str) -> None:
    document = cafe()
    change(document)
    with pytest.raises(InputError, match=words):
        cases_of(f"cafe:{put(tmp_path / 'c.json', document)}")
