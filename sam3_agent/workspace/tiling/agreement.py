"""Which pieces of different views are one object."""

from collections.abc import Sequence

from sam3_agent import masks
from sam3_agent.workspace.tiling.planning import SMALL
from sam3_agent.workspace.tiling.tile_detections import Piece
from sam3_agent.workspace.tiling.view import View

SAME = 0.4
"""Two pieces agree when, where both views look, their masks overlap at least this much (IoU).

Lower than what counts as a good mask: two views of a small object, each off by a sixth of it, overlap no more.
"""
INSIDE = 0.5
"""A piece lies inside another one, or over it, from this share on."""


def groups_of(pieces: Sequence[Piece]) -> list[list[int]]:
    """Numbers of the pieces of each object, by agreement of masks; what only touches stays apart.

    The closest views are joined first, the best agreement before the others. Two pieces of one view never come
    together: there the eye saw two objects, and touching ones stay two even where another view blurs them into one.
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
    """How much two pieces with `shared` pixels look like one object, judged only where both views look; 0 for none.

    A piece that no edge cuts is a whole object, so another piece of it lies inside it; unless that one is whole too,
    and larger than the view. A mask that was drawn while its object was small in its view is a guess of a few patches:
    against a closer view it need only lie over it.
    """
    coarse, fine = (one, other) if one.view.zoom < other.view.zoom else (other, one)
    in_coarse, in_fine = _area_seen_by(coarse, fine.view), _area_seen_by(fine, coarse.view)
    if coarse.view.zoom < fine.view.zoom and coarse.view.seen_side(coarse.area**0.5) < SMALL * coarse.view.eye.patch:
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
