"""Reads exported labels with other people's readers; run by a Python that has them, without this package.

`PYTHON outside_reader.py READER FORMAT DIR SIZES CLASSES` prints {image: [[class, [h, w], [runs by rows]]]} as JSON.
"""

import json
import sys
from pathlib import Path
from urllib.parse import unquote

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
        height, width = sizes[_name(f"{item.id}.x")]
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
        found.setdefault(_name(f"{item.id}.x"), []).extend(
            [names[label], list(mask.shape), runs(mask)] for (label, _), mask in objects.items()
        )
    return found


def by_label_studio(folder: str) -> dict:
    """Brushes as Label Studio's own converter unpacks them."""
    from label_studio_sdk.converter.brush import decode_rle

    found: dict = {}
    for task in json.loads((Path(folder) / "tasks.json").read_text()):
        stem = Path(unquote(task["data"]["image"].split("?d=")[1])).name.split(".")[0]
        for result in task["predictions"][0]["result"]:
            height, width = result["original_height"], result["original_width"]
            mask = decode_rle(result["value"]["rle"]).reshape(height, width, 4)[:, :, 3] > 0
            found.setdefault(stem, []).append([result["value"]["brushlabels"][0], [height, width], runs(mask)])
    return found


def by_pycocotools(form: str, folder: str, sizes: dict) -> dict:
    """COCO by its own API, and the run lengths of a JSONL."""
    from pycocotools import mask as coco
    from pycocotools.coco import COCO

    found: dict = {}
    if form == "mllm":
        lines = [line for path in Path(folder).glob("*.jsonl") for line in path.read_text().splitlines()]
        for line in (line for line in lines if "messages" in line):
            entry = json.loads(line)
            masks = [coco.decode(rle) for rle in entry["masks"]]
            found.setdefault(Path(entry["image"]).stem, []).extend(
                [entry["class"], list(m.shape), runs(m)] for m in masks
            )
        return found
    for path in Path(folder).rglob("*.json"):
        dataset = COCO(str(path))
        for annotation in dataset.anns.values():
            image, kind = dataset.imgs[annotation["image_id"]], dataset.cats[annotation["category_id"]]
            mask = dataset.annToMask(annotation)
            found.setdefault(Path(image["file_name"]).stem, []).append([kind["name"], list(mask.shape), runs(mask)])
    return found


def by_supervision(folder: str, classes: list) -> dict:
    """YOLO as supervision reads it."""
    import supervision as sv

    place = Path(folder)
    found: dict = {}
    for split in sorted(path.name for path in (place / "images").iterdir()):
        images, labels = place / "images" / split, place / "labels" / split
        dataset = sv.DetectionDataset.from_yolo(str(images), str(labels), str(place / "data.yaml"), force_masks=True)
        for path, detections in dataset.annotations.items():
            pairs = zip(detections.class_id, np.asarray(detections.mask), strict=True)
            found[_name(path)] = [[dataset.classes[kind], list(mask.shape), runs(mask)] for kind, mask in pairs]
    return found


def by_ultralytics(folder: str, sizes: dict) -> dict:
    """YOLO as Ultralytics reads it for training, started in another folder."""
    import os

    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    place = Path(folder).resolve()
    os.chdir("/")
    data = check_det_dataset(str(place / "data.yaml"), autodownload=False)
    found: dict = {}
    for split in ("train", "val"):
        dataset = YOLODataset(img_path=data[split], imgsz=640, augment=False, data=data, task="segment", cache=False)
        for label in dataset.labels:
            name = _name(label["im_file"])
            height, width = sizes[name]
            for kind, polygon in zip(label["cls"].ravel().astype(int).tolist(), label["segments"], strict=True):
                mask = polygon2mask((height, width), [(polygon * (width, height)).ravel()])
                found.setdefault(name, []).append([data["names"][kind], [height, width], runs(mask)])
    return found


def _name(path: str) -> str:
    """The name of an image without the folders that are in its flat name."""
    return Path(path).stem.rsplit("__", 1)[-1]


def by_labelme(folder: str, sizes: dict) -> dict:
    """LabelMe's own files and shapes; those of one group are one object."""
    from labelme.utils import shape_to_mask

    found: dict = {}
    for path in sorted(Path(folder).glob("*/**/*.json")):
        groups: dict = {}
        for shape in json.loads(path.read_text())["shapes"]:
            mask = shape_to_mask(tuple(sizes[path.stem]), shape["points"], shape["shape_type"])
            key = (shape["label"], shape["group_id"])
            groups[key] = groups[key] | mask if key in groups else mask
        found[path.stem] = [[name, list(mask.shape), runs(mask)] for (name, _), mask in groups.items()]
    return found


def by_opencv(folder: str) -> dict:
    """Index pictures by their colors."""
    import cv2

    table = json.loads((Path(folder) / "classes.json").read_text())
    found: dict = {}
    for path in sorted(Path(folder).glob("*/**/*.png")):
        picture = cv2.imread(str(path))[:, :, ::-1]
        for entry in table[1:]:
            mask = (picture == np.array(entry["color"])).all(axis=2)
            if mask.any():
                found.setdefault(path.stem, []).append([entry["name"], list(mask.shape), runs(mask)])
    return found


def main() -> None:
    """Read and print."""
    reader, form, folder = sys.argv[1:4]
    sizes, classes = json.loads(sys.argv[4]), json.loads(sys.argv[5])
    found = {
        "datumaro": lambda: by_datumaro(form.removesuffix("-polygons"), folder, sizes),
        "label-studio": lambda: by_label_studio(folder),
        "pycocotools": lambda: by_pycocotools(form, folder, sizes),
        "supervision": lambda: by_supervision(folder, classes),
        "ultralytics": lambda: by_ultralytics(folder, sizes),
        "labelme": lambda: by_labelme(folder, sizes),
        "opencv": lambda: by_opencv(folder),
    }[reader]()
    print()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
