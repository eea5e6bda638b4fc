"""Deterministic geometry of several masks of one image: order, ranks, containment, neighbors."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Instance
from sam3_agent.workspace.mask_facts import Facts, center_of, grown_box, same_objects, sample_grid
from sam3_agent.workspace.mask_store import Finding

Operation = Literal["union", "intersect", "subtract", "main_part", "in_box"]


def combined(parts: Sequence[Instance], operation: Operation) -> Finding:
    """Unite or intersect masks, or subtract all others from the first; scores are those of the weakest part.

    Of one mask, "main_part" keeps the largest connected part and "in_box" what lies within its own box and a margin.

    Raises:
        InputError: too few masks or too many, an unknown operation, or nothing is left.
    """
    names = ", ".join(part.id for part in parts)
    if operation in ("main_part", "in_box"):
        return _cleaned(parts, operation)
    if len(parts) < 2:
        raise InputError(f"combining needs at least two different mask ids, got {names or 'none'}")
    rle = _merged([part.rle for part in parts], operation)
    if masks.area(rle) == 0:
        raise InputError(f"nothing is left: {operation} of {names} is empty; no mask was made")
    score, object_score = min(part.score for part in parts), min(part.object_score for part in parts)
    return Finding(rle, masks.box(rle), score, object_score)


def _cleaned(parts: Sequence[Instance], operation: Operation) -> Finding:
    """One mask without its strays."""
    if len(parts) != 1:
        raise InputError(f"{operation} takes one mask id, got {', '.join(part.id for part in parts) or 'none'}")
    part = parts[0]
    kept = masks.main_part(part.rle) if operation == "main_part" else masks.clipped(part.rle, grown_box(part.box))
    if masks.area(kept) == 0:
        raise InputError(f"nothing is left: no pixel of {part.id} lies in its box; no mask was made")
    return Finding(kept, masks.box(kept), part.score, part.object_score)


def _merged(rles: Sequence[Rle], operation: Operation) -> Rle:
    if operation == "union":
        return masks.union(rles)
    if operation == "intersect":
        return masks.intersect(rles)
    if operation == "subtract":
        return masks.subtract(*rles)
    raise InputError(f"operation must be one of {', '.join(get_args(Operation))}; got {operation!r}")


OrderBy = Literal["left", "right", "top", "bottom", "largest", "smallest", "score"]
ORDERS: tuple[OrderBy, ...] = get_args(OrderBy)
INSIDE = 0.9
_CLOSE = 0.05
"""Areas that differ by less than this share are as good as equal: masks are not more exact than that."""

RULES: dict[str, str] = {
    "center": "The center of a mask is the center of its box; x grows to the right, y grows downwards.",
    "left of": "A is left of B when A's center lies left of B's center (smaller x).",
    "right of": "A is right of B when A's center lies right of B's center (larger x).",
    "above": "A is above B when A's center lies above B's center (smaller y).",
    "below": "A is below B when A's center lies below B's center (larger y).",
    "inside": "A is inside B when A's box is smaller and at least 90 % of A lies in B's mask or in the convex "
    "outline around it (so a thing in the hole of a ring is inside the ring).",
    "nearest": "The nearest neighbor has the smallest distance between centers, in pixels.",
    "largest": "Size is the number of pixels in the mask (the visible part only).",
    "same object": "Masks that overlap by more than 70 % (IoU), with boxes that agree, are one object found twice: "
    "neither inside nor near each other.",
}


@dataclass(frozen=True, slots=True)
class Neighbor:
    """Another mask and how far its center is, in pixels."""

    id: str
    distance: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """Places from 1 among the measured masks that were found by the same phrase."""

    left_to_right: int
    top_to_bottom: int
    largest_first: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured mask and its relations to the other measured masks."""

    instance: Instance
    facts: Facts
    ranks: Ranks
    contains: tuple[str, ...]
    inside: tuple[str, ...]
    nearest: Neighbor | None


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """Measurements in the order asked for, and the rules they follow."""

    image_id: str
    order_by: OrderBy
    rows: tuple[Measurement, ...]
    rules: dict[str, str]
    doubts: tuple[str, ...] = ()
    """Reasons to doubt the ranks, one line each."""


def measure(
    image_id: str, instances: Sequence[Instance], facts: Sequence[Facts], order_by: OrderBy
) -> MeasurementTable:
    """Relate masks of one image to each other; `facts` go with `instances`."""
    if order_by not in ORDERS:
        raise InputError(f"order_by must be one of {', '.join(ORDERS)}; got {order_by!r}")
    centers = np.array([fact.center for fact in facts], dtype=np.float64).reshape(-1, 2)  # (N, 2) x, y
    areas = np.array([fact.area for fact in facts], dtype=np.float64)
    scores = np.array([instance.score for instance in instances], dtype=np.float64)
    same = same_objects(instances, instances) | np.eye(len(instances), dtype=bool)  # (N, N)
    inside = _inside(instances) & ~same  # (N inner, N outer)
    kinds = [fact.phrase for fact in facts]
    ranks = [_ranks(values, kinds) for values in (centers[:, 0], centers[:, 1], -areas)]
    ids = [instance.id for instance in instances]
    rows = [
        Measurement(
            instance,
            facts[i],
            Ranks(*(int(rank[i]) for rank in ranks)),
            contains=tuple(ids[j] for j in np.flatnonzero(inside[:, i])),
            inside=tuple(ids[j] for j in np.flatnonzero(inside[i])),
            nearest=_nearest(i, centers, same, ids),
        )
        for i, instance in enumerate(instances)
    ]
    keys = {"left": centers[:, 0], "right": -centers[:, 0], "top": centers[:, 1], "bottom": -centers[:, 1]}
    keys |= {"largest": -areas, "smallest": areas, "score": -scores}
    order = np.argsort(keys[order_by], kind="stable")
    return MeasurementTable(
        image_id, order_by, tuple(rows[int(i)] for i in order), dict(RULES), _doubts(facts, ids, kinds)
    )


def _ranks(values: NDArray[np.float64], kinds: Sequence[str]) -> NDArray[np.intp]:
    """(N,) place of each value from 1 among those of its kind, smallest first; ties keep their order."""
    places = np.empty(len(values), dtype=np.intp)
    counts: dict[str, int] = {}
    for index in np.argsort(values, kind="stable"):
        kind = kinds[int(index)]
        places[index] = counts[kind] = counts.get(kind, 0) + 1
    return places


def _doubts(facts: Sequence[Facts], ids: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """Say what may be wrong with the ranks: masks that have leaked, and sizes of one kind that are nearly the same."""
    leaked = [ids[i] for i, fact in enumerate(facts) if not fact.is_clean]
    lines = [f"area and place of {', '.join(leaked)} are unsure: they have stray pieces"] if leaked else []
    for kind in dict.fromkeys(kinds):
        order = sorted((i for i, k in enumerate(kinds) if k == kind), key=lambda i: -facts[i].area)
        close = [
            f"{ids[i]} and {ids[j]}"
            for i, j in pairwise(order)
            if facts[i].area and (facts[i].area - facts[j].area) / facts[i].area < _CLOSE
        ]
        lines += [f"nearly the same size: {', '.join(close[:4])}"] if close else []
    return tuple(lines)


def _nearest(index: int, centers: NDArray[np.float64], same: NDArray[np.bool_], ids: Sequence[str]) -> Neighbor | None:
    distance = np.hypot(*(centers - centers[index]).T)
    distance[same[index]] = np.inf
    best = int(np.argmin(distance))
    return Neighbor(ids[best], float(distance[best])) if np.isfinite(distance[best]) else None


def _inside(instances: Sequence[Instance]) -> NDArray[np.bool_]:
    """(inner, outer): the inner mask lies in the outer mask or in its convex outline."""
    rles = [instance.rle for instance in instances]
    result = masks.containment(rles, rles) >= INSIDE
    for o, outer in enumerate(instances):
        near = [
            i for i, inner in enumerate(instances) if not result[i, o] and _box_share(inner.box, outer.box) >= INSIDE
        ]
        if near:
            hull = _hull(_points(outer))
            for i in near:
                result[i, o] = _share_in_hull(_points(instances[i]), hull) >= INSIDE
    extents = _box_areas(instances)
    return result & (extents[:, None] < extents[None, :])


def _box_areas(instances: Sequence[Instance]) -> NDArray[np.float64]:
    return np.array([(i.box[2] - i.box[0]) * (i.box[3] - i.box[1]) for i in instances], dtype=np.float64)


def _box_share(inner: Box, outer: Box) -> float:
    """Share of the inner box that lies in the outer one."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    size = (inner[2] - inner[0]) * (inner[3] - inner[1])
    return max(width, 0.0) * max(height, 0.0) / size if size > 0 else 0.0


def _points(instance: Instance) -> NDArray[np.float64]:
    """(N, 2) x, y of grid points in the mask, row by row."""
    rows, columns = sample_grid(instance.rle)
    if rows.size == 0:
        return np.array([center_of(instance.box)])
    ys, xs = np.nonzero(masks.sample(instance.rle, rows, columns))
    return np.stack([columns[xs], rows[ys]], axis=1).astype(np.float64)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2) convex hull, counter-clockwise (Andrew's monotone chain)."""
    rows, starts = np.unique(points[:, 1], return_index=True)  # points come row by row
    left, right = np.minimum.reduceat(points[:, 0], starts), np.maximum.reduceat(points[:, 0], starts)
    ends = np.concatenate((np.stack([left, rows], axis=1), np.stack([right, rows], axis=1)))
    ordered = sorted({(float(x), float(y)) for x, y in ends})
    if len(ordered) < 3:
        return np.array(ordered).reshape(-1, 2)
    return np.array(_chain(ordered)[:-1] + _chain(ordered[::-1])[:-1])


def _chain(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    chain: list[tuple[float, float]] = []
    for x, y in points:
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _share_in_hull(points: NDArray[np.float64], hull: NDArray[np.float64]) -> float:
    if len(hull) < 3 or len(points) == 0:
        return 0.0
    start, edge = hull, np.roll(hull, -1, axis=0) - hull
    offset = points[:, None] - start[None]  # (N, K, 2)
    cross = edge[None, :, 0] * offset[:, :, 1] - edge[None, :, 1] * offset[:, :, 0]  # (N, K)
    return float((cross >= -1e-9).all(axis=1).mean())
