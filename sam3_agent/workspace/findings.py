"""What clicks in a window gave, as masks of the whole image about to be recorded."""

from collections.abc import Sequence

from sam3_agent.clicks import ClickedMask
from sam3_agent.types import Candidate
from sam3_agent.workspace.crops import candidate_in_image
from sam3_agent.workspace.feature_cache import Window
from sam3_agent.workspace.mask_store import Finding


def clicked(answers: Sequence[ClickedMask], window: Window, width: int, height: int) -> list[Finding]:
    """The best answer is kept, the others are near misses; both scores are the predicted IoU."""
    given = [Candidate(answer.rle, answer.box, answer.predicted_iou) for answer in answers]
    placed = [candidate_in_image(c, window, width, height) for c in given]
    return [Finding(c.rle, c.box, c.object_score, c.object_score, kept=not index) for index, c in enumerate(placed)]
