"""LISA's ground truth, record by record, against a drawing with OpenCV that shares nothing with the package's."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sam3_evals.conformance.fixtures import folder, read_expected, read_predictions
from sam3_evals.datasets import open_dataset
from sam3_evals.metrics.iou import lisa, vision_reasoner

from sam3_agent import masks

NAMES = read_expected().names


def read_annotation(name: str) -> dict[str, Any]:
    raw = (folder() / f"{name}.json").read_bytes()
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return json.loads(raw.decode("cp1252"))


def drawn(name: str) -> NDArray[np.uint8]:
    """(H, W) of 0, 1 and 255: every shape on a sheet of its own, then laid over each other, the largest first."""
    picture = cv2.imread(str(folder() / f"{name}.jpg"))
    assert picture is not None
    sheets: list[tuple[int, NDArray[np.bool_], int]] = []
    for shape in read_annotation(name)["shapes"]:
        if shape["label"].lower() == "flag":
            continue
        corners = np.array([[int(x), int(y)] for x, y in shape["points"]], dtype=np.int32)
        outline = cv2.polylines(np.zeros(picture.shape[:2], np.uint8), [corners], True, 255, 1)
        filled = cv2.fillPoly(np.zeros(picture.shape[:2], np.uint8), [corners], 255)
        sheet = (outline > 0) | (filled > 0)
        sheets.append((int(sheet.sum()), sheet, 255 if "ignore" in shape["label"].lower() else 1))
    truth = np.zeros(picture.shape[:2], np.uint8)
    for _, sheet, value in sorted(sheets, key=lambda item: -item[0]):
        truth = np.where(sheet, np.uint8(value), truth)
    return truth


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures without the files that are no records."""
    place = tmp_path_factory.mktemp("records")
    for name in NAMES:
        for suffix in (".json", ".jpg"):
            (place / f"{name}{suffix}").write_bytes((folder() / f"{name}{suffix}").read_bytes())
    return place


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_that_of_an_independent_drawing_pixel_by_pixel(name: str, records: Path) -> None:
    cases = {case.id: case for case in open_dataset(f"reasonseg:{records}", "concept").cases(None)}
    case = cases[name]
    truth = drawn(name)
    assert np.array_equal(masks.decode(case.target), truth == 1)
    ignored = masks.decode(case.ignore) if case.ignore else np.zeros_like(truth, dtype=bool)
    assert np.array_equal(ignored, truth == 255)
    assert case.query == read_annotation(name)["text"][0]
    assert hashlib.sha256(truth.tobytes()).hexdigest() == read_expected().record(name)["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_ious_are_those_of_plain_bitmaps(name: str) -> None:
    truth, predicted = drawn(name), masks.decode(read_predictions()[name])
    counted = truth != 255
    both, either = (predicted & (truth == 1) & counted).sum(), ((predicted | (truth == 1)) & counted).sum()
    expected = read_expected().record(name)["iou"]
    assert expected["lisa"] == pytest.approx(both / (either + 1e-5) if either else 1.0, abs=1e-12)
    merged = truth != 0
    union = (predicted | merged).sum()
    assert expected["vision_reasoner"] == pytest.approx((predicted & merged).sum() / union if union else 0.0, abs=1e-12)


def test_the_fixtures_tell_the_conventions_apart() -> None:
    figures = {convention: read_expected().figures(convention) for convention in ("lisa", "vision_reasoner")}
    assert abs(figures["lisa"]["giou"] - figures["vision_reasoner"]["giou"]) > 0.1
    record = read_expected().record("08_no_shapes")
    assert record["iou"] == {"lisa": 1.0, "vision_reasoner": 0.0}
    assert len(NAMES) >= 12
    nothing = masks.empty(4, 4)
    assert (lisa(nothing, nothing).iou, vision_reasoner(nothing, nothing).iou) == (1.0, 0.0)
