"""A prediction: what a solver answered to one case, at what cost."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.types import Trace, Usage
from sam3_evals.journal import MOST_TEXT, checked_line
from sam3_evals.metrics.iou import empty_mask


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("a trace lies in the folder of its run")
    return path


_Text = Annotated[str, Field(max_length=MOST_TEXT)]


class _InstanceLine(pydantic.BaseModel):
    score: float
    mask: dict[str, Any]


class _PredictionLine(pydantic.BaseModel):
    """Line of `predictions.jsonl`; a run may come from a stranger."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False)
    case: _Text
    outcome: _Text
    reason: _Text
    error: _Text
    presence: float | None
    instances: list[_InstanceLine]
    usage: Usage
    trace: Annotated[_Text, AfterValidator(_inside)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The masks that a solver stands for, best first; none means "nothing matches", or that it failed (`error`)."""

    case: str
    rles: tuple[Rle, ...] = ()
    scores: tuple[float, ...] = ()
    outcome: str = "answered"
    reason: str = ""
    error: str = ""
    """Reason why the solver could not answer; the case then scores as empty and is counted aloud."""
    presence: float | None = None
    usage: Usage = field(default_factory=Usage)
    trace: Trace | None = None
    """Steps of the solver; the run keeps it in a file of its own."""
    trace_file: str = ""
    """That file, relative to the run's folder."""

    def union(self, size: tuple[int, int]) -> Rle:
        """All predicted masks together; `size` is (height, width)."""
        return masks.union(self.rles) if self.rles else empty_mask(*size)

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
            "trace": self.trace_file,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Prediction":
        """Read what `to_json` wrote.

        Raises:
            InputError: it is no prediction; the message names the field.
        """
        line = checked_line(_PredictionLine, value, "prediction")
        return cls(
            case=line.case,
            rles=tuple(masks.from_json(instance.mask) for instance in line.instances),
            scores=tuple(instance.score for instance in line.instances),
            outcome=line.outcome,
            reason=line.reason,
            error=line.error,
            presence=line.presence,
            usage=line.usage,
            trace_file=line.trace,
        )
