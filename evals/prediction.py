"""A prediction: what a solver answered to one case, at what cost."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.types import Usage


@dataclass(frozen=True, slots=True)
class Prediction:
    """The masks that a solver stands for, best first; none means "nothing matches", or that it failed (`error`)."""

    case: str
    rles: tuple[Rle, ...] = ()
    scores: tuple[float, ...] = ()
    outcome: str = "answered"
    reason: str = ""
    error: str = ""
    """Why the solver could not answer; the case then scores as empty and is counted aloud."""
    presence: float | None = None
    usage: Usage = field(default_factory=Usage)

    def union(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W): all predicted masks together."""
        return masks.decode(masks.union(self.rles)) if self.rles else np.zeros(size, dtype=bool)

    def to_json(self) -> dict[str, Any]:
        """One line of `predictions.jsonl`."""
        return {
            "case": self.case,
            "outcome": self.outcome,
            "reason": self.reason,
            "error": self.error,
            "presence": self.presence,
            "instances": [
                {"score": score, "mask": rle.to_json()} for rle, score in zip(self.rles, self.scores, strict=True)
            ],
            "usage": self.usage.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Prediction":
        """Read what `to_json` wrote."""
        return cls(
            case=value["case"],
            rles=tuple(masks.from_json(instance["mask"]) for instance in value["instances"]),
            scores=tuple(instance["score"] for instance in value["instances"]),
            outcome=value["outcome"],
            reason=value["reason"],
            error=value["error"],
            presence=value["presence"],
            usage=Usage(**value["usage"]),
        )
