"""Scenes with the labels that they should get from the concept file of this benchmark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.files import replacing
from sam3_agent.labeling.store.label import Label
from sam3_agent.masks import Rle
from sam3_agent.scenes import Scene, SceneObject, generate_scene

CONCEPTS = """
# six classes by phrases, two by a query
classes:
  - {name: animal, phrases: [animal, fish, bird, cat], negatives: [flower, drop]}
  - {name: vehicle, phrases: [vehicle, car, boat], negatives: [house]}
  - {name: plant, phrases: [plant, tree, flower], negatives: [umbrella, star]}
  - {name: star, negatives: [cross, flower]}
  - {name: heart, negatives: [drop]}
  - {name: umbrella, negatives: [crescent, lamp]}
  - {name: leftmost shape, query: the leftmost shape}
  - {name: largest animal, query: the largest animal}
"""
SAME = 0.5
"""IoU from which a label is the object."""


def _of_group(name: str) -> Callable[[Scene], list[SceneObject]]:
    return lambda scene: [thing for thing in scene.objects if name in (thing.supercategory, thing.noun)]


def _first(name: str, key: Callable[[SceneObject], float]) -> Callable[[Scene], list[SceneObject]]:
    return lambda scene: sorted(_of_group(name)(scene), key=key)[:1]


TRUTH: dict[str, Callable[[Scene], list[SceneObject]]] = {
    "animal": _of_group("animal"),
    "vehicle": _of_group("vehicle"),
    "plant": _of_group("plant"),
    "star": _of_group("star"),
    "heart": _of_group("heart"),
    "umbrella": _of_group("umbrella"),
    "leftmost shape": _first("shape", lambda thing: thing.cx),
    "largest animal": _first("animal", lambda thing: -thing.area),
}


@dataclass(frozen=True)
class Counts:
    """Labels against objects."""

    labels: int
    right: int
    objects: int
    found: int

    @property
    def precision(self) -> float:
        """Share of labels that are an object of their class; 0 without labels."""
        return self.right / self.labels if self.labels else 0.0

    @property
    def recall(self) -> float:
        """Share of objects that have a label."""
        return self.found / self.objects if self.objects else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.labels + other.labels,
            self.right + other.right,
            self.objects + other.objects,
            self.found + other.found,
        )


def write_pictures(folder: Path, seeds: Sequence[int]) -> dict[str, dict[str, list[Rle]]]:
    """Draw the scenes as PNG; gives file name -> class -> masks of its objects."""
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[str, dict[str, list[Rle]]] = {}
    for seed in seeds:
        scene = generate_scene(seed)
        name = f"{seed:08d}.png"
        if not (folder / name).is_file():
            with replacing(folder / name) as temporary:
                Image.fromarray(scene.image).save(temporary, "PNG")
        truth[name] = {kind: [masks.encode(t.mask) for t in things(scene)] for kind, things in TRUTH.items()}
    return truth


def matched(labels: Sequence[Label], objects: Sequence[Rle]) -> list[bool]:
    """Tell of each label whether it is an object, each object at most once, the best labels first."""
    table = masks.iou([label.rle for label in labels], list(objects))
    free = set(range(len(objects)))
    right = [False] * len(labels)
    for index in sorted(range(len(labels)), key=lambda i: (-labels[i].quality, -labels[i].score, labels[i].id)):
        best = max(free, key=lambda o: table[index, o], default=None)
        if best is not None and table[index, best] >= SAME:
            right[index] = True
            free.discard(best)
    return right


def counted(labels: Sequence[Label], objects: Sequence[Rle]) -> Counts:
    """Counts of one class on one picture."""
    right = sum(matched(labels, objects))
    return Counts(len(labels), right, len(objects), right)
