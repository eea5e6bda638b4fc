"""`python -m benchmarks.labeling.formats --out DIR --datumaro PYTHON --label-studio PYTHON`: exports in other readers.

Draws scenes, writes their truth in each format, has datumaro and Label Studio's SDK read it in interpreters of their
own (their pins differ from this package's), and prints the least and mean IoU of every object.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.label_set import LabelledImage, LabelSet, MaskLabel
from sam3_agent.labeling.export import FORMATS
from sam3_agent.scenes import NOUNS, Scene, generate_scene

READERS = {
    "coco": ("datumaro", "coco"),
    "coco-polygons": ("datumaro", "coco"),
    "voc": ("datumaro", "voc"),
    "cvat": ("datumaro", "cvat"),
    "label-studio": ("label-studio", "label-studio"),
}
FIRST_SEED = 910_000_000


def main() -> None:
    """Write, have read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--datumaro", required=True, help="a Python that has datumaro")
    parser.add_argument("--label-studio", required=True, help="a Python that has label-studio-sdk")
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--only", choices=tuple(READERS), nargs="*", default=tuple(READERS))
    given = parser.parse_args()
    scenes = [generate_scene(FIRST_SEED + number) for number in range(given.scenes)]
    labels = LabelSet(NOUNS, tuple(_image(scene) for scene in scenes), model="truth")
    for name in given.only:
        reader, form = READERS[name]
        folder = given.out / name
        FORMATS[name](labels, folder)
        _write_pictures(scenes, labels, name, folder)
        python = given.datumaro if reader == "datumaro" else given.label_studio
        print(name, _read(python, reader, form, folder, labels), flush=True)


def _image(scene: Scene) -> LabelledImage:
    made: list[MaskLabel] = []
    for thing in scene.objects:
        rle = masks.encode(thing.mask)
        made.append(MaskLabel(f"{scene.seed}.{thing.id}", NOUNS.index(thing.noun), rle, masks.box(rle)))
    return LabelledImage(f"{scene.seed}.jpg", str(scene.seed), scene.width, scene.height, tuple(made))


def _write_pictures(scenes: list[Scene], labels: LabelSet, name: str, folder: Path) -> None:
    place = folder / {"voc": "JPEGImages", "coco": "images/train", "coco-polygons": "images/train"}.get(name, "images")
    place.mkdir(parents=True, exist_ok=True)
    for scene, image in zip(scenes, labels.images, strict=True):
        Image.fromarray(scene.image).save(place / image.name)


def _read(python: str, reader: str, form: str, folder: Path, labels: LabelSet) -> dict[str, Any]:
    sizes = {image.stem: [image.height, image.width] for image in labels.images}
    program = str(Path(__file__).with_name("outside_reader.py"))
    command = [python, program, reader, form, str(folder), json.dumps(sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:200]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    overlaps: list[float] = []
    for image in labels.images:
        entries = [(kind, _mask(size, runs)) for kind, size, runs in found.get(image.stem, [])]
        for label in image.labels:
            own = masks.decode(label.rle)
            same = [mask for kind, mask in entries if kind == labels.classes[label.class_index]]
            overlaps.append(max((float((own & m).sum() / (own | m).sum()) for m in same), default=0.0))
    return {"objects": len(overlaps), "least": round(min(overlaps), 4), "mean": round(float(np.mean(overlaps)), 4)}


def _mask(size: list[int], runs: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


if __name__ == "__main__":
    main()
