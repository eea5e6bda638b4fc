"""A dataset as a task of lmms-eval: what its loader is given, and figures that are those of our own score."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sam3_evals.datasets import open_dataset
from sam3_evals.import_predictions import Wanted, import_predictions
from sam3_evals.lmms.scoring import FIGURES, process_results
from sam3_evals.lmms.task import PROMPT, write_task
from sam3_evals.score import score_run

from sam3_agent import masks
from sam3_agent.errors import InputError
from tests.evals.fixtures_datasets import pictures, put, rle
from tests.evals.fixtures_runs import SIDE

NAME = "two_images"


def dataset_spec(folder: Path) -> str:
    """COCO file of two images and two classes, one of them on the first image only."""
    images = [{"id": n, "file_name": f"sub/{n} ä.png", "width": SIDE, "height": SIDE} for n in (1, 2)]
    found = [
        {"id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 8, 8], "segmentation": rle(8 * n, 0)}
        for n in (1, 2)
    ]
    document = {
        "images": images, "annotations": found, "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "dish"}],
    }  # fmt: skip
    (folder / "sub").mkdir(parents=True)
    pictures(folder / "sub", "1 ä.png", "2 ä.png")
    return f"coco:{put(folder / 'instances.json', document)}"


def rows_of(task: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (task / "cases.jsonl").read_text().splitlines()]


def utils_of(task: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("utils", task / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def responses(rows: list[dict[str, Any]]) -> list[str]:
    """Right about the first cup, half a cup on the second image, something where nothing is, and words."""
    half = masks.from_box((16, 0, 20, 8), (SIDE, SIDE)).to_json()
    said = {"1-1": {"masks": [rle(8, 0)], "scores": [0.9]}, "2-1": [half], "1-2": {"masks": [half]}}
    return [json.dumps(said[row["id"]]) if row["id"] in said else "I see no dish." for row in rows]


def test_a_task_scores_what_our_own_score_of_its_log_says(tmp_path: Path) -> None:
    spec = dataset_spec(tmp_path / "set")
    task = tmp_path / "task"
    assert write_task(open_dataset(spec, "concept"), task, NAME) == 4
    rows, utils = rows_of(task), utils_of(task)
    assert [row["query"] for row in rows] == ["cup", "dish", "cup", "dish"]
    assert [image.size for image in utils.doc_to_visual(rows[0])] == [(SIDE, SIDE)]
    assert utils.doc_to_text(rows[0], {"pre_prompt": "find: ", "post_prompt": "!"}) == "find: cup!"
    assert json.loads(utils.doc_to_target(rows[1])) == {"masks": []}
    said = responses(rows)
    parts = [utils.process_results(row, [text]) for row, text in zip(rows, said, strict=True)]
    there = {name: getattr(utils, name)([part[name] for part in parts]) for name in FIGURES}
    log = [{"doc_id": n, "resps": [[text]], "doc": row} for n, (row, text) in enumerate(zip(rows, said, strict=True))]
    (tmp_path / "samples.jsonl").write_text("\n".join(json.dumps(line) for line in log))
    done = import_predictions(tmp_path / "samples.jsonl", Wanted(spec, tmp_path / "run"))
    assert (done.form, done.missing, done.unknown) == ("lmms-eval", 0, 0)
    here = score_run(tmp_path / "run").to_json()["overall"]
    assert there == {name: pytest.approx(100 * here[m][f]["value"]) for name, (m, f) in FIGURES.items()}


def test_a_response_that_is_no_masks_of_the_image_is_empty(tmp_path: Path) -> None:
    spec = dataset_spec(tmp_path / "set")
    write_task(open_dataset(spec, "concept"), tmp_path / "task", NAME)
    row = rows_of(tmp_path / "task")[0]
    empty = process_results(row, ['{"masks": []}'])
    wrong_size = json.dumps({"masks": [masks.empty(4, 4).to_json()]})
    for text in ("", "no JSON", wrong_size, '{"masks": [{"size": [4]}]}', '{"masks": [{}], "scores": ["x"]}'):
        assert process_results(row, [text]) == empty
    assert process_results(row, []) == empty


def test_what_makes_no_task_is_refused(tmp_path: Path) -> None:
    spec = dataset_spec(tmp_path / "set")
    with pytest.raises(InputError, match="letters, digits"):
        write_task(open_dataset(spec, "concept"), tmp_path / "task", "../x")
    (tmp_path / "set" / "sub" / "2 ä.png").unlink()
    with pytest.raises(InputError, match="is gone"):
        write_task(open_dataset(spec, "concept"), tmp_path / "task", NAME)
    assert not (tmp_path / "task" / "cases.jsonl").exists()


def test_lmms_eval_itself_loads_asks_and_scores_the_task(tmp_path: Path) -> None:
    tasks = pytest.importorskip("lmms_eval.tasks", reason="lmms-eval is not installed: pip install lmms-eval")
    task = tmp_path / "task"
    write_task(open_dataset(dataset_spec(tmp_path / "set"), "concept"), task, NAME)
    manager = tasks.TaskManager(include_path=str(task), include_defaults=False, model_name="qwen")
    loaded = tasks.get_task_dict([NAME], manager)[NAME]
    documents = list(loaded.test_docs())
    assert [document["id"] for document in documents] == [row["id"] for row in rows_of(task)]
    assert loaded.doc_to_text(documents[0]) == f"{PROMPT}cup"
    assert loaded.doc_to_visual(documents[0])[0].size == (SIDE, SIDE)
    parts = [loaded.process_results(doc, [loaded.doc_to_target(doc)]) for doc in documents]
    combine = loaded.aggregation()
    assert {name: combine[name]([part[name] for part in parts]) for name in FIGURES} == {
        name: pytest.approx(100, abs=0.1) for name in FIGURES
    }
