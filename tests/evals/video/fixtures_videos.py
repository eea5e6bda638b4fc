"""Small made datasets of videos on disk: a square that walks through frames, as each benchmark writes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent import masks

SIZE, FRAMES = (40, 60), 4


def square(x: int, y: int = 10, side: int = 12) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def walk(start: int, y: int = 10) -> list[np.ndarray]:
    """(H, W) bool mask of every frame."""
    return [square(start + 5 * index, y) for index in range(FRAMES)]


def write_frames(folder: Path, shade: int = 80) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:05d}" for index in range(FRAMES)]
    for name in names:
        Image.fromarray(np.full((*SIZE, 3), shade, dtype=np.uint8)).save(folder / f"{name}.jpg")
    return names


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def coded(walked: list[np.ndarray]) -> list[Any]:
    return [masks.encode(mask).to_json() for mask in walked]


def mevis(folder: Path) -> Path:
    """Two videos; one object, two objects, none."""
    expressions = {
        "0": {"exp": "the square that walks", "obj_id": [1], "anno_id": [11]},
        "1": {"exp": "both squares", "obj_id": [1, 2], "anno_id": [11, 12]},
        "2": {"exp": "the circle", "obj_id": [], "anno_id": []},
    }
    videos = {
        name: {"frames": write_frames(folder / "JPEGImages" / name, shade), "expressions": expressions}
        for name, shade in (("one", 50), ("two", 90))
    }
    write_json(folder / "meta_expressions.json", {"videos": videos})
    gone = [*coded(walk(0, 25))[:3], None]
    write_json(folder / "mask_dict.json", {"11": coded(walk(0)), "12": gone})
    return folder


def revos(folder: Path) -> Path:
    video = {
        "height": SIZE[0],
        "width": SIZE[1],
        "frames": write_frames(folder / "JPEGImages" / "set" / "clip"),
        "expressions": {
            "0": {"exp": "a square", "anno_id": [5], "type_id": 0},
            "1": {"exp": "what cannot roll", "anno_id": [5], "type_id": 1},
        },
    }
    write_json(folder / "meta_expressions_valid_.json", {"videos": {"set/clip": video}})
    write_json(folder / "mask_dict.json", {"5": coded(walk(3))})
    return folder


def reasonvos(folder: Path) -> Path:
    frames = write_frames(folder / "JPEGImages" / "clip")
    expressions = {"0": {"exp_text": "Which one leaves?", "obj_id": 7, "is_sent": True}}
    videos = {"clip": {"source": "MOSE", "frames": frames, "expressions": expressions}}
    write_json(folder / "meta_expressions.json", {"videos": videos})
    out = folder / "Annotations" / "mose_clip_7"
    out.mkdir(parents=True)
    for name, mask in zip(frames, walk(2), strict=True):
        Image.fromarray(mask.astype(np.uint8) * 255).save(out / f"{name}.png")
    return folder


def refytvos(folder: Path) -> Path:
    """The frames lie in train/, the expressions beside it."""
    root = folder / "train"
    frames = write_frames(root / "JPEGImages" / "clip")
    expressions = {"0": {"exp": "the second square", "obj_id": "2"}}
    videos = {"clip": {"frames": frames, "expressions": expressions}}
    write_json(folder / "meta_expressions" / "train" / "meta_expressions.json", {"videos": videos})
    out = root / "Annotations" / "clip"
    out.mkdir(parents=True)
    for name, one, other in zip(frames, walk(0), walk(0, 25), strict=True):
        picture = Image.fromarray(one.astype(np.uint8) + 2 * other.astype(np.uint8))
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * 759)
        picture.save(out / f"{name}.png")
    return root
