"""`python -m benchmarks.labeling.formats --out DIR --datumaro PYTHON ...`: exports in other people's readers.

Draws scenes, and a picture of rings, islands, parts and lines; writes their truth in each format; has each file read by
a program that others wrote, in an interpreter of its own where its pins differ from this package's; and prints a table
of the least and mean IoU, over all objects and over those with holes or several parts. A reader whose interpreter is
not given is left out, and said.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.palette import painted
from sam3_agent.formats.polygons_exact import parts_of
from sam3_agent.labeling.io.export_labels import FORMATS, picture_places
from sam3_agent.scenes import NOUNS, Scene, generate_scene

READERS = (
    ("coco", "pycocotools"),
    ("coco", "datumaro"),
    ("coco-polygons", "pycocotools"),
    ("coco-polygons", "datumaro"),
    ("yolo", "supervision"),
    ("yolo", "ultralytics"),
    ("voc", "datumaro"),
    ("labelme", "labelme"),
    ("cvat", "datumaro"),
    ("label-studio", "label-studio"),
    ("semantic", "opencv"),
    ("mllm", "pycocotools"),
)
"""Format, and whose program reads it."""
HERE = ("pycocotools", "opencv")
"""These are installed with this package."""
BARS = {"coco-polygons": 0.97, "yolo": 0.97, "labelme": 0.97}
"""Polygon formats; all others 0.99."""
FIRST_SEED = 910_000_000
Mask = NDArray[np.bool_]


def main() -> None:
    """Write, have read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    for name in sorted({reader for _, reader in READERS} - set(HERE)):
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"a Python that has {name}")
    parser.add_argument("--scenes", type=int, default=10)
    given = parser.parse_args()
    scenes = [generate_scene(FIRST_SEED + number) for number in range(given.scenes)]
    pixels = {str(scene.seed): scene.image for scene in scenes} | {"torture": np.zeros((200, 200, 3), np.uint8)}
    labels = LabelSet(NOUNS, (*(_image(scene) for scene in scenes), _torture()), model="truth")
    pythons = vars(given) | {name: sys.executable for name in HERE}
    print("| format | read by | objects | least IoU | mean IoU | with holes or parts: least IoU | bar | said |")
    print("|---|---|---|---|---|---|---|---|")
    missed = 0
    for form, reader in READERS:
        folder = given.out / f"{form}-{reader}"
        warnings = FORMATS[form](labels, folder)
        for image, place in picture_places(labels, form):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[_last(image)]).save(path)
        python = pythons[reader.replace("-", "_")]
        if python is None:
            print(f"| `{form}` | {reader} | not measured: give --{reader} PYTHON |", flush=True)
            continue
        bar = BARS.get(form, 0.99)
        words, least = _read(python, reader, form, folder, labels)
        missed += least < bar
        print(f"| `{form}` | {reader} | {words} | {bar} | {'; '.join(warnings)} |", flush=True)
    sys.exit(1 if missed else 0)


def _last(image: LabeledImage) -> str:
    return Path(image.name).stem


def _torture() -> LabeledImage:
    """Rings, an island in a hole, two parts, a line, a single pixel; apart, so that index pictures can show all."""
    y, x = np.mgrid[:200, :200]

    def disc(cx: int, cy: int, radius: int) -> Mask:
        return (x - cx) ** 2 + (y - cy) ** 2 < radius**2

    shapes = [
        disc(50, 50, 40) & ~disc(50, 50, 25),
        (disc(150, 50, 40) & ~disc(150, 50, 28)) | disc(150, 50, 12),
        disc(30, 150, 20) | disc(90, 150, 20),
        disc(150, 150, 40) & ~disc(135, 140, 8) & ~disc(165, 160, 10),
        (y == 105) & (x > 10) & (x < 90),
        (y == 100) & (x == 100),
    ]
    made = [MaskLabel(f"t{n}", n, masks.encode(shape)) for n, shape in enumerate(shapes)]
    return LabeledImage("images/torture.jpg", 200, 200, tuple(made))


def _image(scene: Scene) -> LabeledImage:
    made: list[MaskLabel] = []
    for thing in scene.objects:
        rle = masks.encode(thing.mask)
        made.append(MaskLabel(f"{scene.seed}.{thing.id}", NOUNS.index(thing.noun), rle))
    name = f"images/{scene.seed}"  # a folder whose name some readers take for their own
    split = "val" if scene.seed % 3 == 0 else "train"
    return LabeledImage(f"{name}.jpg", scene.width, scene.height, tuple(made), split)


def _read(python: str, reader: str, form: str, folder: Path, labels: LabelSet) -> tuple[str, float]:
    """The cells of a row, and the least IoU."""
    sizes = {_last(image): [image.height, image.width] for image in labels.images}
    program = str(Path(__file__).with_name("outside_reader.py"))
    command = [python, program, reader, form, str(folder), json.dumps(sizes), json.dumps(labels.classes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:150]} | | | ", 0.0
    found = json.loads(done.stdout.strip().splitlines()[-1])
    overlaps: list[tuple[float, bool]] = []
    for image in labels.images:
        entries = [(kind, _mask(size, runs)) for kind, size, runs in found.get(_last(image), [])]
        for name, own, odd in _expected(image, labels, form):
            same = [mask for kind, mask in entries if kind == name]
            overlaps.append((max((float((own & m).sum() / (own | m).sum()) for m in same), default=0.0), odd))
    all_of, odd_ones = [iou for iou, _ in overlaps], [iou for iou, odd in overlaps if odd]
    least, mean = min(all_of), float(np.mean(all_of))
    return f"{len(all_of)} | {least:.4f} | {mean:.4f} | {min(odd_ones):.4f}", least


def _expected(image: LabeledImage, labels: LabelSet, form: str) -> list[tuple[str, Mask, bool]]:
    """(class, mask, whether it has holes or parts) of every object; where classes are all that is told, of each."""
    decoded = [(labels.classes[label.class_index], masks.decode(label.rle)) for label in image.labels]
    if form == "semantic":
        canvas, _ = painted(
            image.labels, [label.class_index + 1 for label in image.labels], (image.height, image.width)
        )
        values = sorted({label.class_index for label in image.labels})
        decoded = [(labels.classes[value], canvas == value + 1) for value in values]
    if form == "voc":
        canvas, _ = painted(image.labels, list(range(1, len(decoded) + 1)), (image.height, image.width))
        decoded = [(name, canvas == number) for number, (name, _) in enumerate(decoded, 1)]
    odd = [len(parts := parts_of(mask)) > 1 or any(part.holes for part in parts) for _, mask in decoded]
    return [(name, mask, each) for (name, mask), each in zip(decoded, odd, strict=True) if mask.any()]


def _mask(size: list[int], runs: list[int]) -> Mask:
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


if __name__ == "__main__":
    main()
