"""Small files of datasets, for tests to open and to break."""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from sam3_evals.datasets import open_dataset
from sam3_evals.sample import Case

from sam3_agent import masks
from tests.evals.fixtures_runs import SIDE, square


def cases_of(spec: str, seed: int = 0) -> list[Case]:
    return list(open_dataset(spec, "concept", seed).cases(None))


def rle(x: int, y: int, side: int = 16) -> dict[str, Any]:
    return masks.encode(square(x, y, side)).to_json()


def coco_document() -> dict[str, Any]:
    annotations = [(1, 1, 1, (0, 0), 0), (2, 1, 1, (20, 0), 0), (3, 1, 2, (0, 40), 0), (4, 1, 1, (40, 40), 1)]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE} for i in (1, 2)],
        "categories": [
            {"id": i, "name": name} for i, name in enumerate(["cat", "dog", "cup", "car", "bus", "kite"], 1)
        ],
        "annotations": [
            {
                "id": n,
                "image_id": i,
                "category_id": c,
                "bbox": [*at, 16, 16],
                "segmentation": rle(*at),
                "iscrowd": crowd,
            }
            for n, i, c, at, crowd in annotations
        ],
    }


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (SIDE, SIDE)).save(folder / name)


def put(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
