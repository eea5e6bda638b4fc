"""Tracks of a folder as people have decided about them: accepted, rejected, relabeled, split, merged, corrected."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sam3_agent import masks
from sam3_agent.errors import Busy, InputError, ToolError, UnknownHandle
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.workspace.tracking.decisions import Action, Decision, DecisionJournal, read_decisions
from sam3_agent.workspace.tracking.edits import merge_tracks, split_track
from sam3_agent.workspace.tracking.track import TrackStore

TRACKS = "tracks.jsonl"
"""The journal of the tracks; see `session`."""
Route = Literal["review", "accepted", "rejected"]
SAME = 0.5
"""Of the smaller of two masks, the share that lies in the other where both are of one object: above it a part that was
found twice, below it two things side by side."""
MOST_APART = 0.1
"""Share of the common frames in which two tracks of one object may lie apart: masks flicker."""
MOST_LABEL = 200
"""Characters of a label."""


@dataclass(frozen=True, slots=True)
class ReviewedTrack:
    """A track, and what a person said of it."""

    track: Track
    route: Route = "review"
    reviewer: str = ""
    """Empty while nobody has decided."""
    reason: str = ""
    corrected: tuple[int, ...] = ()
    """Frames from which on its masks were corrected."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A decision that was taken back."""

    decision: Decision
    words: str
    """Description for a person."""
    ids: tuple[str, ...]
    """Tracks that are back."""


Known = dict[str, ReviewedTrack]
Corrections = Callable[[Decision], Sequence[TrackFrame]]
"""The frames that a correction found."""


def replay(tracks: Sequence[Track], decisions: Sequence[Decision], corrections: Corrections) -> tuple[Known, int]:
    """Tracks after the decisions, and how many of these could not be made any more, as their tracks are gone."""
    known = {track.id: ReviewedTrack(track) for track in tracks if track.visible}
    passed_over = 0
    for decision in decisions:
        try:
            known = decided(known, decision, corrections)
        except ToolError:
            passed_over += 1
    return known, passed_over


def decided(known: Mapping[str, ReviewedTrack], decision: Decision, corrections: Corrections) -> Known:
    """The tracks after one decision; those given are not changed.

    Raises:
        UnknownHandle: there is no such track (any more).
        InputError: a split has nothing on one side, tracks that are to be merged are two objects, or a label is none.
    """
    for track_id in filter(None, (decision.id, decision.other)):
        if track_id not in known:
            raise UnknownHandle("track", track_id, known)
    one = known[decision.id]
    if decision.action in ("accept", "reject", "relabel"):
        return {**known, decision.id: _judged(one, decision)}
    if decision.action == "split":
        return _split(known, one, decision)
    if decision.action == "merge":
        return _merged(known, one, known[decision.other], decision)
    return {**known, decision.id: _corrected(one, decision, corrections(decision))}


def _judged(one: ReviewedTrack, decision: Decision) -> ReviewedTrack:
    said = {"accept": "right", "reject": "wrong", "relabel": f"is {decision.concept}"}[decision.action]
    track = one.track
    if decision.action == "relabel":
        if not decision.concept.strip() or len(decision.concept) > MOST_LABEL:
            raise InputError(f"a label has 1 to {MOST_LABEL} characters")
        track = replace(track, concept=decision.concept.strip())
    route: Route = "rejected" if decision.action == "reject" else "accepted"
    return replace(
        one, track=track, route=route, reviewer=decision.reviewer, reason=f"{decision.reviewer or 'person'}: {said}"
    )


def _split(known: Mapping[str, ReviewedTrack], one: ReviewedTrack, decision: Decision) -> Known:
    track, new_id = one.track, decision.new_id
    seen = track.visible
    if not seen[0].index < decision.frame <= seen[-1].index:
        raise InputError(
            f"{track.id} is seen in frames {seen[0].index}-{seen[-1].index}; split it in one of"
            f" {seen[0].index + 1}-{seen[-1].index}, which becomes the first of the other object"
        )
    if new_id in known or not new_id:
        raise InputError(f"the id {new_id!r} is that of another track")
    first, second = split_track(track, decision.frame, new_id)
    made: Known = {}
    for track_id, each in known.items():
        made[track_id] = each
        if track_id == track.id:  # the new one beside the one that it was part of
            made[track_id] = _waiting(replace(one, track=first), f"split at frame {decision.frame}")
            made[new_id] = _waiting(replace(one, track=second), f"split from {track.id} at frame {decision.frame}")
    return made


def _merged(known: Mapping[str, ReviewedTrack], one: ReviewedTrack, other: ReviewedTrack, decision: Decision) -> Known:
    refusal = merge_refusal(one.track, other.track)
    if refusal:
        raise InputError(refusal)
    whole = replace(
        one,
        track=merge_tracks(one.track, [other.track]),
        corrected=tuple(sorted({*one.corrected, *other.corrected})),
        reason=f"{other.track.id} is part of it",
    )
    if (one.route, other.route) != ("accepted", "accepted"):
        whole = _waiting(whole, whole.reason)
    return {
        track_id: whole if track_id == one.track.id else each
        for track_id, each in known.items()
        if track_id != other.track.id
    }


def _corrected(one: ReviewedTrack, decision: Decision, found: Sequence[TrackFrame]) -> ReviewedTrack:
    first, last = decision.frame, decision.last
    kept = [frame for frame in one.track.frames if not first <= frame.index <= last]
    new = [frame for frame in found if first <= frame.index <= last]
    frames = tuple(sorted([*kept, *new], key=lambda frame: frame.index))
    if not any(frame.visible for frame in frames):
        raise InputError(f"the correction of {decision.id} shows it nowhere: reject the track instead")
    track = replace(one.track, first=frames[0].index, last=frames[-1].index, state=frames[-1].state, frames=frames)
    marks = tuple(sorted({*one.corrected, first}))
    return _waiting(replace(one, track=track, corrected=marks), f"corrected from frame {first} on")


def _waiting(one: ReviewedTrack, reason: str) -> ReviewedTrack:
    """A track that is another one than was decided about, so that somebody has to look at it again."""
    return replace(one, route="review", reviewer="", reason=reason)


def merge_refusal(one: Track, other: Track) -> str:
    """The reason why two tracks cannot be one object; "" where they can.

    Where both are seen at once, one must lie in the other: a thing is not in two places.
    """
    if one.id == other.id:
        return f"{one.id} cannot be merged with itself"
    there = {frame.index: frame for frame in other.visible}
    common = [(frame, there[frame.index]) for frame in one.visible if frame.index in there]
    apart = [a.index for a, b in common if _overlap(a, b) < SAME]
    if len(apart) <= MOST_APART * len(common):
        return ""
    where = f"frame {apart[0]}" if len(apart) == 1 else f"{len(apart)} frames ({apart[0]}-{apart[-1]})"
    return (
        f"{one.id} and {other.id} are in different places in {where}, so they are two objects: split off what belongs"
        " to the other one first"
    )


def _overlap(one: TrackFrame, other: TrackFrame) -> float:
    """Share of the smaller mask that lies in the larger one."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = one.box, other.box
    if min(ax1, bx1) <= max(ax0, bx0) or min(ay1, by1) <= max(ay0, by0):
        return 0.0
    common = masks.area(masks.intersect([one.rle, other.rle]))
    return common / min(masks.area(one.rle), masks.area(other.rle))


class ReviewedTracks:
    """The tracks of a folder with the decisions about them. Not thread-safe; `Busy` where another program decides too.

    It sees the run as it stood at opening.
    """

    def __init__(self, folder: Path, reviewer: str = "person") -> None:
        """Read tracks and decisions.

        Raises:
            InputError: the folder holds no tracks, or a journal is broken.
        """
        self.folder = folder
        path = folder / TRACKS
        self._size = path.stat().st_size if path.is_file() else 0
        self.store = TrackStore(path)
        self._journal = DecisionJournal(folder, reviewer)
        self._base = self.store.tracks()
        self._corrections: dict[str, tuple[TrackFrame, ...]] = {}
        self._known, self.passed_over = self._replayed()

    @property
    def reviewer(self) -> str:
        """Name in the decisions that are made here."""
        return self._journal.reviewer

    @property
    def all(self) -> tuple[ReviewedTrack, ...]:
        """Every track that is seen in a frame, in the order in which they were found."""
        return tuple(self._known.values())

    @property
    def kept(self) -> tuple[Track, ...]:
        """Those that nobody rejected."""
        return tuple(each.track for each in self.all if each.route != "rejected")

    @property
    def counts(self) -> dict[str, int]:
        """Route -> number of tracks."""
        found = Counter(each.route for each in self.all)
        return {route: found[route] for route in ("review", "accepted", "rejected")}

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Those that stand."""
        return self._journal.read.standing

    @property
    def folders_given(self) -> frozenset[str]:
        """Folders of corrections, undone ones included."""
        return self._journal.read.folders

    def get(self, track_id: str) -> ReviewedTrack:
        """One track; raises UnknownHandle."""
        if track_id not in self._known:
            raise UnknownHandle("track", track_id, self._known)
        return self._known[track_id]

    def decide(self, action: Action, track_id: str, other: str = "", frame: int = -1, concept: str = "") -> Decision:
        """Decide about a track, and keep it on the disk; see `Decision`.

        Raises:
            UnknownHandle: there is no such track.
            InputError: it cannot be decided so; the message says why.
            Busy: somebody else has decided meanwhile; the tracks are now as they left them.
        """
        new_id = self._new_id() if action == "split" else ""
        return self.keep(Decision(action, track_id, other, frame, new_id=new_id, concept=concept.strip()))

    def keep(self, decision: Decision) -> Decision:
        """Make a decision that is whole already; raises as `decide`."""
        decision = replace(decision, reviewer=self.reviewer)
        after = decided(self._known, decision, self._found)
        made = self._write(lambda: self._journal.add(decision))
        self._known = after
        return made or decision

    def undo(self) -> Undone | None:
        """Take back the last decision that stands; None where there is none.

        Raises:
            Busy: somebody else has decided meanwhile; the tracks are now as they left them.
        """
        struck = self._write(self._journal.undo)
        if struck is None:
            return None
        before = self._known
        self._known, self.passed_over = self._replayed()
        return Undone(struck, self._words(struck, before), tuple(i for i in (struck.id, struck.other) if i))

    def _write(self, write: Callable[[], Decision | None]) -> Decision | None:
        try:
            return write()
        except Busy:
            self._known, self.passed_over = self._replayed()
            raise

    def _replayed(self) -> tuple[Known, int]:
        return replay(self._base, self._journal.read.standing, self._found)

    def _found(self, decision: Decision) -> tuple[TrackFrame, ...]:
        """The frames of a correction; its folder lies within this one."""
        if decision.folder in self._corrections:
            return self._corrections[decision.folder]
        folder = (self.folder / decision.folder).resolve()
        if not folder.is_relative_to(self.folder.resolve()):
            raise InputError(f"the correction of {decision.id} lies outside of {self.folder}")
        frames = TrackStore(folder / TRACKS).track(decision.id).frames
        self._corrections[decision.folder] = frames
        return frames

    def _new_id(self) -> str:
        """An id that no track of this folder has or had, those of questions that were asked since included."""
        store = self.store if self.store.path.stat().st_size == self._size else TrackStore(self.store.path)
        given = [int(each[1:]) for each in self._journal.read.given if each[1:].isdecimal()]
        return f"t{max([store.next_number, *(number + 1 for number in given)])}"

    def _words(self, struck: Decision, before: Mapping[str, ReviewedTrack]) -> str:
        """Say to a person what was undone, and what is so again."""
        one = self._known.get(struck.id)
        if one is None:
            return f"{struck.action} of {struck.id}"
        name = f"{struck.id} {one.track.concept}"
        routes = {"review": "it waits for review", "accepted": "it is accepted", "rejected": "it is rejected"}
        again = f"{routes[one.route]} again"
        if struck.action == "relabel":
            return f"relabel of {name} as {struck.concept}; {again}"
        if struck.action == "split":
            return f"split of {name} at frame {struck.frame}; {struck.new_id} is part of it again"
        if struck.action == "merge":
            return f"merge of {struck.other} into {name}; {struck.other} is a track of its own again"
        if struck.action == "correct":
            return f"correction of {name} from frame {struck.frame} on; it has its masks from before again"
        return f"{struck.action} of {name}; {again}"


def reviewed_tracks(folder: Path, tracks: Sequence[Track]) -> tuple[tuple[Track, ...], int]:
    """The tracks of a folder without those that a person rejected, changed as decided, and how many were left out.

    Raises:
        InputError: the journal of decisions is broken.
    """
    found = read_decisions(folder)
    if not found.standing:
        return tuple(tracks), 0
    reviewed = ReviewedTracks(folder)
    return reviewed.kept, reviewed.counts["rejected"]
