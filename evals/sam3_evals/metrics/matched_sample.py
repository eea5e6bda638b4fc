"""Matched sample: all that is known of one case after its masks were compared, and all that the metrics see."""

from dataclasses import dataclass, field

from sam3_agent.types import Usage
from sam3_evals.metrics.cgf1 import PairCounts
from sam3_evals.metrics.iou import Overlap
from sam3_evals.metrics.video import VideoScore


@dataclass(frozen=True, slots=True)
class Alignment:
    """Answer to a phrase of a counterfactual pair, held against the object of the pair."""

    aligned: bool
    """A mask is on the object."""
    astray: bool
    """A mask is not."""
    score: float
    """Best score; 0 without a mask."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Answer to a misleading phrase beside that to the true one."""

    aligned: bool
    """The misleading one is answered with the object."""
    astray: bool
    """... only with something else."""
    lost: bool
    """The true one is not answered with the object."""
    surer: bool
    """The misleading one has the better score."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One case after scoring."""

    case: str
    picture: str
    query: str
    strata: dict[str, str]
    lisa: Overlap
    vision_reasoner: Overlap
    pair: PairCounts | None
    """None where the truth does not tell instances apart."""
    has_target: bool
    empty: bool
    """The prediction has no pixel."""
    missing: bool = False
    """There is no prediction: scored as an empty one."""
    error: str = ""
    presence: float | None = None
    """Belief of the solver that the query means something in the image; None where it does not say."""
    usage: Usage = field(default_factory=Usage)
    outcome: str = "answered"
    trace: str = ""
    """File of the solver's trace in the run's folder, if it left one."""
    alignment: Alignment | None = None
    """None where it is no phrase of a counterfactual pair."""
    swap: Swap | None = None
    """Of a misleading phrase whose true one is in the run."""
    video: VideoScore | None = None
    """None for an image."""
