"""N-acc and T-acc: does it say "nothing" when there is nothing, and only then?

Source: GRES / gRefCOCO (arXiv 2306.00968, section 5): N-acc = TP / (TP + FN) over no-target cases, where a prediction
without a foreground pixel is a hit; T-acc = TN / (TN + FP) over cases that have a target.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abstention:
    """Shares of right silence and right speech; 0 where there was no such case, which the counts tell."""

    n_acc: float
    t_acc: float
    no_target_cases: int
    target_cases: int

    def to_json(self) -> dict[str, float]:
        """The figures by name; those without a case are left out."""
        figures: dict[str, float] = {}
        if self.no_target_cases:
            figures["n_acc"] = self.n_acc
        if self.target_cases:
            figures["t_acc"] = self.t_acc
        return figures


def aggregate(cases: Iterable[tuple[bool, bool]]) -> Abstention:
    """Figures over (has a target, prediction is empty) pairs."""
    counts = {(has, empty): 0 for has in (False, True) for empty in (False, True)}
    for has_target, empty in cases:
        counts[has_target, empty] += 1
    absent = counts[False, False] + counts[False, True]
    present = counts[True, False] + counts[True, True]
    return Abstention(
        n_acc=counts[False, True] / absent if absent else 0.0,
        t_acc=counts[True, False] / present if present else 0.0,
        no_target_cases=absent,
        target_cases=present,
    )
