"""Lifetimes: when a track is on trial, confirmed, hidden, re-prompted or dropped; ids are never reused.

Only counters are kept, a fixed number for each living track, so that memory does not grow with the video. Rules after
SAM 3's released code (profiles "3.0", "3.1") and its paper, appendix C.3 ("paper").
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.tracks import TrackState
from sam3_agent.workspace.tracking.association import Association, Evidence, associate
from sam3_agent.workspace.tracking.occlusion import Occluded, blanked_by_overlap
from sam3_agent.workspace.tracking.profiles import Profile


@dataclass(slots=True)
class Life:
    """All that is remembered of one living track."""

    id: str
    concept: str
    first: int
    """The frame in which it was found first."""
    score: float
    """Of the detection that it began with."""
    keep_alive: int
    pinned: bool = False
    """A person pointed at it: it is never on trial, hidden or removed."""
    unmatched: int = 0
    """Frames with a mask that no detection confirmed."""
    hits: int = 1
    """Matched frames in a row."""
    confirmed: bool = False
    """It has had as many hits in a row as the profile wants."""
    masklet: float = 1
    """S of the paper: matched frames less frames with a mask that nothing confirmed."""
    judged: bool = False
    """Its trial by masklet score is over."""
    matches: int = 1
    score_sum: float = 0.0
    """Of the detections that matched it."""
    last_matched: int = 0
    occluded: int | None = None
    """The last frame without a mask of its own; -1 for none yet, None before it was followed for a frame."""
    lost: bool = False
    """Not found again since a cut."""
    away: int = 0
    """Frames in a row in which it was not shown."""

    @property
    def mean_score(self) -> float:
        """Mean score of the detections that matched it: the masklet's score."""
        return self.score_sum / self.matches


@dataclass(frozen=True, slots=True)
class Reprompt:
    """A track that the detector may correct: its memory takes a mask of this frame as given."""

    id: str
    detection: int
    source: Literal["track", "detection"]
    """Source of the mask: the track where the detector only confirms it, the detection where the box has drifted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Decisions about one frame; detections by number, tracks by id."""

    frame: int
    new: tuple[tuple[str, int], ...] = ()
    """(id, detection) of every track that begins."""
    removed: tuple[str, ...] = ()
    """Tracks that failed their trial: retract everything that was said of them."""
    unmatched: tuple[str, ...] = ()
    matched: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    hidden: tuple[str, ...] = ()
    """By keep-alive or masklet score; their state is kept, they may come back."""
    blanked: tuple[str, ...] = ()
    """By a track that they overlap: their mask is empty in this frame, for output and memory."""
    reprompts: tuple[Reprompt, ...] = ()
    found_again: tuple[str, ...] = ()
    """Tracks lost at a cut that a detection confirms now."""
    dropped: int = 0
    """New objects for which there was no room."""
    states: Mapping[str, TrackState] = field(default_factory=dict[str, TrackState])
    """Of every track that lives after this frame."""
    shown: tuple[str, ...] = ()
    """Tracks whose mask belongs into the output of this frame."""


class Lifetimes:
    """The living tracks of a video, in the order in which they were found."""

    def __init__(self, profile: Profile, first_number: int = 1) -> None:
        """Begin without tracks; `first_number` is that of the first id, "t1" unless others were given away before."""
        self.profile = profile
        self._next = first_number
        self._lives: dict[str, Life] = {}
        self._dormant: dict[str, Life] = {}  # the one that was followed longest ago first
        self._pairs: dict[tuple[str, str], int] = {}  # (earlier, later): detections that matched both

    @property
    def alive(self) -> tuple[str, ...]:
        """Ids of the living tracks: the order in which evidence lists them."""
        return tuple(self._lives)

    @property
    def dormant(self) -> dict[str, str]:
        """Id -> concept of the tracks that are followed no longer, because they were away for long."""
        return {track_id: life.concept for track_id, life in self._dormant.items()}

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concept of each living track."""
        return tuple(life.concept for life in self._lives.values())

    def life(self, track_id: str) -> Life:
        """The counters of a living or dormant track; raises UnknownHandle."""
        known = self._lives | self._dormant
        if track_id not in known:
            raise UnknownHandle("track id", track_id, known)
        return known[track_id]

    def adopt(self, concept: str, frame: int) -> str:
        """Begin a track that a person pointed at; gives its id. It is confirmed at once and never removed."""
        return self._begin(concept, frame, score=1.0, pinned=True)

    def forget(self, track_id: str) -> None:
        """Drop a track; its id is not given away again. Raises UnknownHandle."""
        self.life(track_id)
        self._drop(track_id)

    def rest(self) -> tuple[str, ...]:
        """Follow tracks no longer that were away for as long as the profile says; gives those forgotten for good.

        Between two frames; what rests is not in the evidence of the next one, unless `wake` is called before it.
        """
        limit = self.profile.dormant_after
        for track_id, life in list(self._lives.items()) if limit else ():
            if life.away >= limit and not life.pinned:
                self._drop(track_id)
                self._dormant[track_id] = life
        over = tuple(self._dormant)[: max(len(self._dormant) - self.profile.most_dormant, 0)]
        for track_id in over:
            del self._dormant[track_id]
        return over

    def newcomers(self, evidence: Evidence, known: Collection[str]) -> tuple[int, ...]:
        """Detections of the `known` concepts that would begin tracks, and may be absent ones of these instead."""
        wanted = set(known)
        if not wanted.intersection(evidence.concepts):
            return ()
        begun = associate(self.profile, self._without_lost(evidence), self.concepts).new
        return tuple(number for number in begun if evidence.concepts[number] in wanted)

    def wake(self, track_ids: Collection[str]) -> None:
        """Follow dormant tracks again; they take their places in the order in which all were found."""
        woken = {track_id: self._dormant.pop(track_id) for track_id in track_ids}
        for life in woken.values():
            life.away = 0
        self._lives = dict(sorted((self._lives | woken).items(), key=lambda pair: _number(pair[0])))

    def step(self, evidence: Evidence, *, reverse: bool = False, cut: bool = False, detected: bool = True) -> Decision:
        """Decide about one frame.

        Args:
            evidence: its tracks are `alive`, in that order.
            reverse: frames come in falling order.
            cut: the scene changes with this frame.
            detected: False where the detector was not asked (detection stride); nothing is matched or missed then.
        """
        if len(evidence.present) != len(self._lives):
            raise InputError(f"evidence of {len(evidence.present)} tracks, {len(self._lives)} are alive")
        if cut and self.profile.cuts:
            for life in (*self._lives.values(), *self._dormant.values()):
                life.lost = not life.pinned
        told, ids = self._without_lost(evidence), self.alive
        found = associate(self.profile, told, self.concepts) if detected else Association((), (), (), {}, {})
        chosen = self._with_room(found.new, evidence)
        new = tuple((self._begin(evidence.concepts[i], evidence.frame, float(evidence.scores[i])), i) for i in chosen)
        matched = {det: tuple(ids[t] for t in tracks) for det, tracks in found.matched.items()}
        unmatched = tuple(ids[t] for t in found.unmatched if not self._lives[ids[t]].lost)
        again = self._count(evidence, found, matched, unmatched)
        removed, hidden = self._trial(evidence.frame, matched, reverse=reverse)
        blanked = self._blank(evidence, ids, removed, reverse=reverse)
        reprompts = self._reprompts(told, found, ids)
        for track_id in removed:
            self._drop(track_id)
        decision = Decision(
            evidence.frame, new, removed, unmatched, matched, hidden, blanked, reprompts, again,
            dropped=len(found.new) - len(chosen),
        )  # fmt: skip
        return self._with_states(decision, dict(zip(ids, evidence.present.tolist(), strict=True)), reverse=reverse)

    def to_json(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain values."""
        return {
            "profile": self.profile.name,
            "next": self._next,
            "lives": [asdict(life) for life in self._lives.values()],
            "dormant": [asdict(life) for life in self._dormant.values()],
            "pairs": [[*pair, count] for pair, count in self._pairs.items()],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], profile: Profile) -> "Lifetimes":
        """Read what `to_json` wrote; raises InputError where it was written under another profile or is broken."""
        if value.get("profile") != profile.name:
            raise InputError(f"tracked with the profile {value.get('profile')!r}, not {profile.name!r}")
        made = cls(profile, int(value["next"]))
        try:
            made._lives = {life["id"]: Life(**life) for life in value["lives"]}
            made._dormant = {life["id"]: Life(**life) for life in value["dormant"]}
            made._pairs = {(first, later): count for first, later, count in value["pairs"]}
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"not the lifetimes of tracks: {error!r}") from error
        return made

    def _begin(self, concept: str, frame: int, score: float, *, pinned: bool = False) -> str:
        track_id, self._next = f"t{self._next}", self._next + 1
        self._lives[track_id] = Life(
            track_id, concept, frame, score, self.profile.keep_alive[0], pinned,
            confirmed=pinned or self.profile.confirm_hits <= 1, judged=pinned, score_sum=score, last_matched=frame,
        )  # fmt: skip
        return track_id

    def _drop(self, track_id: str) -> None:
        if track_id in self._dormant:
            del self._dormant[track_id]
            return
        del self._lives[track_id]
        self._pairs = {pair: count for pair, count in self._pairs.items() if track_id not in pair}

    def _with_room(self, new: tuple[int, ...], evidence: Evidence) -> tuple[int, ...]:
        room = max(self.profile.most_tracks - len(self._lives), 0)
        return new if len(new) <= room else tuple(sorted(new, key=lambda i: -float(evidence.scores[i]))[:room])

    def _without_lost(self, evidence: Evidence) -> Evidence:
        """Take from tracks lost at a cut what they overlap by chance: they are found by appearance or not at all."""
        lost = np.array([life.lost for life in self._lives.values()], dtype=bool)
        if not lost.any():
            return evidence
        sure = (evidence.presence > 0)[None, :] & (evidence.overlap >= self.profile.keep)
        return replace(evidence, overlap=np.where(lost[None, :] & ~sure, np.float32(0), evidence.overlap))

    def _count(
        self, evidence: Evidence, found: Association, matched: Mapping[int, tuple[str, ...]], unmatched: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Move the counters of this frame; gives the tracks that were lost and are found again."""
        _, most, least = self.profile.keep_alive
        best: dict[str, float] = {}
        for detection, ids in matched.items():
            for track_id in ids:
                best[track_id] = max(best.get(track_id, 0.0), float(evidence.scores[detection]))
        again = tuple(track_id for track_id in best if self._lives[track_id].lost)
        for track_id, score in best.items():
            life = self._lives[track_id]
            life.keep_alive = min(most, life.keep_alive + 1)
            life.lost, life.last_matched = False, evidence.frame
            life.masklet, life.matches, life.score_sum = life.masklet + 1, life.matches + 1, life.score_sum + score
            life.hits += 1
            life.confirmed = life.confirmed or life.hits >= self.profile.confirm_hits
        for track_id in unmatched:
            life = self._lives[track_id]
            life.unmatched += 1
            life.keep_alive = max(least, life.keep_alive - 1)
            # The paper takes 1 away in every frame without a match. Where the tracker draws nothing either, the two
            # agree that the object is away; counting that would hide whatever comes back after a long absence.
            life.masklet -= 0.0 if track_id in best else self.profile.masklet_miss
        known = {*best, *(track_id for track_id, life in self._lives.items() if life.first == evidence.frame)}
        if found.matched or found.unmatched or found.empty:
            for track_id, life in self._lives.items():
                life.hits = life.hits if track_id in known else 0
        return again

    def _trial(
        self, frame: int, matched: Mapping[int, tuple[str, ...]], *, reverse: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(removed, hidden) ids."""
        removed: list[str] = []
        hidden: list[str] = []
        for track_id, life in self._lives.items():
            if life.pinned or life.lost:
                continue
            if self._fails(life, frame, reverse=reverse):
                removed.append(track_id)
            elif life.unmatched and self._hides(life):
                hidden.append(track_id)
        for ids in matched.values():
            self._count_pairs(ids, reverse=reverse)
        for (_, track_id), count in self._pairs.items():
            life = self._lives[track_id]
            enough = self.profile.duplicate_limit and count >= self.profile.duplicate_limit
            if enough and track_id not in removed and not life.pinned and self._on_trial(life, frame, reverse=reverse):
                removed.append(track_id)
        return tuple(removed), tuple(hidden)

    def _fails(self, life: Life, frame: int, *, reverse: bool) -> bool:
        limit, on_trial = self.profile.unmatched_limit, self._on_trial(life, frame, reverse=reverse)
        if limit and life.unmatched >= limit and on_trial:
            return True
        if self.profile.masklet_score and not on_trial and not life.judged:
            life.judged = True
            return life.masklet < 0
        return False

    def _hides(self, life: Life) -> bool:
        return (self.profile.hide_unmatched and life.keep_alive <= 0) or (
            self.profile.masklet_score and life.masklet < 0
        )

    def _on_trial(self, life: Life, frame: int, *, reverse: bool) -> bool:
        return (life.first - frame if reverse else frame - life.first) < self.profile.delay

    def _count_pairs(self, ids: tuple[str, ...], *, reverse: bool) -> None:
        """Tracks at one detection are the same object: count each against the earliest."""
        if len(ids) < 2:
            return
        pick = max if reverse else min
        earliest = pick(ids, key=lambda track_id: self._lives[track_id].first)
        for track_id in ids:
            if track_id != earliest:
                self._pairs[earliest, track_id] = self._pairs.get((earliest, track_id), 0) + 1

    def _blank(
        self, evidence: Evidence, ids: tuple[str, ...], removed: tuple[str, ...], *, reverse: bool
    ) -> tuple[str, ...]:
        lives = [self._lives[track_id] for track_id in ids]
        before = [Occluded(life.concept, life.occluded, life.id in removed) for life in lives]
        blank = blanked_by_overlap(self.profile, evidence.track_overlap, before, reverse=reverse)
        for life, blanked, present in zip(lives, blank, evidence.present.tolist(), strict=True):
            if blanked or not present:
                life.occluded = evidence.frame
            elif life.occluded is None:
                life.occluded = -1
        return tuple(track_id for track_id, blanked in zip(ids, blank, strict=True) if blanked)

    def _reprompts(self, evidence: Evidence, found: Association, ids: tuple[str, ...]) -> tuple[Reprompt, ...]:
        every, limit = self.profile.reprompt_every, self.profile.reprompt_score
        sure = [_presence(self.profile, float(logit)) > limit for logit in evidence.presence]
        given: dict[str, Reprompt] = {}
        if every and evidence.frame % every == 0:
            for track, detection in found.confident.items():
                if sure[track]:
                    given[ids[track]] = Reprompt(ids[track], detection, "track")
        if self.profile.reprompt_box_iou and evidence.box_iou is not None:
            for track, detection in _best_matches(evidence, found).items():
                drifted = evidence.box_iou[detection, track] < self.profile.reprompt_box_iou
                if sure[track] and drifted and evidence.scores[detection] >= limit:
                    given[ids[track]] = Reprompt(ids[track], detection, "detection")
        return tuple(given.values())

    def _with_states(self, decision: Decision, present: Mapping[str, bool], *, reverse: bool) -> Decision:
        quiet = {*decision.hidden, *decision.blanked}
        states: dict[str, TrackState] = {}
        for track_id, life in self._lives.items():
            if life.lost or not present.get(track_id, True):
                states[track_id] = "left"
            elif track_id in quiet:
                states[track_id] = "suppressed"
            elif not life.confirmed or (not life.pinned and self._on_trial(life, decision.frame, reverse=reverse)):
                states[track_id] = "provisional"
            else:
                states[track_id] = "confirmed"
            life.away = life.away + 1 if states[track_id] in ("left", "suppressed") else 0
        shown = tuple(i for i, state in states.items() if state == "confirmed" or self._shows_on_trial(i, state))
        return replace(decision, states=states, shown=shown)

    def _shows_on_trial(self, track_id: str, state: TrackState) -> bool:
        return state == "provisional" and self._lives[track_id].confirmed


def _number(track_id: str) -> int:
    return int(track_id[1:])


def _presence(profile: Profile, logit: float) -> float:
    if profile.reprompt_presence == "logit":
        return logit
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def _best_matches(evidence: Evidence, found: Association) -> dict[int, int]:
    """Track -> the matching detection that overlaps it most."""
    best: dict[int, int] = {}
    for detection, tracks in found.matched.items():
        for track in tracks:
            if track not in best or evidence.overlap[detection, track] > evidence.overlap[best[track], track]:
                best[track] = detection
    return best
