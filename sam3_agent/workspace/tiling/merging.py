"""Pieces of one object -> the object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.workspace.nms import Suppression
from sam3_agent.workspace.tiling.planning import SMALL
from sam3_agent.workspace.tiling.tile_detections import REPEATED, Piece, View

SAME = 0.4
"""Two pieces agree when, where both views look, their masks overlap at least this much (IoU).

Lower than what counts as a good mask: two views of a small object, each off by a sixth of it, overlap no more.
"""
INSIDE = 0.5
"""A piece lies inside another one, or over it, from this share on."""


def groups_of(pieces: Sequence[Piece]) -> list[list[int]]:
    """Numbers of the pieces of each object, by agreement of masks; what only touches stays apart.

    The closest views are joined first, the best agreement before the others. Two pieces of one view never come
    together: there the model saw two objects, and touching ones stay two even where another view blurs them into one.
    """
    agreeing: list[tuple[float, float, int, int]] = []
    for first, second, shared in masks.overlaps([piece.rle for piece in pieces]):
        one, other = pieces[first], pieces[second]
        strength = agreement(one, other, shared) if one.view.window != other.view.window else 0.0
        if strength > 0:
            agreeing.append((-min(one.view.zoom, other.view.zoom), -strength, first, second))
    group_of = {number: [number] for number in range(len(pieces))}
    seen_by = {number: {piece.view.window} for number, piece in enumerate(pieces)}
    for _, _, first, second in sorted(agreeing):
        one, other = group_of[first], group_of[second]
        if one is other or seen_by[one[0]] & seen_by[other[0]]:
            continue
        if len(one) < len(other):
            one, other = other, one
        seen_by[one[0]] |= seen_by[other[0]]
        one.extend(other)
        group_of.update((number, one) for number in other)
    return [group for number, group in group_of.items() if group[0] == number]


def agreement(one: Piece, other: Piece, shared: int) -> float:
    """Rate how much two pieces with `shared` pixels look like one object, judged only where both views look; 0 for
    none.

    A piece that no edge cuts is a whole object, so another piece of it lies inside it; unless that one is whole too,
    and larger than the view. A mask that was drawn while its object was small in its view is a guess of a few patches:
    against a closer view it need only lie over it.
    """
    coarse, fine = (one, other) if one.view.zoom < other.view.zoom else (other, one)
    in_coarse, in_fine = _area_seen_by(coarse, fine.view), _area_seen_by(fine, coarse.view)
    if (
        coarse.view.zoom < fine.view.zoom
        and coarse.view.seen_side(coarse.area**0.5) < SMALL * coarse.view.segmenter.patch
    ):
        over = shared / min(in_coarse, in_fine)
        return over if over >= INSIDE else 0.0
    if shared < INSIDE * fine.area and not coarse.cut:
        return 0.0
    if shared < INSIDE * coarse.area and not fine.cut and (coarse.cut or covers(fine.view, coarse)):
        return 0.0
    iou = shared / (in_coarse + in_fine - shared)
    return iou if iou >= SAME else 0.0


def covers(view: View, piece: Piece) -> bool:
    """Whether a view shows at least half of a piece of another one."""
    return 2 * _area_seen_by(piece, view) >= piece.area


def _area_seen_by(piece: Piece, view: View) -> int:
    """Pixels of the piece in the window of another view; at least one, as they have pixels in common."""
    x0, y0, x1, y1 = view.window
    left, top, right, bottom = piece.view.window
    if x0 <= left and y0 <= top and right <= x1 and bottom <= y1:
        return piece.area
    return max(1, masks.area_in(piece.rle, view.window))


@dataclass(frozen=True, slots=True)
class Stitched:
    """One object out of one or more views."""

    rle: Rle
    box: Box
    area: int
    object_score: float
    score: float
    rank: float
    """Value that was compared with the threshold."""
    kept: bool
    whole: bool
    """Some view showed all of it; otherwise it is the union of what edges left."""
    zoom: float
    """Of the closest view that saw any of it."""


def stitched(pieces: Sequence[Piece]) -> Stitched:
    """The object of pieces that agree.

    Its mask is that of the closest view which no edge cuts, found before missed; where every view is cut, the union of
    all. Its scores are those of the view that is surest.
    """
    surest = max(pieces, key=lambda piece: piece.rank)
    entire = [piece for piece in pieces if not piece.cut and _shows_the_others(piece, pieces)]
    if entire:
        shape = max(entire, key=lambda piece: (piece.kept, piece.view.zoom, piece.rank))
        rle, box = shape.rle, shape.box
    elif len(pieces) == 1:
        rle, box = pieces[0].rle, pieces[0].box
    else:
        rle = masks.union([piece.rle for piece in pieces])
        box = masks.box(rle)
    return Stitched(
        rle=rle,
        box=box,
        area=masks.area(rle),
        object_score=surest.object_score,
        score=surest.score,
        rank=surest.rank,
        kept=surest.kept,
        whole=bool(entire),
        zoom=max(piece.view.zoom for piece in pieces),
    )


def _shows_the_others(piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Whether nothing speaks against its being whole: an object that is larger than its view is not."""
    return all(other is piece or other.cut or covers(piece.view, other) for other in pieces)


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
