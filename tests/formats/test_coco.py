"""COCO instance JSON, on small documents and on real ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import (
    CocoAnnotation,
    CocoCategory,
    CocoDataset,
    CocoImage,
    to_json,
    write_coco,
    xywh,
)
from sam3_agent.formats.coco_reading import from_json, read_coco


def square() -> masks.Rle:
    mask = np.zeros((8, 10), dtype=bool)
    mask[2:5, 3:7] = True
    return masks.encode(mask)


def dataset() -> CocoDataset:
    return CocoDataset(
        images=(CocoImage(1, "a.jpg", 10, 8, {"seed": 7}),),
        annotations=(
            CocoAnnotation(1, 1, 4, (3.0, 2.0, 7.0, 5.0), square(), 12.0, attributes={"color": "red"}),
            CocoAnnotation(2, 1, 4, (0.0, 0.0, 10.0, 8.0), None, 80.0, crowd=True, score=0.5),
        ),
        categories=(CocoCategory(4, "square", "shape"),),
        info={"description": "two squares"},
    )


def document(**annotation: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 8}],
        "categories": [{"id": 4, "name": "square"}],
        "annotations": [{"id": 9, "image_id": 1, "category_id": 4, **annotation}],
    }


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    write_coco(dataset(), tmp_path / "instances.json")
    assert read_coco(tmp_path / "instances.json") == dataset()


def test_the_file_holds_xywh_boxes_and_compressed_rle() -> None:
    first, second = to_json(dataset())["annotations"]
    assert first["bbox"] == [3.0, 2.0, 4.0, 3.0]
    assert first["segmentation"] == {"size": [8, 10], "counts": square().counts}
    assert first["color"] == "red"
    assert "segmentation" not in second
    assert second["iscrowd"] == 1
    assert second["score"] == 0.5


def test_polygons_and_uncompressed_runs_become_the_same_mask() -> None:
    polygon = from_json(document(segmentation=[[3, 2, 7, 2, 7, 5, 3, 5]]))
    runs = from_json(document(segmentation={"size": [8, 10], "counts": [26, 3, 5, 3, 5, 3, 5, 3, 27]}, iscrowd=1))
    assert polygon.annotations[0].rle == square()
    assert runs.annotations[0].rle == square()
    assert runs.annotations[0].crowd


def test_a_missing_box_comes_from_the_mask_and_a_missing_mask_stays_missing() -> None:
    assert from_json(document(segmentation=[[3, 2, 7, 2, 7, 5, 3, 5]])).annotations[0].box == (3.0, 2.0, 7.0, 5.0)
    assert from_json(document(bbox=[1, 1, 2, 2], segmentation=[])).annotations[0].rle is None


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"annotations\.0\.bbox"),
        ({"bbox": [0, 0, 1, float("nan")]}, r"annotations\.0\.bbox\.3"),
        ({}, "annotation 9: neither bbox nor segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 9: segmentation: a polygon is at least three"),
        ({"segmentation": {"counts": "1"}}, "annotation 9: segmentation: not a COCO RLE"),
        ({"segmentation": {"size": [2, 2], "counts": [0, 4]}}, r"annotation 9: segmentation: an RLE of size \[2, 2\]"),
        ({"image_id": 3, "bbox": [0, 0, 1, 1]}, "annotation 9: image_id 3 is not in images"),
        ({"category_id": 3, "bbox": [0, 0, 1, 1]}, "annotation 9: category_id 3 is not in categories"),
    ],
)
def test_a_broken_entry_is_named_with_its_field(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_json(document(**broken))


def test_two_entries_with_one_id_are_refused() -> None:
    twice = document(bbox=[0, 0, 1, 1])
    twice["annotations"] *= 2
    with pytest.raises(InputError, match="annotation id 9: it occurs twice"):
        from_json(twice)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"images": []}', b"\xff\xfe\x00"])
def test_a_file_that_is_no_coco_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.json: not"):
        read_coco(path)


def test_real_coco_decodes_to_the_masks_of_pycocotools(shared_data: Path) -> None:
    path = shared_data / "coco_permissive" / "instances_permissive.json"
    ours, theirs = read_coco(path), COCO(str(path))
    assert len(ours.annotations) == 246
    assert sum(a.crowd for a in ours.annotations) == 3
    for annotation in ours.annotations:
        entry = theirs.anns[annotation.id]
        assert annotation.rle is not None
        assert np.array_equal(masks.decode(annotation.rle), theirs.annToMask(entry).astype(bool))
        assert xywh(annotation.box) == pytest.approx(entry["bbox"], abs=1e-3)
        assert annotation.area == entry["area"]


def test_a_real_file_survives_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    original = read_coco(shared_data / "coco_permissive" / "instances_permissive.json")
    write_coco(original, tmp_path / "again.json")
    again = read_coco(tmp_path / "again.json")
    assert [a.rle for a in again.annotations] == [a.rle for a in original.annotations]
    assert again.images == original.images
    assert again.categories == original.categories


def test_files_of_other_tools_read(shared_data: Path) -> None:
    folder = shared_data / "datumaro_format_assets" / "coco_dataset"
    for path in sorted(folder.glob("**/instances_*.json")) + sorted(folder.glob("**/_annotations.coco.json")):
        text = json.loads(path.read_text())
        assert len(read_coco(path).annotations) == len(text["annotations"]), path
