"""The oracle of videos: in every frame the model's masks that serve each target best. An upper bound, no contender.

No tracker takes part: which mask belongs to which masklet is read off the truth. So it says what the detector's masks
alone allow, frame by frame.
"""

import time

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.types import Usage
from sam3_agent.workspace import Workspace
from sam3_evals.metrics.video.masklets import Masklet, masklet_of, volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.oracle import best_subset, pool_of
from sam3_evals.solvers.video.open_video import OpenedVideo


class VideoOracleSolver:
    """Upper bound: perfect tracking and choice among this model's masks."""

    def __init__(self, workspace: Workspace) -> None:
        self._opened = OpenedVideo(workspace)

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Choose in every frame that holds a target; frames without one are not looked at."""
        workspace = self._opened.workspace
        began, encodes = time.monotonic(), workspace.encodes
        targets = [masklet_of(volume, case.frames) for volume in case.targets]
        found: list[Masklet] = [{} for _ in targets]
        for index in sorted({index for target in targets for index in target}):
            pool = pool_of(workspace, self._opened.frame(case, picture, index), case.query)
            for target, masklet in zip(targets, found, strict=True):
                chosen = best_subset(pool, target[index]) if index in target else list[Rle]()
                if chosen:
                    masklet[index] = masks.union(chosen)
        size = (case.size[0], case.size[1] // case.frames)
        volumes = [volume_of(masklet, case.frames, size) for masklet in found if masklet]
        return Prediction(
            case.id,
            rles=tuple(volumes),
            scores=(1.0,) * len(volumes),
            outcome="answered" if volumes else "no_match",
            reason="chosen with the truth in hand",
            usage=Usage(encodes=workspace.encodes - encodes, seconds=time.monotonic() - began),
        )
