"""Pieces of one object -> the object."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_agent import masks
from sam3_agent.masks import Box, Rle
from sam3_agent.workspace.tiling.agreement import covers
from sam3_agent.workspace.tiling.tile_detections import Piece


@dataclass(frozen=True, slots=True)
class Stitched:
    """One object out of one or more views."""

    rle: Rle
    box: Box
    area: int
    object_score: float
    score: float
    rank: float
    """What was compared with the threshold."""
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
