"""From a run to files: what is chosen, splits without leakage, provenance, pictures, imports that stay untouched."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, write_coco
from sam3_agent.formats.coco_reading import read_coco
from sam3_agent.formats.orientation import copy_picture
from sam3_agent.labeling.io.export_labels import FORMATS, export
from sam3_agent.labeling.io.import_labels import import_labels, read_source
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.io.splits import near_duplicates, split_of
from sam3_agent.labeling.ontology.ontology import Ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer, difference_hash
from sam3_agent.labeling.pipeline.run import Order, label_images
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.workspace import Workspace
from tests.labeling.fixtures_runs import knowing_segmenter, label, ontology, write_scenes

COUNT = 6
SIMPLE = "classes: [{name: shape}, {name: animal}]"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_scenes(folder, COUNT)
    return folder


@pytest.fixture
def journal(images: Path, tmp_path: Path) -> Journal:
    return label(images, tmp_path / "run", knowing_segmenter(COUNT), SIMPLE)


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_format_holds_the_accepted_labels_and_says_where_each_came_from(
    journal: Journal, tmp_path: Path, form: str
) -> None:
    accepted = [each for each in journal.labels() if each.route == "accepted"]
    report = export(journal, form, tmp_path / form, Selection(val=0.4, seed=3), pictures=True)
    assert (report.images, report.labels) == (COUNT, len(accepted))
    assert sum(report.splits.values()) == COUNT
    lines = [json.loads(line) for line in (tmp_path / form / "provenance.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines} == {each.id for each in accepted}
    keys = {"phrase", "score", "presence", "verdict", "reason", "route", "reviewer", "model", "usd", "source"}
    assert keys <= set(lines[0])
    assert len(list((tmp_path / form).rglob("00?.png"))) >= COUNT


def test_only_what_is_accepted_is_exported_unless_asked(journal: Journal, tmp_path: Path) -> None:
    workspace = ReviewDecisions(journal)
    first, second = journal.labels()[:2]
    workspace.decide([first.id], "reject")
    workspace.set_threshold("shape", 0.3)
    total = len(journal.labels())
    report = export(journal, "coco", tmp_path / "a", Selection())
    assert report.labels == total - 1
    assert second.id in {
        e.attributes["label_id"] for e in read_coco(tmp_path / "a/annotations/instances_train.json").annotations
    }
    with pytest.raises(InputError, match="unknown format 'word'"):
        export(journal, "word", tmp_path / "b", Selection())
    with pytest.raises(InputError, match="has no labeled images yet"):
        export(Journal.create(tmp_path / "empty"), "coco", tmp_path / "c", Selection())


def test_near_duplicates_are_on_one_side() -> None:
    chance = np.random.default_rng(0)
    rows = [ImageRow(f"{n}.png", f"{n:064x}", 1, 1, "done", dhash=chance.bytes(8).hex()) for n in range(200)]
    twins = [
        ImageRow(f"twin{r.path}", f"{n + 900:064x}", 1, 1, "done", dhash=_flip(r.dhash)) for n, r in enumerate(rows)
    ]
    sides = split_of([*rows, *twins], 0.3)
    assert all(sides[row.sha] == sides[twin.sha] for row, twin in zip(rows, twins, strict=True))
    share = sum(side == "val" for side in sides.values()) / len(sides)
    assert 0.2 < share < 0.4
    assert split_of([*twins, *rows], 0.3) == sides
    assert split_of(rows, 0.3, seed=1) != {row.sha: sides[row.sha] for row in rows}


def test_pictures_of_one_color_are_not_called_duplicates() -> None:
    assert near_duplicates(["0" * 16, "0" * 16, ""]) == [0, 1, 2]
    assert near_duplicates(["0f" * 8, "0f" * 8]) == [0, 0]


def test_a_smaller_copy_has_nearly_the_same_hash(images: Path) -> None:
    with Image.open(images / "000.png") as file:
        picture = file.convert("RGB")
    whole = int(difference_hash(np.asarray(picture)), 16)
    half = int(difference_hash(np.asarray(picture.resize((picture.width // 2, picture.height // 2)))), 16)
    assert (whole ^ half).bit_count() <= 4


def _flip(dhash: str) -> str:
    return f"{int(dhash, 16) ^ 0b101:016x}"


def test_a_turned_picture_is_copied_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    copy_picture(tmp_path / "turned.jpg", tmp_path / "copy.jpg")
    with Image.open(tmp_path / "copy.jpg") as copy:
        assert copy.size == (10, 20)
    with pytest.raises(InputError, match="is gone"):
        copy_picture(tmp_path / "none.jpg", tmp_path / "copy.jpg")


def test_imported_labels_are_extended_and_not_touched(images: Path, tmp_path: Path) -> None:
    plain = label(images, tmp_path / "plain", knowing_segmenter(COUNT), SIMPLE)
    known = [each for each in plain.labels() if each.class_name == "shape"][:3]
    rows = {row.sha: row for row in plain.images()}
    shown = sorted({each.sha for each in known})
    dataset = CocoDataset(
        tuple(CocoImage(n, rows[sha].path, rows[sha].width, rows[sha].height) for n, sha in enumerate(shown)),
        tuple(CocoAnnotation(n, shown.index(each.sha), 7, each.box, each.rle) for n, each in enumerate(known)),
        (CocoCategory(7, "shape"),),
    )
    write_coco(dataset, tmp_path / "known.json")
    journal = Journal.create(tmp_path / "run")
    given: Ontology = ontology(SIMPLE)
    proposer = Proposer(Workspace(knowing_segmenter(COUNT)), given)

    def prepare(files: Iterable[ImageRow]) -> None:
        read = read_source(tmp_path / "known.json", images)
        imported = import_labels(journal, files, tmp_path / "known.json", read)
        assert (imported.read, imported.lost, imported.notes) == (len(known), 0, ())
        assert imported.new in (0, len(known))

    label_images(Order(images), journal, ThreadExecutor(proposer), prepare=prepare)
    label_images(Order(images), journal, ThreadExecutor(proposer), prepare=prepare)
    imported = [each for each in journal.labels() if each.source == "imported"]
    assert sorted(each.rle.counts for each in imported) == sorted(each.rle.counts for each in known)
    assert len(journal.labels()) == len(plain.labels()) + len(known)
    repeated = [each for each in journal.labels() if each.reason.startswith("labeled already as ")]
    assert len(repeated) == len(known)
    assert {each.route for each in repeated} == {"rejected"}
    with pytest.raises(InputError, match="was imported"):
        ReviewDecisions(journal).decide([imported[0].id], "reject")
    (tmp_path / "others").mkdir()
    shutil.copy(images / "000.png", tmp_path / "others" / "another.png")
    with pytest.raises(InputError, match=r"none of its labels can be used: .*no image of that name among the 1"):
        read_source(tmp_path / "known.json", tmp_path / "others")
    (tmp_path / "known.csv").touch()
    with pytest.raises(InputError, match=r"give a COCO or LabelMe \.json"):
        read_source(tmp_path / "known.csv", images)
    with pytest.raises(InputError, match="no such file"):
        read_source(tmp_path / "none.json", images)


def test_yolo_that_was_exported_is_imported(journal: Journal, images: Path, tmp_path: Path) -> None:
    export(journal, "yolo", tmp_path / "yolo", Selection())
    shutil.copytree(images, tmp_path / "images")
    again = Journal.create(tmp_path / "again")
    label_images(
        Order(tmp_path / "images"), again, ThreadExecutor(Proposer(Workspace(knowing_segmenter(0)), ontology(SIMPLE)))
    )
    source = tmp_path / "yolo" / "data.yaml"
    import_labels(again, again.images(), source, read_source(source, tmp_path / "images"))
    accepted = [each for each in journal.labels() if each.route == "accepted"]
    assert len(again.labels()) == len(accepted)
    assert {each.class_name for each in again.labels()} == {"shape", "animal"}


@pytest.mark.parametrize("form", ["coco-polygons", "yolo", "labelme"])
def test_polygons_can_be_reduced_and_the_price_is_told(journal: Journal, tmp_path: Path, form: str) -> None:
    exact = export(journal, form, tmp_path / "exact", Selection())
    reduced = export(journal, form, tmp_path / "reduced", Selection(simplify=1.5))
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).rglob("*.[jt]*")) for name in ("exact", "reduced")]
    assert sizes[1] < sizes[0] or form == "coco-polygons"  # which keeps the exact mask beside each
    assert [note for note in reduced.warnings if note.startswith("--simplify 1.5: ")]
    assert not [note for note in exact.warnings if "simplify" in note]


def test_reduced_coco_keeps_the_exact_mask_beside_each_polygon(journal: Journal, tmp_path: Path) -> None:
    export(journal, "coco-polygons", tmp_path, Selection(simplify=1.5))
    document = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    exact = {label.id: label.rle.to_json() for label in journal.labels() if label.route == "accepted"}
    assert {entry["label_id"]: entry["rle"] for entry in document["annotations"]} == exact
    assert all(isinstance(entry["segmentation"], list) for entry in document["annotations"])


def test_formats_of_pixels_are_not_reduced(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--simplify is for formats of polygons, coco-polygons, yolo, labelme; coco"):
        export(journal, "coco", tmp_path, Selection(simplify=1.5))
