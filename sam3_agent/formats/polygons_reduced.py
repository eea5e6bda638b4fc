"""Masks as polygons of few vertices, for people who edit them; what that costs is measured as IoU with the mask.

Outlines are reduced by Ramer, Douglas and Peucker's rule (OpenCV's approxPolyDP): no vertex that is left out lies
further from the new line than the tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sam3_agent import masks
from sam3_agent.formats.label_set import LabelSet
from sam3_agent.formats.polygons_exact import Ring, inset, joined, parts_of, signed_area, tied

LEAST_IOU = 0.8
"""An object that would lose more keeps more vertices: on small ones a tolerance of a pixel is a large share."""
_HALVINGS = 3
"""Of the tolerance, before an object keeps its exact outline."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Polygons of one object, holes cut open."""

    rings: tuple[Ring, ...]
    """One a part, largest first; on the pixel grid, not inset, unless `exact`."""
    holes: int
    exact: bool
    iou: float
    """Of the polygons, filled by area as pycocotools does, with the mask; 1 where exact."""

    @property
    def vertices(self) -> int:
        """Vertices of all polygons."""
        return sum(len(ring) for ring in self.rings)


@dataclass(frozen=True, slots=True)
class Cost:
    """Price of a tolerance over all labels of an export."""

    pixels: float
    labels: int
    mean_iou: float
    least_iou: float
    vertices: int
    exact_vertices: int

    def words(self) -> str:
        """The price in one sentence."""
        return (
            f"--simplify {self.pixels:g}: {self.vertices} vertices instead of {self.exact_vertices}, at a mean IoU of"
            f" {self.mean_iou:.3f} with the masks (least {self.least_iou:.3f})"
        )


def outline_of(rle: masks.Rle, tolerance: float) -> Outline:
    """The polygons of a mask, reduced by a tolerance in pixels; exact and inset where it is 0 or costs too much."""
    parts = parts_of(masks.decode(rle))
    holes = sum(len(part.holes) for part in parts)
    for halving in range(_HALVINGS if tolerance > 0 and parts else 0):
        rings = tuple(_opened(part.outer, part.holes, tolerance / 2**halving) for part in parts)
        iou = _iou(rings, rle)
        if iou >= LEAST_IOU:
            return Outline(rings, holes, exact=False, iou=iou)
    return Outline(tuple(inset(part.ring) for part in parts), holes, exact=True, iou=1.0)


def one_ring(rle: masks.Rle, tolerance: float, far: float) -> tuple[Ring | None, int]:
    """All parts of a mask as one ring, tied by lines of no width, and how many there are; None of an empty mask.

    `far` is how far exact outlines are moved in at the right and at the bottom (`inset`).
    """
    outline = outline_of(rle, tolerance)
    if not outline.rings:
        return None, 0
    if outline.exact:
        return joined(parts_of(masks.decode(rle)), far), len(outline.rings)
    return tied(outline.rings), len(outline.rings)


def cost_of(labels: LabelSet) -> Cost:
    """Measure what the tolerance of a label set costs over all of its labels."""
    ious: list[float] = []
    vertices = exact = 0
    for image in labels.images:
        for label in image.labels:
            outline = outline_of(label.rle, labels.simplify)
            ious.append(outline.iou)
            vertices += outline.vertices
            exact += sum(len(part.ring) for part in parts_of(masks.decode(label.rle)))
    return Cost(labels.simplify, len(ious), float(np.mean(ious or [1.0])), min(ious, default=1.0), vertices, exact)


def _iou(rings: Sequence[Ring], rle: masks.Rle) -> float:
    filled = masks.from_polygons([ring.ravel().tolist() for ring in rings], rle.size)
    return float(masks.iou([filled], [rle])[0, 0])


def _opened(outer: Ring, holes: Sequence[Ring], tolerance: float) -> Ring:
    """The reduced outline with its reduced holes cut open, each by a horizontal bridge from its leftmost vertex."""
    walk = _reduced(outer, tolerance)
    for hole in sorted((_reduced(hole, tolerance) for hole in holes), key=lambda ring: float(ring[:, 0].min())):
        at = int(hole[:, 0].argmin())
        pier, side = _left_of(walk, float(hole[at, 0]), float(hole[at, 1]))
        if side < 0:  # the reduced outline cuts through the hole: there is nothing left to cut open
            continue
        around = np.roll(hole, -at, axis=0)
        walk = np.concatenate([walk[: side + 1], pier[None], around, around[:1], pier[None], walk[side + 1 :]])
    return walk


def _reduced(ring: Ring, tolerance: float) -> Ring:
    """The ring with fewer vertices, in the same direction; as it is where too few would be left."""
    points = np.asarray(cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True))
    reduced = points.reshape(-1, 2).astype(np.float64)
    kept = len(reduced) >= 3 and signed_area(reduced) * signed_area(ring) > 0
    return reduced if kept else ring


def _left_of(walk: Ring, x: float, y: float) -> tuple[Ring, int]:
    """The nearest point of a walk straight left of (x, y), and the index of the side that it lies on; -1 for none."""
    ends = np.roll(walk, -1, axis=0)
    low, high = np.minimum(walk[:, 1], ends[:, 1]), np.maximum(walk[:, 1], ends[:, 1])
    crosses = (low <= y) & (y < high)
    height = np.where(crosses, ends[:, 1] - walk[:, 1], 1.0)
    across = walk[:, 0] + (y - walk[:, 1]) / height * (ends[:, 0] - walk[:, 0])
    across = np.where(crosses & (across <= x), across, -np.inf)
    side = int(across.argmax())
    return np.array([across[side], y]), side if np.isfinite(across[side]) else -1
