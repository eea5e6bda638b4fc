"""Association: which detection of a frame belongs to which track, from overlaps alone.

The caller brings overlaps and scores, so that bitmaps may stay on whatever device they are. Rules after SAM 3's
released code and its paper, appendix C.3; equal to the former decision by decision in the profile "3.0".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.workspace.tracking.profiles import Measure, Profile

Floats = NDArray[np.float32]
_EXACT = 1 << 24
"""float32 counts pixels exactly up to here."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that is known of one frame: N detections that were kept, and what the tracker says of M tracks."""

    frame: int
    scores: Floats
    """(N,) scores of the detections."""
    concepts: tuple[str, ...]
    """(N,) the concept that each was found for; tracks of other concepts are none of its business."""
    overlap: Floats
    """(N, M) of detections with tracks, in the measure of the profile."""
    track_overlap: Floats
    """(M, M) IoU of the tracks with each other."""
    present: NDArray[np.bool_]
    """(M,) the tracker's mask has a pixel."""
    presence: Floats
    """(M,) logits: the tracker's belief that the object is in the frame."""
    box_iou: Floats | None = None
    """(N, M); asked for by profiles with `reprompt_box_iou`."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        n, m = len(self.scores), len(self.present)
        shapes = (self.overlap.shape, self.track_overlap.shape, self.presence.shape, (len(self.concepts),))
        if shapes != ((n, m), (m, m), (m,), (n,)):
            raise InputError(f"evidence of {n} detections and {m} tracks does not fit together: {shapes}")


@dataclass(frozen=True, slots=True)
class Association:
    """Detections by their number, tracks by their place in the evidence."""

    new: tuple[int, ...]
    """Detections that become tracks."""
    unmatched: tuple[int, ...]
    """Tracks with a mask that no detection confirms."""
    empty: tuple[int, ...]
    """Tracks without a pixel."""
    matched: dict[int, tuple[int, ...]]
    """Detection -> the tracks that it overlaps; empty where there is no track at all."""
    confident: dict[int, int]
    """Track -> the detection that may re-prompt it."""


def evidence_of_masks(
    frame: int,
    detections: NDArray[np.bool_],
    scores: Sequence[float],
    concepts: Sequence[str],
    tracks: NDArray[np.bool_],
    presence: Sequence[float],
    measure: Measure = "iou",
) -> Evidence:
    """Compare (N, H, W) masks of detections with (M, H, W) masks of tracks, all of one resolution."""
    return Evidence(
        frame=frame,
        scores=np.asarray(scores, dtype=np.float32),
        concepts=tuple(concepts),
        overlap=mask_overlap(detections, tracks, measure),
        track_overlap=mask_overlap(tracks, tracks, "iou"),
        present=np.asarray(tracks.any(axis=(1, 2)), dtype=np.bool_),
        presence=np.asarray(presence, dtype=np.float32),
        box_iou=box_iou(mask_boxes(detections), mask_boxes(tracks)),
    )


def mask_overlap(first: NDArray[np.bool_], second: NDArray[np.bool_], measure: Measure = "iou") -> Floats:
    """(N, M) float32 overlap of (N, H, W) with (M, H, W) masks; an empty mask overlaps nothing."""
    one, other = (masks.reshape(len(masks), int(np.prod(masks.shape[1:]))) for masks in (first, second))  # (N, H * W)
    kind = np.float32 if one.shape[1] < _EXACT else np.float64
    common = one.astype(kind) @ other.astype(kind).T  # (N, M)
    return overlap_of_areas(common, one.sum(axis=1), other.sum(axis=1), measure)


def overlap_of_areas(
    common: NDArray[np.floating], first: NDArray[np.integer], second: NDArray[np.integer], measure: Measure = "iou"
) -> Floats:
    """(N, M) float32 overlap from pixels in common (N, M) and areas (N,) and (M,)."""
    one, other = first[:, None].astype(np.float64), second[None, :].astype(np.float64)
    whole = one + other - common if measure == "iou" else np.minimum(one, other)
    # Meta's thresholds meet quotients of float32 numbers: 1/10 has to count as .1.
    return common.astype(np.float32) / np.maximum(whole, 1).astype(np.float32)


def mask_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 4) tight xyxy boxes of (N, H, W) masks; zeros for an empty one."""
    found = np.zeros((len(masks), 4))
    for index, mask in enumerate(masks):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if columns.size:
            found[index] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return found


def box_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> Floats:
    """(N, M) float32 IoU of xyxy boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)  # (N, M)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    whole = areas[0][:, None] + areas[1][None, :] - common
    return (common / np.maximum(whole, 1e-9)).astype(np.float32)


def keep_detections(
    profile: Profile,
    scores: Floats,
    concepts: Sequence[str],
    overlap: Floats,
    centers: NDArray[np.float64] | None = None,
) -> list[int]:
    """Numbers of the detections that take part in a frame, in order.

    Args:
        profile: its detection score, border and NMS; NMS never crosses concepts.
        scores: (N,).
        concepts: (N,).
        overlap: (N, N) of the detections with each other, in the measure of the profile.
        centers: (N, 2) x, y as shares of width and height; needed where the profile has a border.

    Raises:
        InputError: the profile has a border and there are no centers.
    """
    valid = scores > profile.detection_score
    if profile.border > 0:
        if centers is None:
            raise InputError(f"the profile {profile.name} refuses detections at the border: give their centers")
        valid &= ((centers > profile.border) & (centers < 1 - profile.border)).all(axis=1)
    order = [int(i) for i in np.argsort(-scores, kind="stable") if valid[i]]
    kept: list[int] = []
    for index in order:
        if not any(overlap[index, k] > profile.nms and concepts[index] == concepts[k] for k in kept):
            kept.append(index)
    return sorted(kept)


def associate(profile: Profile, evidence: Evidence, track_concepts: Sequence[str]) -> Association:
    """Match the detections of a frame with the tracks; `track_concepts` has the concept of each of the M tracks."""
    if len(track_concepts) != len(evidence.present):
        raise InputError(f"{len(evidence.present)} tracks in the evidence, {len(track_concepts)} are known")
    concerned = _same(evidence.concepts, track_concepts)  # (N, M)
    overlap = np.where(concerned, evidence.overlap, np.float32(0))
    known = (overlap >= profile.match).any(axis=1)  # (N,)
    alone = ~concerned.any(axis=1)
    new = ~known & (evidence.scores >= profile.new_score)
    if profile.first_frame_all:
        new |= alone
    confirmed = (overlap >= profile.keep).any(axis=0)  # (M,)
    if profile.one_to_one:
        overlap = _without_rivals(overlap, profile.reprompt_overlap)
    return Association(
        new=tuple(np.flatnonzero(new).tolist()),
        unmatched=tuple(np.flatnonzero(evidence.present & ~confirmed).tolist()),
        empty=tuple(np.flatnonzero(~evidence.present).tolist()),
        matched=_matched(overlap >= profile.match),
        confident=_confident(profile, evidence.scores, overlap, new),
    )


def _same(concepts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[one == other for other in others] for one in concepts], dtype=bool).reshape(
        len(concepts), len(others)
    )


def _without_rivals(overlap: Floats, threshold: float) -> Floats:
    """The overlaps without those of tracks with several detections, and of detections with several tracks."""
    high = overlap >= threshold
    ambiguous = (high.sum(axis=0) > 1)[None, :] | (high.sum(axis=1) > 1)[:, None]
    return np.where(ambiguous, np.float32(0), overlap)


def _matched(hits: NDArray[np.bool_]) -> dict[int, tuple[int, ...]]:
    if not hits.size:
        return {}
    return {index: tuple(np.flatnonzero(row).tolist()) for index, row in enumerate(hits)}


def _confident(profile: Profile, scores: Floats, overlap: Floats, new: NDArray[np.bool_]) -> dict[int, int]:
    """Track -> the last detection that is sure of itself and overlaps this track most, and much."""
    if not overlap.size:
        return {}
    sure = (scores >= profile.reprompt_score) & ~new & (overlap.max(axis=1) >= profile.reprompt_overlap)
    return {int(overlap[index].argmax()): int(index) for index in np.flatnonzero(sure)}
