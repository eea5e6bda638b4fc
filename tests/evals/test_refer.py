"""RefCOCO and gRefCOCO: every expression is asked, pickles run nothing, and a broken record is named."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam3_evals.datasets import open_dataset

from sam3_agent import masks
from sam3_agent.errors import InputError
from tests.evals.fixtures_datasets import cases_of, coco_document, pictures, put
from tests.evals.fixtures_runs import square


def refs() -> list[dict[str, Any]]:
    def ref(number: int, image: int, annotation: int, split: str, *texts: str) -> dict[str, Any]:
        sentences = [
            {"sent_id": 10 * number + i, "sent": text, "raw": text.upper(), "tokens": text.split()}
            for i, text in enumerate(texts)
        ]
        return {"ref_id": number, "image_id": image, "ann_id": annotation, "split": split, "category_id": 1,
                "sentences": sentences, "file_name": f"COCO_{image}_{number}.jpg"}  # fmt: skip

    return [
        ref(2, 1, 2, "val", "right cat", "cat on the right"),
        ref(1, 1, 1, "val", "left cat"),
        ref(3, 1, 3, "train", "dog"),
    ]


def refer_folder(folder: Path, entries: Any, protocol: int = 2) -> Path:
    put(folder / "instances.json", coco_document())
    (folder / "refs(unc).p").write_bytes(pickle.dumps(entries, protocol))
    pictures(folder / "images", "1.png")
    return folder


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_refcoco_asks_every_expression_of_its_split(tmp_path: Path, protocol: int) -> None:
    folder = refer_folder(tmp_path / "refcoco", refs(), protocol)
    asked = cases_of(f"refcoco:{folder}:unc:val")
    assert [(case.id, case.query) for case in asked] == [
        ("10", "left cat"), ("20", "right cat"), ("21", "cat on the right"),
    ]  # fmt: skip
    assert np.array_equal(masks.decode(asked[1].target), square(20, 0))
    assert open_dataset(f"refcoco:{folder}:unc:val", "agent").picture(asked[0]) == folder / "images" / "1.png"


def test_texts_pickled_by_python_2_are_read(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path / "refcoco", refs())
    # {'sent': 'caf\xe9', ...} as Python 2 wrote str: BINSTRING opcodes, latin-1.
    entry = (
        b"\x80\x02]q\x00}q\x01(U\x06ref_idK\x01U\x06ann_idK\x01U\x08image_idK\x01U\x05splitU\x03valU\tsentences]"
        b"}(U\x07sent_idK\x05U\x04sentU\x04caf\xe9uaua."
    )
    (folder / "refs(unc).p").write_bytes(entry)
    assert [case.query for case in cases_of(f"refcoco:{folder}:unc:val")] == ["café"]


class Bomb:
    """What a malicious pickle does: it has a function called while it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "boom"))


def test_a_pickle_that_wants_something_run_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path / "refcoco", [Bomb(tmp_path / "boom")])
    with pytest.raises(InputError, match=r"refs\(unc\).p: wants to import"):
        cases_of(f"refcoco:{folder}:unc:val")
    (folder / "refs(unc).p").write_bytes(b"cposix\nsystem\n(S'touch " + str(tmp_path / "boom").encode() + b"'\ntR.")
    with pytest.raises(InputError, match=r"wants to import posix\.system"):
        cases_of(f"refcoco:{folder}:unc:val")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": 1}, "expected a list of refs, got dict"),
        ([{**refs()[0], "sentences": []}], "ref 0: sentences: List should have at least 1 item"),
        ([{k: v for k, v in refs()[0].items() if k != "ann_id"}], "ref 0: ann_id: Field required"),
        ([{**refs()[0], "ann_id": 77}], "ref 2: ann_id: 77 is not in instances.json"),
        ([{**refs()[0], "image_id": 2}], "ref 2: image_id: 2, but its annotation 2 is on image 1"),
        ([{**refs()[0], "split": "testA"}], "no ref in the split 'val'; it has: testA"),
    ],
)
def test_a_broken_ref_is_named_with_its_field(tmp_path: Path, entries: Any, words: str) -> None:
    folder = refer_folder(tmp_path / "refcoco", entries)
    with pytest.raises(InputError, match=words):
        cases_of(f"refcoco:{folder}:unc:val")


def test_a_truncated_pickle_is_called_unreadable(tmp_path: Path) -> None:
    folder = refer_folder(tmp_path / "refcoco", refs())
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs(), 2)[:-40])
    with pytest.raises(InputError, match="not a readable pickle"):
        cases_of(f"refcoco:{folder}:unc:val")


def grefs() -> list[dict[str, Any]]:
    def ref(number: int, annotations: Any, text: str, no_target: bool = False) -> dict[str, Any]:
        return {"ref_id": number, "image_id": 1, "ann_id": annotations, "no_target": no_target, "split": "val",
                "sentences": [{"sent_id": 1, "sent": text}]}  # fmt: skip

    return [ref(1, [1, 2], "both cats"), ref(2, [3], "the dog"), ref(3, [-1], "a horse", no_target=True)]


def gref_folder(folder: Path, entries: Any) -> Path:
    put(folder / "instances.json", coco_document())
    put(folder / "grefs(unc).json", entries)
    return folder


def test_grefcoco_knows_several_targets_and_none(tmp_path: Path) -> None:
    asked = cases_of(f"grefcoco:{gref_folder(tmp_path / 'g', grefs())}:val")
    assert [(case.query, len(case.targets), case.strata) for case in asked] == [
        ("both cats", 2, {"objects": "several"}),
        ("the dog", 1, {"objects": "one"}),
        ("a horse", 0, {"objects": "none"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"no_target": True}, "ref 1: no_target: True, but ann_id is"),
        ({"ann_id": [-1]}, "ref 1: no_target: False, but ann_id is"),
        ({"ann_id": [5]}, "ref 1: ann_id: 5 is not in instances.json"),
        ({"image_id": 2}, "ref 1: ann_id: 1 is on image 1, not 2"),
        ({"sentences": [{"sent_id": 1}]}, "ref 0.sentences.0.sent: Field required"),
    ],
)
def test_a_broken_gref_is_named_with_its_field(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    entries = grefs()
    entries[0].update(change)
    with pytest.raises(InputError, match=words):
        cases_of(f"grefcoco:{gref_folder(tmp_path / 'g', entries)}:val")
