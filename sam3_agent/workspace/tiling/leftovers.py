"""What the edges of tiles, and views from afar, leave behind."""

from collections.abc import Sequence

import numpy as np

from sam3_agent import masks
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.tiling.merging import Stitched
from sam3_agent.workspace.tiling.tile_detections import REPEATED
from sam3_agent.workspace.tiling.view import View

EXPLAINED = 0.5
"""A fragment of which this share lies in a larger object is a fragment of it."""
RESOLVED = 0.7
"""A view from afar of which this share is covered by two or more closer objects was a blur of those."""


def without_leftovers(objects: Sequence[Stitched], views: Sequence[View]) -> list[Stitched]:
    """The objects, best first, without fragments, blurs and repetitions; near misses last.

    A fragment is a part that edges cut on the way to something: where another view shows its place uncut, that view
    decides what is there; where a larger object lies over it, it is a part of that. An object that a view shows whole
    stays, even inside another one. A near miss explains nothing that was found.
    """
    ranked = sorted(objects, key=lambda o: (not o.kept, -o.rank))
    told = _without_shown(ranked, views)
    gone: set[int] = set()
    covered: dict[int, list[int]] = {}  # a view from afar -> pixels that each closer object in it takes
    for better, worse, shared in masks.overlaps([o.rle for o in told]):
        for part, over in ((better, worse), (worse, better)):
            small, large = told[part], told[over]
            if small.kept and not large.kept:
                continue
            if not small.whole and small.area <= large.area and shared >= EXPLAINED * small.area:
                gone.add(part)
            if small.whole and small.zoom > large.zoom and shared >= EXPLAINED * small.area:
                covered.setdefault(over, []).append(shared)
    gone.update(n for n, shares in covered.items() if len(shares) > 1 and sum(shares) >= RESOLVED * told[n].area)
    staying = [o for number, o in enumerate(told) if number not in gone]
    missed = sum(not o.kept for o in staying)
    return [staying[n] for n in Suppression(max_iou=REPEATED).keep([o.rle for o in staying], missed)]


def _without_shown(objects: Sequence[Stitched], views: Sequence[View]) -> list[Stitched]:
    """The objects without fragments whose place is shown uncut by a view at least as close as any that saw them."""
    clear = np.array([view.clear(views[0].window) for view in views])  # (V, 4)
    zoom = np.array([view.zoom for view in views])
    staying: list[Stitched] = []
    for each, box in zip(objects, masks.boxes([o.rle for o in objects]), strict=True):
        inside = (clear[:, :2] <= box[:2]).all(axis=1) & (clear[:, 2:] >= box[2:]).all(axis=1)
        if each.whole or not (inside & (zoom >= each.zoom)).any():
            staying.append(each)
    return staying
