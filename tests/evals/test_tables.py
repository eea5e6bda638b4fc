"""Parquet and Arrow tables with a question a row: what is asked, what is true, and how a broken one is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam3_evals.datasets import Dataset, open_dataset
from sam3_evals.import_predictions import Wanted, import_predictions
from sam3_evals.sample import Case
from sam3_evals.score import score_run

from sam3_agent import masks
from sam3_agent.errors import InputError
from tests.evals.fixtures_datasets import cases_of, put
from tests.evals.fixtures_runs import SIDE, square, whole_run
from tests.evals.fixtures_tables import image_file, png, pyarrow, rows, write_table


def picture(dataset: Dataset, case: Case) -> Any:
    return dataset.picture(case)


@pytest.mark.parametrize("name", ["test-00000-of-00001.parquet", "data-00000-of-00001.arrow"])
def test_a_table_asks_a_question_a_row_with_classes_of_reasoning(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / "x" / "data" / name, rows())
    spec = f"reasonseg-x:{tmp_path / 'x'}"
    asked = cases_of(spec)
    assert [case.id for case in asked] == ["ann-0", "ann-1", "ann-2"]
    assert [case.query for case in asked] == ["question 0", "question 1", "question 2"]
    assert [case.strata["reasoning"] for case in asked] == ["C/MH", "P/F", "C/MH"]
    assert [case.picture for case in asked] == ["0", "0", "2"]  # one image twice
    assert all(np.array_equal(masks.decode(c.target), square(8 * n, 8)) for n, c in enumerate(asked))
    dataset = open_dataset(spec, "concept")
    assert dataset.name == spec
    assert [int(picture(dataset, case)[0, 0, 0]) for case in (asked[2], asked[0], asked[2])] == [2, 0, 2]


def test_rows_lie_in_several_files_and_only_those_of_one_split(tmp_path: Path) -> None:
    for number in range(2):
        write_table(tmp_path / f"test-{number:05d}-of-00002.parquet", rows(5)[number * 3 : number * 3 + 2])
    dataset = open_dataset(f"parquet:{tmp_path}", "concept")
    asked = list(dataset.cases(None))
    assert [case.id for case in asked] == ["ann-0", "ann-1", "ann-3", "ann-4"]
    assert int(picture(dataset, asked[3])[0, 0, 0]) == 4
    write_table(tmp_path / "train-00000-of-00001.parquet", rows(1))
    with pytest.raises(InputError, match=r"files of several splits \(test, train\); give one file"):
        open_dataset(f"parquet:{tmp_path}", "concept")
    assert len(cases_of(f"parquet:{tmp_path / 'train-00000-of-00001.parquet'}")) == 1


def test_masks_come_as_bitmaps_run_lengths_text_and_images(tmp_path: Path) -> None:
    one, two = square(0, 0), square(30, 30)
    rle = [masks.encode(one).to_json(), masks.encode(two).to_json()]
    forms: list[tuple[Any, int, bool]] = [
        (one.tolist(), 1, False),
        (one.astype(int).tolist(), 1, False),
        ([one.tolist(), two.tolist()], 2, True),
        (rle, 2, True),
        (json.dumps(rle), 2, True),
        (rle[0], 1, False),
        ({"bytes": png(one), "path": "m.png"}, 1, False),
        (png(one), 1, False),
        (np.zeros((SIDE, SIDE), dtype=bool).tolist(), 0, False),
    ]
    for number, (mask, count, apart) in enumerate(forms):
        write_table(tmp_path / f"{number}.parquet", [{**rows(1)[0], "mask": mask}])
        (case,) = cases_of(f"parquet:{tmp_path / f'{number}.parquet'}")
        assert (len(case.targets), case.by_instance, case.size) == (count, apart, (SIDE, SIDE)), number
        assert count == 0 or np.array_equal(masks.decode(case.targets[0]), one), number


def test_other_names_of_columns_and_several_annotators_are_known(tmp_path: Path) -> None:
    row = {
        "id": 7,
        "image": image_file(3),
        "expression": "a cup",
        "human_1_masks": [masks.encode(square(0, 0)).to_json()],
        "human_2_masks": [masks.encode(square(0, 0)).to_json(), masks.encode(square(30, 30)).to_json()],
    }
    write_table(tmp_path / "gold.parquet", [row])
    (case,) = cases_of(f"parquet:{tmp_path / 'gold.parquet'}")
    assert (case.id, case.query, len(case.targets), [len(each) for each in case.others]) == ("7", "a cup", 1, [2])


def test_a_turned_photograph_is_read_in_the_direction_of_its_mask(tmp_path: Path) -> None:
    photograph = image_file(5, (40, 20), orientation=6)  # stored 40 x 20, seen 20 x 40
    for stored, shape in ((True, (20, 40)), (False, (40, 20))):
        mask = np.ones(shape, dtype=bool).tolist()
        write_table(tmp_path / f"{stored}.parquet", [{"image": photograph, "text": "it", "mask": mask}])
        dataset = open_dataset(f"parquet:{tmp_path / f'{stored}.parquet'}", "concept")
        (case,) = dataset.cases(None)
        assert picture(dataset, case).shape[:2] == shape


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": [[True, False], [True]]}, "row 0: mask: a bitmap whose rows differ in length"),
        ({"mask": "no json"}, "row 0: mask: not JSON"),
        ({"mask": {"a": 1}}, "row 0: mask: a mask of the fields a"),
        ({"mask": 4}, "row 0: mask: neither a bitmap, run lengths nor an image, but int64"),
        ({"text": ""}, "row 0: text: no text"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write_table(tmp_path / "a.parquet", [{**rows(1)[0], **change}])
    with pytest.raises(InputError, match=words):
        cases_of(f"parquet:{tmp_path / 'a.parquet'}")


def test_a_table_without_the_columns_or_that_is_none_is_named(tmp_path: Path) -> None:
    row = rows(1)[0]
    del row["mask"]
    write_table(tmp_path / "a.parquet", [row])
    with pytest.raises(InputError, match=r"no column for the mask \(mask, masks, .*it has image, text"):
        cases_of(f"parquet:{tmp_path / 'a.parquet'}")
    for name in ("b.parquet", "c.arrow"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match=rf"{name}: not a (Parquet file|stream of Arrow batches)"):
            cases_of(f"parquet:{tmp_path / name}")
    with pytest.raises(InputError, match=r"no \.parquet or \.arrow file"):
        open_dataset(f"parquet:{tmp_path / 'none'}", "concept")


def test_an_image_path_of_a_table_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(image_file())
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "in.jpg").write_bytes(image_file(9))
    for path, words in (("in.jpg", None), ("../secret.jpg", "no image '../secret.jpg' beside"), ("", "there is no")):
        write_table(tmp_path / "t" / "a.parquet", [{**rows(1)[0], "image": {"bytes": None, "path": path}}])
        dataset = open_dataset(f"parquet:{tmp_path / 't'}", "concept")
        (case,) = dataset.cases(None)
        if words is None:
            assert picture(dataset, case).shape == (SIDE, SIDE, 3)
        else:
            with pytest.raises(InputError, match=words):
                dataset.picture(case)


def test_a_run_over_a_table_is_scored_by_reasoning(tmp_path: Path) -> None:
    write_table(tmp_path / "x.parquet", rows())
    run = whole_run(tmp_path / "run", open_dataset(f"reasonseg-r:{tmp_path / 'x.parquet'}", "concept"))
    document = score_run(run).to_json()
    assert document["overall"]["lisa"]["giou"]["value"] == pytest.approx(1, abs=1e-4)
    assert set(document["strata"]["reasoning"]) == {"C/MH", "P/F"}
    assert document["overall"]["images"] == 2


def lmms_line(number: int, response: str, **more: Any) -> str:
    return json.dumps({"doc_id": number, "resps": [[response]], "filtered_resps": [response], **more})


def test_logs_of_lmms_eval_are_a_run_by_row_or_by_id(tmp_path: Path) -> None:
    write_table(tmp_path / "x.parquet", rows())
    right = json.dumps({"masks": [masks.encode(square(0, 8)).to_json()], "scores": [0.9]})
    listed = "```json\n" + json.dumps([masks.encode(square(8, 8)).to_json()]) + "\n```"
    log = tmp_path / "samples_x.jsonl"
    log.write_text("\n".join([lmms_line(1, listed), lmms_line(0, right), lmms_line(2, "It is the cup.")]))
    done = import_predictions(log, Wanted(f"parquet:{tmp_path / 'x.parquet'}", tmp_path / "run"))
    assert (done.form, done.answered, done.empty, done.unreadable, done.missing) == ("lmms-eval", 2, 1, 1, 0)
    assert "1 responses without masks counted as empty" in done.words()
    assert score_run(tmp_path / "run").to_json()["overall"]["lisa"]["giou"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    log.write_text("\n".join(lmms_line(9 - n, right, doc={"ann_id": f"ann-{n}"}) for n in (2, 0)))
    done = import_predictions(log, Wanted(f"parquet:{tmp_path / 'x.parquet'}", tmp_path / "by-id"))
    assert (done.answered, done.missing) == (2, 1)
    log.write_text("\n".join([lmms_line(0, right), lmms_line(0, right)]))
    with pytest.raises(InputError, match=r"samples_x.jsonl:2: document 0 is there twice"):
        import_predictions(log, Wanted(f"parquet:{tmp_path / 'x.parquet'}", tmp_path / "twice"))


def test_lisa_s_layout_of_the_newer_benchmarks_says_its_class(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(image_file())
    shape = {"label": "target", "points": [[1, 1], [9, 1], [9, 9]]}
    put(tmp_path / "a.json", {"text": ["it"], "is_sentence": True, "shapes": [shape], "question_type": "geometric"})
    (case,) = cases_of(f"reasonseg-sgdr:{tmp_path}")
    assert case.strata == {"reasoning": "geometric", "form": "long"}
    assert open_dataset(f"reasonseg-sgdr:{tmp_path}", "concept").name == f"reasonseg-sgdr:{tmp_path}"


def test_the_reader_of_hugging_face_writes_what_is_read(tmp_path: Path) -> None:
    pyarrow()
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "mask": datasets.Sequence(datasets.Sequence(datasets.Value("bool"))),
            "ann_id": datasets.Value("string"),
        }
    )
    content = [{key: row[key] for key in features} for row in rows()]
    table = datasets.Dataset.from_list(content, features=features)
    table.save_to_disk(str(tmp_path / "disk"))
    table.to_parquet(str(tmp_path / "hub" / "test-00000-of-00001.parquet"))
    assert cases_of(f"parquet:{tmp_path / 'disk'}") == cases_of(f"parquet:{tmp_path / 'hub'}")
    assert len(cases_of(f"parquet:{tmp_path / 'disk'}")) == 3
