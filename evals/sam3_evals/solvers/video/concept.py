"""The bare model on a video: the query, word for word, in every frame; what overlaps from frame to frame is a track."""

import time

from sam3_agent.errors import InputError
from sam3_agent.types import Usage
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking import DetectedMask, DetectionTracker, FrameLine
from sam3_evals.metrics.video.masklets import Masklet, volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.concept import THRESHOLD
from sam3_evals.solvers.video.open_video import OpenedVideo


class VideoConceptSolver:
    """SAM 3's detector with tracking by detection: what a tracker, and every agent over one, has to beat."""

    def __init__(self, workspace: Workspace) -> None:
        self._opened = OpenedVideo(workspace)

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Segment every frame and track; a phrase that the model refuses (too long) is an error prediction."""
        workspace = self._opened.workspace
        began, encodes = time.monotonic(), workspace.encodes
        tracker, lines, presence = DetectionTracker(), list[FrameLine](), 0.0
        try:
            for index in range(case.frames):
                image_id = self._opened.frame(case, picture, index)
                (said,) = workspace.segment(image_id, [case.query], threshold=THRESHOLD)
                presence = max(presence, said.presence)
                lines.append(
                    tracker.step(index, [DetectedMask(case.query, one.rle, one.score) for one in said.instances])
                )
        except InputError as refused:
            return Prediction(case.id, outcome="failed", error=str(refused))
        masklets, scores = _kept(lines)
        size = (case.size[0], case.size[1] // case.frames)
        return Prediction(
            case.id,
            rles=tuple(volume_of(masklet, case.frames, size) for masklet in masklets.values()),
            scores=tuple(round(scores[track_id], 6) for track_id in masklets),
            outcome="answered" if masklets else "no_match",
            presence=round(presence, 6),
            usage=Usage(encodes=workspace.encodes - encodes, seconds=time.monotonic() - began),
        )


def _kept(lines: list[FrameLine]) -> tuple[dict[str, Masklet], dict[str, float]]:
    """The masklets that were not retracted, by track, and the mean score of each."""
    retracted = {track_id for line in lines for track_id in line.removed}
    masklets: dict[str, Masklet] = {}
    scores: dict[str, list[float]] = {}
    for line in lines:
        for entry in line.entries:
            if entry.id not in retracted and entry.frame.visible:
                masklets.setdefault(entry.id, {})[line.index] = entry.frame.rle
                scores.setdefault(entry.id, []).append(entry.frame.score)
    return masklets, {track_id: sum(values) / len(values) for track_id, values in scores.items()}
