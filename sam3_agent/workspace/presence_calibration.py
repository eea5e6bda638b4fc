"""Calibration of presence for a concept of examples: under which presence it is not in an image at all.

A model says of nearly every image that what it was shown examples of is there, of look-alikes too, but far surer where
it is: of ten images with a new noun presences were .990 to .9995, of images without it .001 to .989 but for a few. An
object's score does not tell them apart, nor does its product with presence.
"""

import math
from collections.abc import Sequence

LEAST_IMAGES = 5
"""With the concept, each asked by what was learned from the others; the lowest of fewer says too little."""
MARGIN = 0.3
"""Log odds under the lowest of them: a new image may be a little less sure. Of 20 unseen images with an hourglass and
20 without, learned from ten in three draws, with it F1 was .84 .87 .79 and absent refused .85 .85 .90, without the rule
.84 .87 .87 and .65 .70 .65; at a margin of 1 F1 was the same as without and absent refused .75 .80 .90."""
SUREST = 1e-6
"""Presence is taken as at most 1 minus this: float32 says 1 from there on."""


def least_presence(presences: Sequence[float]) -> float:
    """Presence, 0 to 1, under which a concept is not in an image; 0 where there are too few images to tell.

    Args:
        presences: of images that show the concept, in none of which the asked tokens had a part.
    """
    if len(presences) < LEAST_IMAGES:
        return 0.0
    lowest = min(max(min(presences), SUREST), 1 - SUREST)
    odds = lowest / (1 - lowest) * math.exp(-MARGIN)
    return round(odds / (1 + odds), 6)
