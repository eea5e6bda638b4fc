"""Reads exported labels with other people's readers; run by a Python that has them, without this package.

`PYTHON -m outside_reader datumaro FORMAT DIR` prints {image: [[class, [h, w], [x0, y0, ...rows of runs]]]} as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np


def runs(mask: "np.ndarray") -> list[int]:
    """Row by row, beginning with what is outside."""
    flat = np.asarray(mask).astype(bool).ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def by_datumaro(form: str, folder: str, sizes: dict) -> dict:
    """Objects as datumaro reads them; the polygons of one group are one object."""
    import datumaro as dm
    from pycocotools import mask as coco

    found: dict = {}
    dataset = dm.Dataset.import_from(folder, form)
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label]]
    for item in dataset:
        height, width = sizes[Path(item.id).name.split(".")[0]]
        objects: dict = {}
        for number, annotation in enumerate(item.annotations):
            kind = annotation.type
            if kind == dm.AnnotationType.mask:
                mask = np.asarray(annotation.image)
            elif kind == dm.AnnotationType.polygon:
                coded = coco.frPyObjects([list(map(float, annotation.points))], height, width)
                mask = coco.decode(coco.merge(coded))
            else:
                continue
            key = (annotation.label, annotation.group or f"n{number}")
            objects[key] = objects[key] | mask.astype(bool) if key in objects else mask.astype(bool)
        found.setdefault(Path(item.id).name.split(".")[0], []).extend(
            [names[label], list(mask.shape), runs(mask)] for (label, _), mask in objects.items()
        )
    return found


def by_label_studio(folder: str) -> dict:
    """Brushes as Label Studio's own converter unpacks them."""
    from label_studio_sdk.converter.brush import decode_rle

    found: dict = {}
    for task in json.loads((Path(folder) / "tasks.json").read_text()):
        stem = Path(task["data"]["image"].split("?d=")[1]).name.split(".")[0]
        for result in task["predictions"][0]["result"]:
            height, width = result["original_height"], result["original_width"]
            mask = decode_rle(result["value"]["rle"]).reshape(height, width, 4)[:, :, 3] > 0
            found.setdefault(stem, []).append([result["value"]["brushlabels"][0], [height, width], runs(mask)])
    return found


if __name__ == "__main__":
    reader, form, folder, sizes = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    print(json.dumps(by_datumaro(form, folder, sizes) if reader == "datumaro" else by_label_studio(folder)))
