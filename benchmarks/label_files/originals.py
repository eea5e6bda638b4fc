"""Sound label files of every format, on three small images, as the originals that are mutated."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.concept_file import write_concept
from sam3_agent.formats.cvat import row_runs
from sam3_agent.types import Concept, ExemplarTokens

SIZES = {"a.jpg": (40, 60), "sub/b.png": (48, 32), "ü c.png": (30, 30)}
"""Image -> (height, width)."""
CONCEPTS = """classes:
  - name: house
    phrases: [house, small building]
    negatives: [tent]
    threshold: 0.4
    attributes: {source: photos, color: [red, blue]}
    exemplars:
      - {image: images/a.jpg, box: [5, 5, 20, 25]}
      - {image: images/a.jpg, mask: {size: [40, 60], counts: [2000, 100, 300]}}
  - name: leftmost
    query: the leftmost house
    review: 0.3
    accept: 0.8
overlap: best
"""


def write_originals(folder: Path) -> None:
    """Write images/ and one folder a format."""
    for name, (height, width) in SIZES.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((height, width, 3), 90, dtype=np.uint8)).save(path)
    for kind in ("coco", "yolo", "labelme", "cvat", "reasonseg", "saco", "yaml", "concept"):
        (folder / kind).mkdir()
    _json(folder / "coco" / "labels.json", _coco())
    _yolo(folder / "yolo")
    for number, name in enumerate(SIZES):
        _json(folder / "labelme" / f"{number}.json", _labelme(name))
    (folder / "cvat" / "annotations.xml").write_text(_cvat(), encoding="utf-8")
    Image.fromarray(np.full((40, 60, 3), 90, dtype=np.uint8)).save(folder / "reasonseg" / "a.jpg")
    _json(folder / "reasonseg" / "a.json", _reasonseg())
    _json(folder / "saco" / "gold.json", _saco())
    (folder / "yaml" / "concepts.yaml").write_text(CONCEPTS, encoding="utf-8")
    (folder / "yaml" / "images").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, dtype=np.uint8)).save(folder / "yaml" / "images" / "a.jpg")
    tokens = ExemplarTokens(np.ones((2, 4), np.float32).tobytes(), 2, 4, "tiny")
    write_concept(Concept("mug", "mug", tokens, (b"\xff\xd8",)), folder / "concept" / "mug.concept.json")


def _json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _square(name: str, x: int = 5, y: int = 5, side: int = 12) -> masks.Rle:
    mask = np.zeros(SIZES[name], dtype=bool)
    mask[y : y + side, x : x + side] = True
    return masks.encode(mask)


def _coco() -> dict[str, Any]:
    """Polygons, compressed and plain run lengths, boxes, a crowd; on every image."""
    images = [
        {"id": n, "file_name": name, "height": h, "width": w} for n, (name, (h, w)) in enumerate(SIZES.items(), 1)
    ]
    annotations: list[dict[str, Any]] = []
    for image in images:
        height, width = image["height"], image["width"]
        runs = [5 * height + 5, 12, height * width - 5 * height - 17]
        forms: list[Any] = [
            [[5, 5, 17, 5, 17, 17, 5, 17]],
            _square(image["file_name"]).to_json(),
            {"size": [height, width], "counts": runs},
            [],
        ]
        for form in forms:
            box = {"bbox": [5, 5, 12, 12], "area": 144, "iscrowd": 0}
            ids = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": 1 + len(annotations) % 2}
            annotations.append({**ids, **box, "segmentation": form})
    categories = [{"id": 1, "name": "house", "supercategory": "building"}, {"id": 2, "name": "car"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def _yolo(folder: Path) -> None:
    (folder / "data.yaml").write_text("path: .\ntrain: train.txt\nval: images\nnames:\n  0: house\n  1: car\n")
    (folder / "train.txt").write_text("".join(f"./images/{name}\n" for name in SIZES), encoding="utf-8")
    for name in SIZES:
        path = folder / "labels" / f"{name.rsplit('.', 1)[0]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4\n0 0.25 0.75 0.1 0.1\n", encoding="utf-8")


def _labelme(name: str) -> dict[str, Any]:
    height, width = SIZES[name]
    picture = io.BytesIO()
    Image.fromarray(np.full((6, 6), 255, dtype=np.uint8)).save(picture, "PNG")
    png = base64.b64encode(picture.getvalue()).decode()
    shapes: list[dict[str, Any]] = [
        {"label": "house", "shape_type": "polygon", "points": [[5, 5], [17, 5], [17, 17]], "group_id": None},
        {"label": "car", "shape_type": "rectangle", "points": [[5, 5], [17, 17]], "group_id": None},
        {"label": "car", "shape_type": "circle", "points": [[12, 12], [12, 16]], "group_id": None},
        {"label": "car", "shape_type": "mask", "points": [[3, 3], [8, 8]], "mask": png, "group_id": 4},
    ]
    return {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"../images/{name}", "imageData": None,
        "imageHeight": height, "imageWidth": width,
    }  # fmt: skip


def _cvat() -> str:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><version>1.1</version>"]
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        rle = ", ".join(str(run) for run in row_runs(np.eye(6, dtype=bool)))
        lines += [
            f'<image id="{number}" name="{name}" width="{width}" height="{height}">',
            '<box label="house" xtl="5" ytl="5" xbr="17" ybr="17" occluded="0"></box>',
            '<polygon label="car" points="5,5;17,5;17,17"></polygon>',
            '<ellipse label="car" cx="12" cy="12" rx="5" ry="4" rotation="20"></ellipse>',
            f'<mask label="car" rle="{rle}" left="3" top="4" width="6" height="6"></mask>',
            "</image>",
        ]
    return "\n".join([*lines, "</annotations>"])


def _reasonseg() -> dict[str, Any]:
    points = [[5, 5], [17, 5], [17, 17], [5, 17]]
    shapes = [
        {"label": "target", "points": points, "shape_type": "polygon"},
        {"label": "ignore", "points": [[30, 10], [40, 10], [40, 20]], "shape_type": "polygon"},
    ]
    return {"text": ["the house", "where people live"], "is_sentence": False, "shapes": shapes}


def _saco() -> dict[str, Any]:
    pairs = [
        {
            "id": n, "file_name": name, "text_input": "house", "height": h, "width": w, "is_instance_exhaustive": 1,
            "is_pixel_exhaustive": 1,
        }
        for n, (name, (h, w)) in enumerate(SIZES.items(), 1)
    ]  # fmt: skip
    annotations = [
        {
            "id": n, "image_id": n, "bbox": [0.1, 0.1, 0.3, 0.3], "area": 0.05, "iscrowd": 0,
            "segmentation": _square(name).to_json(),
        }
        for n, name in enumerate(SIZES, 1)
    ]  # fmt: skip
    return {"images": pairs, "annotations": annotations}
