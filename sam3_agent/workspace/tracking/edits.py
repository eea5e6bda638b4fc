"""Edits of tracks by people or models: merge, split, relabel, drop; each a value that is applied, never a rewrite."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError, UnknownHandle
from sam3_agent.tracks import Track, TrackFrame

Kind = Literal["merge", "split", "relabel", "drop"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One change.

    - merge: `ids` become part of `id`; where several are in one frame, their masks are joined.
    - split: from `frame` on, `id` goes on as `new_id`.
    - relabel: `id` is a `concept` in all frames.
    - drop: `id` is no track.

    Raises:
        InputError: a field that the kind needs is missing.
    """

    kind: Kind
    id: str
    ids: tuple[str, ...] = ()
    frame: int = -1
    new_id: str = ""
    concept: str = ""

    def __post_init__(self) -> None:
        """Refuse an edit that lacks a field."""
        if self.kind == "merge" and (not self.ids or self.id in self.ids):
            raise InputError(f"a merge into {self.id} needs the ids of other tracks, got {list(self.ids)}")
        if self.kind == "split" and (self.frame < 0 or not self.new_id):
            raise InputError(f"a split of {self.id} needs the frame from which it is another object, and a new id")
        if self.kind == "relabel" and not self.concept.strip():
            raise InputError(f"a new label of {self.id} needs a concept")

    def to_json(self) -> dict[str, Any]:
        """One line of a journal."""
        return {
            "edit": self.kind, "id": self.id, "ids": list(self.ids), "at": self.frame, "new_id": self.new_id,
            "concept": self.concept,
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Edit":
        """Read what `to_json` wrote; raises KeyError, TypeError or ValueError where it is no edit."""
        texts = (value["edit"], value["id"], *value["ids"], value["new_id"], value["concept"])
        if not all(isinstance(text, str) for text in texts) or value["edit"] not in _EDITORS:
            raise ValueError("no edit of tracks")
        return cls(value["edit"], value["id"], tuple(value["ids"]), int(value["at"]), value["new_id"], value["concept"])


def apply_edits(tracks: Sequence[Track], edits: Iterable[Edit], *, strict: bool = True) -> tuple[Track, ...]:
    """The tracks after the edits, one after the other.

    Without `strict` an edit that cannot be made any more is passed over: what it was about was retracted later.

    Raises:
        UnknownHandle: an edit names a track that is not there (any more).
        InputError: a split has nothing on one of its sides, or its new id is taken.
    """
    known = {track.id: track for track in tracks}
    for edit in edits:
        try:
            for track_id in (edit.id, *edit.ids):
                if track_id not in known:
                    raise UnknownHandle("track id", track_id, known)
            _EDITORS[edit.kind](known, edit)
        except ToolError:
            if strict:
                raise
    return tuple(known.values())


def merge_tracks(into: Track, others: Sequence[Track]) -> Track:
    """One track of several; its concept is that of the first. Masks in one frame are joined, the best score counts."""
    frames: dict[int, TrackFrame] = {}
    for track in (into, *others):
        for frame in track.frames:
            frames[frame.index] = joined(frames[frame.index], frame) if frame.index in frames else frame
    parts = (into, *others)
    latest = max(parts, key=lambda track: track.last)
    return replace(
        into,
        first=min(track.first for track in parts),
        last=latest.last,
        state=latest.state,
        frames=tuple(frames[index] for index in sorted(frames)),
    )


def split_track(track: Track, frame: int, new_id: str) -> tuple[Track, Track]:
    """The track up to a frame, and the other object that it is from there on.

    Raises:
        InputError: one of the two would have no frame.
    """
    before = tuple(f for f in track.frames if f.index < frame)
    after = tuple(f for f in track.frames if f.index >= frame)
    if not before or not after:
        raise InputError(
            f"track {track.id} is in frames {track.first}-{track.last};"
            f" split it at one of {track.first + 1}-{track.last}"
        )
    return (
        replace(track, last=before[-1].index, state=before[-1].state, frames=before),
        replace(track, id=new_id, first=after[0].index, score=after[0].score, frames=after),
    )


def joined(one: TrackFrame, other: TrackFrame) -> TrackFrame:
    """One entry of two in the same frame: both masks, the better score; a visible one alone where the other is not."""
    if one.visible != other.visible:
        return one if one.visible else other
    rle = masks.union([one.rle, other.rle])
    best = one if one.score >= other.score else other
    return replace(best, rle=rle, box=masks.box(rle))


def _merge(known: dict[str, Track], edit: Edit) -> None:
    known[edit.id] = merge_tracks(known[edit.id], [known[other] for other in edit.ids])
    for other in edit.ids:
        del known[other]


def _split(known: dict[str, Track], edit: Edit) -> None:
    if edit.new_id in known:
        raise InputError(f"the id {edit.new_id} is a track already")
    known[edit.id], known[edit.new_id] = split_track(known[edit.id], edit.frame, edit.new_id)


def _relabel(known: dict[str, Track], edit: Edit) -> None:
    known[edit.id] = replace(known[edit.id], concept=edit.concept)


def _drop(known: dict[str, Track], edit: Edit) -> None:
    del known[edit.id]


_EDITORS: dict[Kind, Callable[[dict[str, Track], Edit], None]] = {
    "merge": _merge,
    "split": _split,
    "relabel": _relabel,
    "drop": _drop,
}
