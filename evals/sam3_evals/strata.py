"""The groups that a case is reported under: what its dataset says, and what its truth shows."""

from sam3_agent import masks
from sam3_evals.sample import Case

SMALL, MEDIUM = 32**2, 96**2
"""Pixels; COCO's borders between small, medium and large objects."""
_COUNTS = ((0, "0"), (1, "1"), (3, "2-3"), (9, "4-9"))
ORDERS = {"size": ("small", "medium", "large"), "instances": (*(words for _, words in _COUNTS), "10+")}
"""Order in which the values of a stratum are listed; those of others as they appear."""


def strata_of(case: Case) -> dict[str, str]:
    """The dataset's own strata, then target (present, absent), size (COCO's) and, where told apart, instances.

    The size is that of the mean instance, or of the whole target where instances are not told apart.
    """
    strata = {**case.strata, "target": "present" if case.targets else "absent"}
    if case.targets:
        # Of a video, the size is that of a mean frame of the video, not of those alone in which the object is.
        seen = len(case.targets) * max(1, case.frames)
        strata["size"] = _size(sum(masks.area(target) for target in case.targets) / seen)
    if case.by_instance:
        strata["instances"] = _count(len(case.targets))
    return strata


def _size(area: float) -> str:
    return "small" if area < SMALL else "medium" if area < MEDIUM else "large"


def _count(number: int) -> str:
    return next((words for most, words in _COUNTS if number <= most), "10+")
