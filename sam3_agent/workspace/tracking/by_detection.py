"""Tracking by detection: tracks without a tracker, tied together by the overlap of detections from frame to frame.

The baseline that a tracker has to beat (SAM 3's paper calls it association by IoU). A track stays where it was detected
last, for `patience` frames; it is shown only in frames in which it is detected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.tracks import TrackFrame
from sam3_agent.workspace.tracking.association import Evidence, Floats, keep_detections, overlap_of_areas
from sam3_agent.workspace.tracking.journal import Entry, FrameLine
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes
from sam3_agent.workspace.tracking.profiles import PAPER, Measure, Profile

MATCH = 0.3
"""IoU from frame to frame that ties two detections; this and PATIENCE as in the pilot on procedural clips."""
PATIENCE = 8
"""Frames for which a track waits where it was."""


@dataclass(frozen=True, slots=True)
class DetectedMask:
    """One detection of a frame."""

    concept: str
    rle: Rle
    score: float


class DetectionTracker:
    """Told the detections of every frame in order, says which track each of them is."""

    def __init__(self, profile: Profile = PAPER, first_number: int = 1, patience: int = PATIENCE) -> None:
        """Begin without tracks; matching and trial follow the profile, but for the overlap that ties detections."""
        self.profile = replace(profile, match=MATCH, keep=MATCH, overlap="iou", occlusion_overlap=0.0)
        self.lifetimes = Lifetimes(self.profile, first_number)
        self._patience = patience
        self._last: dict[str, tuple[int, Rle]] = {}  # id -> the frame in which it was detected last, its mask there

    def step(self, index: int, found: Sequence[DetectedMask], *, time: float = 0.0, cut: bool = False) -> FrameLine:
        """The line of one frame: an entry for every track that is detected in it."""
        self._forget(index)
        kept = self._kept(found)
        ids = self.lifetimes.alive
        overlap = rle_overlap([one.rle for one in kept], [self._last[i][1] for i in ids])
        evidence = Evidence(
            frame=index,
            scores=np.array([one.score for one in kept], dtype=np.float32),
            concepts=tuple(one.concept for one in kept),
            overlap=overlap,
            track_overlap=np.zeros((len(ids), len(ids)), dtype=np.float32),
            present=np.ones(len(ids), dtype=bool),
            # Nothing but overlap ties it to the frame before, and a cut takes that away.
            presence=np.full(len(ids), -1.0 if cut else 1.0, dtype=np.float32),
        )
        decision = self.lifetimes.step(evidence, cut=cut)
        entries = self._entries(index, kept, decision, self._assigned(decision, overlap, ids))
        return FrameLine(index, time, entries, removed=decision.removed, cut=cut)

    def _kept(self, found: Sequence[DetectedMask]) -> list[DetectedMask]:
        scores = np.array([one.score for one in found], dtype=np.float32)
        rles = [one.rle for one in found]
        chosen = keep_detections(
            replace(self.profile, border=0.0), scores, [one.concept for one in found], rle_overlap(rles, rles)
        )
        return [found[i] for i in chosen]

    def _assigned(self, decision: Decision, overlap: Floats, ids: Sequence[str]) -> dict[str, int]:
        """Track -> its detection, one to one, the largest overlap first."""
        place = {track_id: column for column, track_id in enumerate(ids)}
        pairs = [
            (float(overlap[detection, place[track_id]]), detection, track_id)
            for detection, matched in decision.matched.items()
            for track_id in matched
            if track_id in decision.states
        ]
        given: dict[str, int] = {}
        for _, detection, track_id in sorted(pairs, key=lambda pair: -pair[0]):
            if track_id not in given and detection not in given.values():
                given[track_id] = detection
        return given | dict(decision.new)

    def _entries(
        self, index: int, kept: Sequence[DetectedMask], decision: Decision, assigned: dict[str, int]
    ) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for track_id, detection in assigned.items():
            one = kept[detection]
            self._last[track_id] = (index, one.rle)
            state = decision.states[track_id]
            frame = TrackFrame(index, one.rle, masks.box(one.rle), one.score, state, one.score)
            entries.append(Entry(track_id, one.concept, frame))
        for track_id in decision.removed:
            del self._last[track_id]
        return tuple(entries)

    def _forget(self, index: int) -> None:
        for track_id, (last, _) in list(self._last.items()):
            if abs(index - last) > self._patience:
                self.lifetimes.forget(track_id)
                del self._last[track_id]


def rle_overlap(first: Sequence[Rle], second: Sequence[Rle], measure: Measure = "iou") -> Floats:
    """(N, M) float32 overlap of masks of one size, as `association.mask_overlap` has it of bitmaps."""
    common = np.zeros((len(first), len(second)))
    areas = [np.array([masks.area(rle) for rle in side], dtype=np.int64) for side in (first, second)]
    if first and second:
        common = np.rint(masks.containment(first, second) * areas[0][:, None])
    return overlap_of_areas(common, areas[0], areas[1], measure)
