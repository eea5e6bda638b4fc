"""Exports of a run, written as they are read: what is held does not grow with the images, and all is of one moment."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.formats.files import write_json, write_json_in_pieces
from sam3_agent.labeling.io.export_labels import export
from sam3_agent.labeling.io.journal_labels import Selection, label_set
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Check, Label

STREAMED = ("coco", "coco-polygons", "cvat", "label-studio", "mllm", "fiftyone", "webdataset")
SIDE = 16
SAID = "as it was judged. " * 60
"""A kilobyte for each label, so that labels weigh more than all else of an export."""


def run_of(folder: Path, first: int, last: int) -> Journal:
    journal = Journal.create(folder)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[2:9, 3:12] = True
    rle = masks.encode(mask)
    for number in range(first, last):
        sha, path = f"{number:064x}", f"{number // 100:03d}/{number:06d}.png"
        row = ImageRow(path, sha, 1, 1, "done", width=SIDE, height=SIDE)
        labels = [
            Label(f"{number:06d}.{kind}", sha, kind, rle, masks.box(rle), 0.9, 0.9, 0.9, "phrase", kind,
                  reason=f"{number} {SAID}", route="accepted")
            for kind in ("cup", "dish")
        ]  # fmt: skip
        journal.finish(row, labels, [Check(sha, "spoon", 0.1, "right", "not there", "accepted")])
    return journal


def ontology(journal: Journal) -> None:
    journal.remember({"ontology": {"classes": [{"name": name} for name in ("cup", "dish", "spoon")]}, "images": "/i"})


def held(journal: Journal, form: str, out: Path) -> int:
    """Most bytes of Python's own that an export held at once; of three, as another test's thread may hold some too."""
    peaks: list[int] = []
    for _ in range(3):
        tracemalloc.start()
        try:
            export(journal, form, out, Selection())
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


@pytest.mark.parametrize("form", STREAMED)
def test_what_an_export_holds_does_not_grow_with_the_labels(tmp_path: Path, form: str) -> None:
    few, many = 150, 450  # both more than a page of images
    journal = run_of(tmp_path / "run", 0, few)
    ontology(journal)
    export(journal, form, tmp_path / "warm", Selection())  # what is imported and compiled once is held from then on
    before = held(journal, form, tmp_path / "few")
    run_of(tmp_path / "run", few, many).close()
    after = held(journal, form, tmp_path / "many")
    said = 2 * (many - few) * len(SAID)
    assert after - before < said / 4
    written = sum(path.stat().st_size for path in (tmp_path / "many").rglob("*") if path.is_file())
    assert written > 2 * many * len(SAID)


def test_the_text_is_that_of_one_document_written_at_once(tmp_path: Path) -> None:
    journal = run_of(tmp_path / "run", 0, 3)
    ontology(journal)
    for form in ("coco", "coco-polygons", "cvat", "label-studio"):
        export(journal, form, tmp_path / form, Selection())
    for name in ("coco/annotations/instances_train.json", "label-studio/tasks.json"):
        text = (tmp_path / name).read_text()
        assert text == json.dumps(json.loads(text), ensure_ascii=False) + "\n"
    text = (tmp_path / "cvat/annotations.xml").read_text()
    root = Xml.fromstring(text)
    Xml.indent(root)
    assert text == f'<?xml version="1.0" encoding="utf-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


@pytest.mark.parametrize("items", [[], [{"a": [1, "é"]}], [1, 2, 3]])
def test_json_in_pieces_is_json_at_once(tmp_path: Path, items: list[object]) -> None:
    write_json(tmp_path / "a.json", {"k": {"x": items, "n": None}, "items": items, "é": "ü"})
    write_json_in_pieces(tmp_path / "b.json", {"k": {"x": iter(items), "n": None}, "items": iter(items), "é": "ü"})
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_an_export_that_is_interrupted_leaves_the_last_one(tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    write_json_in_pieces(tmp_path / "a.json", iter([0]))
    with pytest.raises(KeyboardInterrupt):
        write_json_in_pieces(tmp_path / "a.json", items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "[0]\n"


def test_all_of_an_export_is_of_one_moment(tmp_path: Path) -> None:
    journal = run_of(tmp_path / "run", 0, 3)
    ontology(journal)
    with journal.snapshot() as still:
        labels = label_set(still, Selection())
        run_of(tmp_path / "run", 2, 9).close()
        assert (len(labels.images), len(list(labels.images)), labels.splits()) == (3, 3, {"train": 3})
    assert len(label_set(journal, Selection()).images) == 9


def test_images_of_a_run_are_a_sequence_with_labels_and_what_is_absent(tmp_path: Path) -> None:
    journal = run_of(tmp_path / "run", 0, 4)
    ontology(journal)
    labels = label_set(journal, Selection())
    names = [image.name for image in labels.images]
    assert names == [f"000/{number:06d}.png" for number in range(4)]
    assert (labels.images[1].name, labels.images[-1].name) == (names[1], names[3])
    assert [image.name for image in labels.images[1:3]] == names[1:3]
    assert [image.name for image in labels.images[::-1]] == names[::-1]
    with pytest.raises(IndexError):
        _ = labels.images[4]
    assert dict(labels.absent) == dict.fromkeys(names, (2,))
    assert labels.absent.get("nowhere.png", ()) == ()
