"""Labels unlike their class, by the model's own features: nearest neighbors that are called something else.

A label's vector is the token that the model reads off its box (`Segmenter.read_exemplars`), the same that a learned
concept is made of. A label is unlike its class when its nearest neighbors in another class are nearer than those in its
own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.store.summary import images_folder
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.types import Exemplar
from sam3_agent.workspace.image_loading import read_source

NEIGHBORS = 5
FEWEST = 8
"""Labels of a class under which it has no shape that another could be unlike."""
MARGIN = 0.2
"""Cosine by which another class must be nearer. Measured on 598 labels of 24 nouns (60 scenes, the embedded model), one
in ten renamed: .1 finds all at a precision of .86-.88, .2 finds .98-1.0 at .95-.97, .4 finds .86 at 1.0."""
_REFERENCES = 2000
"""Labels of a class that others are compared with, drawn evenly: all pairs of 100,000 would take minutes."""
_BATCH = 32
"""Boxes that are read at a time."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Unlike:
    """A label that looks like another class."""

    label: Label
    other: str
    own_similarity: float
    """Mean cosine to its nearest neighbors of its own class."""
    other_similarity: float

    def words(self) -> str:
        """Such as "cup that looks more like lamp (.93 against .71)"."""
        return (
            f"{self.label.class_name} that looks more like {self.other}"
            f" ({self.other_similarity:.2f} against {self.own_similarity:.2f})"
        )


@dataclass(slots=True)
class Vectors:
    """Vectors of labels, with their labels."""

    labels: list[Label] = field(default_factory=list[Label])
    rows: list[Vector] = field(default_factory=list[Vector])
    unread: int = 0
    """Images that could not be read."""


def read_vectors(journal: Journal, segmenter: Segmenter, told: Callable[[int, int], None]) -> Vectors:
    """Encode every labeled image once, and read a vector off each of its labels; `told` hears done and all images.

    Raises:
        ToolError: the model reads no exemplars.
    """
    found = Vectors()
    root, rows = images_folder(journal), journal.images("done")
    for number, row in enumerate(rows):
        told(number, len(rows))
        labels = [label for label in journal.labels(row.sha) if label.route != "rejected"]
        if not labels:
            continue
        try:
            pixels, _ = read_source(root / row.path)
        except InputError:
            found.unread += 1
            continue
        features = segmenter.encode(pixels)
        for start in range(0, len(labels), _BATCH):
            batch = labels[start : start + _BATCH]
            tokens = segmenter.read_exemplars(features, [Exemplar(label.box) for label in batch]).array
            found.labels += batch
            found.rows += [np.array(token) for token in tokens]
    return found


def unlike_labels(vectors: Vectors) -> list[Unlike]:
    """Compare every label with the nearest of its own class and of each other one, on other images; worst first."""
    if not vectors.rows:
        return []
    space = _normalized(np.stack(vectors.rows))
    members = _members(vectors.labels)
    images = np.array([label.sha for label in vectors.labels])
    similar = {name: _nearest(space, images, places) for name, places in members.items()}
    found: list[Unlike] = []
    for index, label in enumerate(vectors.labels):
        if label.class_name not in similar or len(similar) < 2:
            continue
        own = float(similar[label.class_name][index])
        other, best = max(
            ((name, float(values[index])) for name, values in similar.items() if name != label.class_name),
            key=lambda pair: pair[1],
        )
        if best - own > MARGIN:
            found.append(Unlike(label, other, round(own, 4), round(best, 4)))
    return sorted(found, key=lambda each: each.own_similarity - each.other_similarity)


def by_image(found: Sequence[Unlike]) -> Mapping[str, list[Unlike]]:
    """The labels by the image that they are on."""
    images: dict[str, list[Unlike]] = {}
    for each in found:
        images.setdefault(each.label.sha, []).append(each)
    return images


def _members(labels: Sequence[Label]) -> dict[str, NDArray[np.intp]]:
    """Indices of the labels of each class that is large enough; answers to queries belong to none."""
    places: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        if label.source != "query":  # "the leftmost cup" looks like any cup
            places.setdefault(label.class_name, []).append(index)
    return {name: np.array(found) for name, found in places.items() if len(found) >= FEWEST}


def _normalized(vectors: Vector) -> Vector:
    """Rows of length 1 about their mean: tokens of one model have most in common, which says nothing."""
    centered = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    return (centered / np.maximum(lengths, 1e-9)).astype(np.float32)


def _nearest(space: Vector, images: NDArray[np.str_], places: NDArray[np.intp]) -> Vector:
    """(N,) mean cosine of every label to its NEIGHBORS nearest of a class; those on its own image do not count."""
    chosen = places[np.linspace(0, len(places) - 1, min(len(places), _REFERENCES)).astype(int)]
    result = np.full(len(space), -1.0, dtype=np.float32)
    for start in range(0, len(space), 1024):
        part = slice(start, start + 1024)
        cosine = space[part] @ space[chosen].T  # (B, R)
        cosine[images[part, None] == images[None, chosen]] = -1.0
        count = min(NEIGHBORS, cosine.shape[1])
        result[part] = np.partition(cosine, -count, axis=1)[:, -count:].mean(axis=1)
    return result
