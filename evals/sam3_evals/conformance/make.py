"""Writer of the fixtures: `python -m sam3_evals.conformance.make`. Tests check their masks by other means."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reasonseg import read_record
from sam3_evals.conformance.command import own_answers
from sam3_evals.conformance.fixtures import folder

Points = Sequence[Sequence[float]]
Shapes = Sequence[tuple[str, Points]]
_GREY = (128, 128, 128)


def _box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


STAR = [[60, 8], [74, 44], [112, 46], [82, 70], [92, 106], [60, 84], [28, 106], [38, 70], [8, 46], [46, 44]]
LARGE, SMALL = _box(10, 10, 110, 80), _box(30.6, 30.2, 60.9, 60.7)

RECORDS: dict[str, tuple[tuple[int, int], list[str], bool, Shapes]] = {
    "01_concave_polygon": ((120, 120), ["the star"], False, [("target", STAR)]),
    "02_ignore_inside_target": ((120, 90), ["the box"], False, [("target", LARGE), ("ignore", SMALL)]),
    "03_target_inside_ignore": ((120, 90), ["the box in the crowd"], False, [("ignore", LARGE), ("target", SMALL)]),
    "04_small_over_large": ((120, 90), ["the box"], False, [("Ignored region", SMALL), ("target", LARGE)]),
    "05_flag_is_dropped": ((120, 90), ["the box"], False, [("target", SMALL), ("FLAG", LARGE)]),
    "06_overlapping_targets": ((120, 90), ["the pair"], False, [("target", LARGE), ("target", _box(90, 40, 118, 88))]),
    "07_cp1252_text": ((120, 90), ["the café’s sign"], False, [("target", SMALL)]),
    "08_no_shapes": ((120, 90), ["what is not there?"], True, []),
    "09_only_ignore": ((120, 90), ["what is only hinted at?"], True, [("ignore", SMALL)]),
    "10_five_thousand_pixels": (
        (5000, 3750),
        ["the large triangle"],
        False,
        [("target", [[100.7, 3600.2], [2500.5, 90.9], [4900.1, 3600.8]]), ("ignore", _box(2400, 2400, 2600, 2600))],
    ),
    "11_outside_the_picture": ((120, 90), ["what reaches out"], False, [("target", _box(-5000, -0.9, 40.99, 5000))]),
    "12_outline_without_inside": ((120, 90), ["the line"], False, [("target", [[10, 10], [100, 70]])]),
    "13_first_of_several_texts": (
        (120, 90),
        ["Which part holds the lid?", "Where is the hinge?", "the hinge"],
        True,
        [("target", _box(50, 20, 53, 70)), ("target", [[80.5, 20.5], [100.5, 60.5], [70.5, 55.5]])],
    ),
}
"""Name -> ((width, height), texts, is_sentence, shapes)."""


def main() -> None:
    """Write records, predictions, and what this project finds."""
    target = folder()
    target.mkdir(exist_ok=True)
    predictions: dict[str, Any] = {}
    for number, name in enumerate(RECORDS):
        _write(target, name)
        record = read_record(target / f"{name}.json", target / f"{name}.jpg")
        predictions[name] = masks.encode(_prediction(number, record.target, record.ignore)).to_json()
    write_json(target / "predictions.json", predictions, indent=1)
    (target / "expected.json").write_text('{"records": ' + json.dumps(dict.fromkeys(RECORDS)) + "}", encoding="utf-8")
    answers = own_answers()
    for name, ((width, height), *_) in RECORDS.items():
        answers["records"][name] = {"size": [height, width], **answers["records"][name]}
    write_json(target / "expected.json", answers, indent=1)


def _write(target: Path, name: str) -> None:
    size, texts, is_sentence, shapes = RECORDS[name]
    Image.new("RGB", size, _GREY).save(target / f"{name}.jpg", "JPEG", quality=30, progressive=True, optimize=True)
    document: dict[str, Any] = {
        "text": texts,
        "is_sentence": is_sentence,
        "shapes": [
            {"label": label, "labels": [label], "shape_type": "polygon", "image_name": f"{name}.jpg", "points": points,
             "group_id": None, "group_ids": [None], "flags": {}}
            for label, points in shapes
        ],
    }  # fmt: skip
    encoding = "cp1252" if "cp1252" in name else "utf-8"
    (target / f"{name}.json").write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))


def _prediction(number: int, target: NDArray[np.bool_], ignore: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The target moved, with or without the ignored pixels; nothing for 08, the ignored pixels alone for 09."""
    if not target.any():
        return ignore
    moved = np.roll(target, number + 1, axis=1)
    return moved | ignore if number % 2 else moved


if __name__ == "__main__":
    main()
