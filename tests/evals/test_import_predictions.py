"""Other programs' predictions as a run: the same figures as the run that they were written from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sam3_evals.__main__ import app
from sam3_evals.datasets import open_dataset
from sam3_evals.import_predictions import Wanted, import_predictions
from sam3_evals.sample import Case
from sam3_evals.score import score_run
from typer.testing import CliRunner

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, to_json

SIDE = 40


def block(x: int, y: int, side: int = 8) -> masks.Rle:
    pixels = np.zeros((SIDE, SIDE), dtype=bool)
    pixels[y : y + side, x : x + side] = True
    return masks.encode(pixels)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Two pictures, two categories: cats in both (two in the second), a dog in the first."""
    images = [CocoImage(i, f"{i}.png", SIDE, SIDE) for i in (1, 2)]
    places = [(1, 1, block(2, 2)), (1, 2, block(20, 20)), (2, 1, block(5, 5)), (2, 1, block(25, 5))]
    annotations = [
        CocoAnnotation(n, image, category, masks.box(rle), rle, float(masks.area(rle)))
        for n, (image, category, rle) in enumerate(places, start=1)
    ]
    document = to_json(CocoDataset(tuple(images), tuple(annotations), (CocoCategory(1, "cat"), CocoCategory(2, "dog"))))
    (tmp_path / "truth.json").write_text(json.dumps(document))
    for image in images:
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / image.file_name)
    return f"coco:{tmp_path / 'truth.json'}"


def cases(dataset: str) -> Iterator[Case]:
    return open_dataset(dataset, "concept").cases(None)


def as_coco(dataset: str, folder: Path) -> Path:
    rows = [
        {
            "image_id": int(case.picture[0]),
            "category_id": int(case.id.split("-")[1]),
            "score": 0.9,
            "segmentation": mask,
        }
        for case in cases(dataset)
        for mask in [rle.to_json() for rle in case.targets]
    ]
    rows.append({**rows[0], "segmentation": block(30, 30).to_json(), "score": 0.1})
    (folder / "results.json").write_text(json.dumps(rows))
    return folder / "results.json"


def as_lines(dataset: str, folder: Path) -> Path:
    lines = [{"case": case.id, "masks": [rle.to_json() for rle in case.targets], "usd": 0.5} for case in cases(dataset)]
    (folder / "results.jsonl").write_text("\n".join(json.dumps(line) for line in lines))  # no newline at the end
    return folder / "results.jsonl"


def as_pngs(dataset: str, folder: Path) -> Path:
    (folder / "pngs").mkdir()
    for case in cases(dataset):
        numbered = np.zeros((SIDE, SIDE), dtype=np.uint8)
        for number, rle in enumerate(case.targets, start=1):
            numbered[masks.decode(rle)] = number
        Image.fromarray(numbered).save(folder / "pngs" / f"{case.id}.png")
    return folder / "pngs"


FORMS = {"coco": as_coco, "jsonl": as_lines, "png": as_pngs}


@pytest.mark.parametrize("form", FORMS)
def test_the_truth_as_predictions_scores_full_marks_in_every_form(dataset: str, tmp_path: Path, form: str) -> None:
    done = import_predictions(FORMS[form](dataset, tmp_path), Wanted(dataset, tmp_path / "run"))
    assert (done.form, done.cases, done.answered, done.empty, done.missing, done.unknown) == (form, 4, 3, 1, 0, 0)
    assert done.under_threshold == (form == "coco")
    score = score_run(tmp_path / "run")
    figures = score.to_json()["overall"]["gres"]
    assert score.complete
    assert [figures[name]["value"] for name in ("giou", "ciou", "n_acc", "t_acc")] == [1.0] * 4
    assert score.usage.usd == (2.0 if form == "jsonl" else 0.0)


def test_a_run_of_our_own_comes_back_from_its_journal(dataset: str, tmp_path: Path) -> None:
    import_predictions(as_coco(dataset, tmp_path), Wanted(dataset, tmp_path / "first", threshold=0.0))
    journal = tmp_path / "first" / "predictions.jsonl"
    import_predictions(journal, Wanted(dataset, tmp_path / "second", threshold=0.0))
    first, second = (score_run(tmp_path / name).to_json()["overall"] for name in ("first", "second"))
    assert first == second
    assert first["gres"]["giou"]["value"] < 1.0


def test_what_is_not_predicted_is_missing_unless_it_means_nothing(dataset: str, tmp_path: Path) -> None:
    lines = as_lines(dataset, tmp_path)
    kept = lines.read_text().splitlines()[:3]
    lines.write_text("\n".join([*kept, json.dumps({"case": "7-7", "masks": []}), ""]))
    open_run = import_predictions(lines, Wanted(dataset, tmp_path / "open"))
    assert (open_run.missing, open_run.unknown, open_run.examples) == (1, 1, ["7-7"])
    assert not score_run(tmp_path / "open").complete
    assert import_predictions(lines, Wanted(dataset, tmp_path / "closed", complete=True)).missing == 0
    assert score_run(tmp_path / "closed").complete


def test_polygons_of_coco_results_are_drawn_as_pycocotools_does(dataset: str, tmp_path: Path) -> None:
    square = [[2, 2, 10, 2, 10, 10, 2, 10]]
    (tmp_path / "r.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "segmentation": square, "score": 1}])
    )
    import_predictions(tmp_path / "r.json", Wanted(dataset, tmp_path / "run", limit=1))
    assert score_run(tmp_path / "run").to_json()["overall"]["gres"]["giou"]["value"] == 1.0


def lines(*rows: Any) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


SMALL = {"size": [2, 2], "counts": [0, 4]}
NOTHING = {"case": "1-1", "masks": []}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", "give a COCO results .json"),
        ("a.json", "{}", "COCO results are a list of masks, got dict"),
        ("a.json", '[{"image_id": 1}]', "entry 0 has no image_id or no segmentation"),
        ("a.json", '[{"image_id": 99, "segmentation": [], "score": 1}]', r"such as 99-1\) belongs to a case of coco:"),
        ("a.json", '[{"image_id": 1, "segmentation": [], "score": "high"}]', r"a score lies in 0\.\.1, got 'high'"),
        ("a.jsonl", "not json", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", "[1]", r"a\.jsonl:1: expected an object, got list"),
        ("a.jsonl", lines({"masks": []}), 'no "case" that says'),
        ("a.jsonl", lines({"case": "1-1"}), 'no "masks"'),
        ("a.jsonl", lines(NOTHING, NOTHING), r"a\.jsonl:2: '1-1' is there twice"),
        ("a.jsonl", lines({"case": "1-1", "masks": [SMALL]}), r"case 1-1: a mask of shape \(2, 2\) for a"),
        ("a.jsonl", lines({"case": "1-1", "masks": ["x"]}), "case 1-1: a mask is a bool array"),
        ("a.jsonl", lines({"case": "1-1", "masks": [SMALL], "scores": []}), "0 scores for 1 masks"),
        ("a.jsonl", lines({"case": "1-1", "instances": [{}]}), 'an instance without a "mask"'),
    ],
)  # fmt: skip
def test_what_is_no_prediction_ends_in_one_line_and_leaves_nothing(
    dataset: str, tmp_path: Path, name: str, content: str, words: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        import_predictions(tmp_path / name, Wanted(dataset, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((SIDE, SIDE, 3), dtype=np.uint8), "is in color"),
        (np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) // 2 * 2, "has the values"),
        (np.ones((3, 3), dtype=np.uint8), r"a mask of shape \(3, 3\)"),
    ],
)
def test_a_png_that_is_no_mask_is_refused(dataset: str, tmp_path: Path, pixels: np.ndarray, words: str) -> None:
    (tmp_path / "pngs").mkdir()
    Image.fromarray(pixels).save(tmp_path / "pngs" / "1-1.png")
    with pytest.raises(InputError, match=words):
        import_predictions(tmp_path / "pngs", Wanted(dataset, tmp_path / "run"))


def test_the_command_prints_the_score_and_refuses_a_folder_with_a_run(dataset: str, tmp_path: Path) -> None:
    call = ["import", str(as_coco(dataset, tmp_path)), "--dataset", dataset, "--out", str(tmp_path / "run")]
    first, second = CliRunner().invoke(app, [*call, "--json"]), CliRunner().invoke(app, call)
    assert json.loads(first.stdout)["overall"]["gres"]["giou"]["value"] == 1.0
    assert "4 cases: 3 answered, 1 empty" in first.stderr
    assert (second.exit_code, "holds a run already" in second.stderr) == (1, True)


def test_predictions_about_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="about videos cannot be imported yet"):
        import_predictions(tmp_path, Wanted("mevis:somewhere", tmp_path / "run"))
