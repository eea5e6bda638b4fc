"""FiftyOne datasets: what we write comes back to the pixel, here and in FiftyOne's own importer."""

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.fiftyone import write_fiftyone
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import read_labels
from tests.formats.test_label_formats import HEIGHT, TRUTH, WIDTH, label_set

CLASSES = label_set().classes


def images(root: Path) -> KnownImages:
    for name in TRUTH:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / name)
    return KnownImages(root, list(TRUTH))


def packed(mask: Any) -> str:
    buffer = io.BytesIO()
    np.save(buffer, mask)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def dataset(folder: Path, *detections: dict[str, Any], **sample: Any) -> Path:
    row = {"filepath": "/elsewhere/a.jpg", "ground_truth": {"_cls": "Detections", "detections": list(detections)}}
    folder.mkdir(exist_ok=True)
    (folder / "samples.json").write_text(json.dumps({"samples": [row | sample]}))
    return folder


def test_what_is_written_is_read_again_to_the_pixel(tmp_path: Path) -> None:
    assert write_fiftyone(label_set(), tmp_path / "set") == []
    for source in (tmp_path / "set", tmp_path / "set" / "samples.json"):
        read = read_labels(source, images(tmp_path / "images"))
        assert (read.count, read.lost) == (4, 0)
        for name, things in TRUTH.items():
            found = read.labels[name]
            assert [label.class_name for label in found] == [CLASSES[kind] for kind, _ in things]
            assert all(
                np.array_equal(masks.decode(f.rle), mask) for f, (_, mask) in zip(found, things, strict=True)
            )  # fmt: skip


def test_fiftyone_s_own_importer_reads_the_dataset(tmp_path: Path) -> None:
    importers: Any = pytest.importorskip(
        "fiftyone.utils.data.importers", reason="fiftyone is not installed: pip install fiftyone", exc_type=ImportError
    )
    write_fiftyone(label_set(), tmp_path)
    assert importers.FiftyOneDatasetImporter(str(tmp_path))._is_legacy_format_data()  # so it hands on to this one:
    with importers.LegacyFiftyOneDatasetImporter(str(tmp_path)) as importer:
        read = list(importer)
    assert [sample.filepath for sample in read] == [str(tmp_path / "images" / name) for name in TRUTH]
    assert read[2].tags == ["val"]
    assert read[2]["absent"] == list(CLASSES[:2])
    for sample, things in zip(read, TRUTH.values(), strict=True):
        detections = sample["ground_truth"].detections
        assert [detection.label for detection in detections] == [CLASSES[kind] for kind, _ in things]
        for detection, (_, mask) in zip(detections, things, strict=True):
            full = detection.to_segmentation(frame_size=(WIDTH, HEIGHT), target=255).mask
            assert np.array_equal(full > 0, mask)


def test_boxes_masks_of_another_size_and_mask_files_are_read(tmp_path: Path) -> None:
    box = {"_cls": "Detection", "label": "cup", "bounding_box": [10 / WIDTH, 20 / HEIGHT, 6 / WIDTH, 4 / HEIGHT]}
    half = np.array([[True, False]])
    folder = dataset(
        tmp_path / "set", box, box | {"mask": {"$binary": {"base64": packed(half)}}}, box | {"mask_path": "m/1.png"}
    )
    (folder / "m").mkdir()
    Image.fromarray(np.full((4, 6), 255, dtype=np.uint8)).save(folder / "m" / "1.png")
    first, second, third = read_labels(folder, images(tmp_path / "i")).labels["a.jpg"]
    assert (first.box_only, masks.area(first.rle)) == (True, 24)
    assert masks.box(second.rle) == (10, 20, 13, 24)
    assert (third.box_only, masks.area(third.rle)) == (False, 24)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": "?"}, "a mask cannot be read"),
        ({"mask": {"$binary": {"base64": packed(np.zeros(4))}}}, "a mask has two dimensions"),
        ({"mask": base64.b64encode(zlib.compress(b"x" * 99)).decode()}, "a mask cannot be read"),
        ({"mask_path": "../../etc/passwd"}, "no ../../etc/passwd in the dataset's folder"),
        ({"bounding_box": [0, 0, 1]}, "bounding_box: expected four shares"),
        ({"label": ""}, "no label"),
    ],
)
def test_a_broken_detection_is_left_out_and_told(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    good = {"_cls": "Detection", "label": "cup", "bounding_box": [0.1, 0.1, 0.5, 0.5]}
    read = read_labels(dataset(tmp_path / "set", good, good | change), images(tmp_path / "i"))
    assert (read.count, read.lost) == (1, 1)
    assert words in read.notes[0].words


def test_what_is_no_dataset_or_could_mean_two_fields_is_named(tmp_path: Path) -> None:
    found = images(tmp_path / "i")
    (tmp_path / "samples.json").write_text("[]")
    with pytest.raises(InputError, match="no list of samples"):
        read_labels(tmp_path / "samples.json", found)
    one = {"_cls": "Detections", "detections": [{"_cls": "Detection", "label": "a", "bounding_box": [0, 0, 1, 1]}]}
    two = dataset(tmp_path / "two", ground_truth=None, yolo=one, sam=one)
    with pytest.raises(InputError, match="detections in yolo, sam; rename the field that is meant to ground_truth"):
        read_labels(two, found)
    assert read_labels(dataset(tmp_path / "one", ground_truth=None, yolo=one), found).count == 1
