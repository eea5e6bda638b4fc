"""The bare model: the query, word for word, as one concept; everything above the threshold is the answer."""

import time

from sam3_agent.errors import InputError
from sam3_agent.types import Usage
from sam3_agent.workspace import Workspace
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.open_image import OpenedImage

THRESHOLD = 0.5


class ConceptSolver:
    """SAM 3 without a loop: what every agent has to beat."""

    def __init__(self, workspace: Workspace) -> None:
        self._sitting = OpenedImage(workspace)

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Segment the query as it stands; a phrase that the model refuses (too long) is an error prediction."""
        workspace = self._sitting.workspace
        began, encodes = time.monotonic(), workspace.encodes
        image_id = self._sitting.open(case, picture)
        try:
            (found,) = workspace.segment(image_id, [case.query], threshold=THRESHOLD)
        except InputError as refused:
            return Prediction(case.id, outcome="failed", error=str(refused))
        return Prediction(
            case.id,
            rles=tuple(instance.rle for instance in found.instances),
            scores=tuple(round(instance.score, 6) for instance in found.instances),
            outcome="answered" if found.instances else "no_match",
            presence=round(found.presence, 6),
            usage=Usage(encodes=workspace.encodes - encodes, seconds=time.monotonic() - began),
        )
