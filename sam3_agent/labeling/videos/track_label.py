"""Labels of a video: its tracks by class, merged, compared and routed by the score rule of images."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sam3_agent import masks
from sam3_agent.labeling.ontology.ontology import LabelClass, Ontology, Thresholds, fold
from sam3_agent.labeling.store.detections import COMPETING_IOU, SAME_IOU, asked_phrases
from sam3_agent.labeling.store.label import Evidence, Label, Support
from sam3_agent.labeling.verify.score_rule import verify_all
from sam3_agent.tracks import Track, TrackFrame


@dataclass(frozen=True, slots=True)
class TrackLabel:
    """A track as a label; what the rule and people say of it stands in `label`, whose mask is its largest."""

    label: Label
    track: Track
    """Under the id that it has in the video's folder; its concept is the phrase that found it."""

    @property
    def named(self) -> Track:
        """Give the track under the name of its class, for formats."""
        return replace(self.track, concept=self.label.class_name)


def phrases_of(ontology: Ontology) -> tuple[str, ...]:
    """List the phrases to track, each once: those of all classes, what exemplars taught, and negatives."""
    asked = [phrase for each in ontology.classes for phrase in (*asked_phrases(each), *each.negatives)]
    return tuple({fold(phrase): phrase for phrase in asked}.values())


def track_labels_of(
    ontology: Ontology, tracks: Sequence[Track], thresholds: Mapping[str, Thresholds], sha: str, model: str
) -> list[TrackLabel]:
    """Make the routed labels of a video of which these tracks were found: the same tracks give the same labels.

    Of tracks of one class that follow the same object the best one stays; negatives and other classes compete.
    """
    by_phrase: dict[str, list[Track]] = {}
    for track in tracks:
        if track.visible:
            by_phrase.setdefault(fold(track.concept), []).append(track)
    found = {each.name: _merged(each, by_phrase, sha, model) for each in ontology.classes}
    made: list[TrackLabel] = []
    for each in ontology.classes:
        rivals = [(phrase, track) for phrase in each.negatives for track in by_phrase.get(fold(phrase), [])]
        if each.overlap == "best":
            others = [other for other in ontology.classes if other.name != each.name and other.overlap == "best"]
            rivals += [(f"class {other.name}", label.track) for other in others for label in found[other.name]]
        made += [_beside(label, rivals) for label in found[each.name]]
    return routed(made, thresholds)


def routed(labels: Sequence[TrackLabel], thresholds: Mapping[str, Thresholds]) -> list[TrackLabel]:
    """Route labels by the thresholds of their classes; what a person decided stays."""
    verified = verify_all([each.label for each in labels], thresholds)
    return [replace(each, label=label) for each, label in zip(labels, verified, strict=True)]


def score_of(track: Track) -> float:
    """Average the scores of the detections that confirm a track, 0-1; that of its first one where there are none."""
    scores = [frame.detection for frame in track.visible if frame.detection is not None]
    return round(min(max(statistics.fmean(scores) if scores else track.score, 0.0), 1.0), 6)


def track_iou(one: Track, other: Track) -> float:
    """Divide the shared pixels of two tracks over all frames by those of either, 0-1 (the IoU of YouTube-VIS)."""
    seen = {frame.index: frame for frame in other.visible}
    shared = sum(_shared(frame, seen[frame.index]) for frame in one.visible if frame.index in seen)
    if not shared:
        return 0.0
    areas = sum(masks.area(frame.rle) for track in (one, other) for frame in track.visible)
    return shared / (areas - shared)


def _shared(one: TrackFrame, other: TrackFrame) -> int:
    a, b = one.box, other.box
    if a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]:
        return 0
    return sum(pixels for _, _, pixels in masks.overlaps([one.rle, other.rle]))


def _merged(each: LabelClass, by_phrase: Mapping[str, Sequence[Track]], sha: str, model: str) -> list[TrackLabel]:
    """Make one label an object of the class; the phrases that found it too support it."""
    asked = asked_phrases(each)
    found = [(phrase, track) for phrase in asked for track in by_phrase.get(fold(phrase), [])]
    kept: list[tuple[str, Track, list[Support]]] = []
    for phrase, track in sorted(found, key=lambda pair: -score_of(pair[1])):  # stable: ties in the order of phrases
        support = Support(phrase, score_of(track))
        same = next((one for one in kept if track_iou(one[1], track) >= SAME_IOU), None)
        if same is None:
            kept.append((phrase, track, [support]))
        else:
            same[2].append(support)
    return [_label(each, phrase, track, supports, sha, model, len(asked)) for phrase, track, supports in kept]


def _label(
    each: LabelClass, phrase: str, track: Track, supports: Sequence[Support], sha: str, model: str, asked: int
) -> TrackLabel:
    largest = max(track.visible, key=lambda frame: masks.area(frame.rle))
    score = score_of(track)
    label = Label(
        id=f"{sha[:16]}.{track.id}",
        sha=sha,
        class_name=each.name,
        rle=largest.rle,
        box=largest.box,
        score=score,
        object_score=score,
        presence=1.0,
        source="exemplar" if phrase.startswith("@") else "phrase",
        phrase=phrase,
        evidence=Evidence(asked, tuple(supports)),
        attributes=dict(each.attributes),
        model=model,
    )
    return TrackLabel(label, track)


def _beside(mine: TrackLabel, rivals: Sequence[tuple[str, Track]]) -> TrackLabel:
    """Note the rival that scores best on the same object."""
    best = ("", 0.0)
    for name, track in rivals:
        if score_of(track) > best[1] and track_iou(mine.track, track) >= COMPETING_IOU:
            best = (name, score_of(track))
    evidence = replace(mine.label.evidence, competing_label=best[0], competing_score=best[1])
    return replace(mine, label=replace(mine.label, evidence=evidence))
