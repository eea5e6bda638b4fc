"""Objects: gIoU and cIoU object by object, as MUSE counts them, where the truth tells objects apart.

Source: PixelLM (arXiv 2312.02228, section 5.1) and MaverickRen/PixelLM `train_ds.py`, `ar_validate`. The masks of a
question are matched to its targets one to one; what is left over on either side is held against an empty mask, and so
has IoU 0 and adds its pixels to the union. gIoU = sum of IoUs / sum of max(masks, targets), cIoU = sum I / sum U.

Two things differ there: masks are matched by a loss of logits, which files of masks do not have, and here by the
largest total IoU; and max(masks, targets) is taken over all questions of an image together. The paper's further step,
an LLM that judges the text around the masks, has nothing to judge here.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.metrics.ratio import ratio


class ObjectMetric:
    """gIoU and cIoU over objects."""

    name = "objects"
    columns = 4

    def row(self, case: Scored) -> list[float]:
        """Compute what one case adds: places of objects, IoU, intersection, union."""
        pair = case.pair
        if pair is None:
            return [0.0] * self.columns
        return [float(max(pair.predictions, pair.targets)), pair.iou, pair.intersection, pair.union]

    def figures(self, sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Figures of (..., 4) sums."""
        places, iou, inter, union = (sums[..., i] for i in range(4))
        return {"giou": ratio(iou, places), "ciou": ratio(inter, union)}
