"""The oracle of videos: in every frame the model's masks that serve each target best. An upper bound, no contender.

No tracker takes part: which mask belongs to which masklet is read off the truth. So it says what the detector's masks
alone allow, frame by frame.
"""

import time

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.types import Usage
from sam3_agent.workspace import Workspace
from sam3_evals.metrics.video.masklets import Masklet, masklet_of, volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Footage, Source
from sam3_evals.solvers.oracle import best_subset, pool_of


class VideoOracleSolver:
    """What perfect tracking and choice would make of this model's masks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._video = ""
        self._images: dict[int, str] = {}  # frame -> image id; the workspace drops features that take too much room

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Choose in every frame that holds a target; frames without one are not looked at."""
        if not isinstance(picture, Footage):
            raise InputError(f"case {case.id}: the oracle of videos was given a picture")
        workspace = self._workspace
        began, encodes = time.monotonic(), workspace.encodes
        targets = [masklet_of(volume, case.frames) for volume in case.targets]
        found: list[Masklet] = [{} for _ in targets]
        for index in sorted({index for target in targets for index in target}):
            pool = pool_of(workspace, self._image(case.picture, index, picture), case.query)
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

    def _image(self, video: str, index: int, footage: Footage) -> str:
        """The image id of a frame; consecutive cases about one video open it once."""
        if video != self._video:
            for image_id in self._images.values():
                self._workspace.forget(image_id)
            self._video, self._images = video, {}
        if index not in self._images:
            self._images[index] = self._workspace.open(footage.frames[index]).id
        return self._images[index]
