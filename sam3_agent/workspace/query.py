"""How a picture is asked about."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from sam3_agent.errors import InputError
from sam3_agent.workspace.nms import Suppression

TileMode = Literal["auto", "never", "always"]
"""Whether parts are looked at more closely: where it pays, not at all, or everywhere."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything about a call of `segment` but the concepts and the place.

    Raises:
        InputError: `tiles` is none of its three words.
    """

    threshold: float = 0.5
    assume_present: bool = False
    tiles: TileMode = "auto"
    suppression: Suppression = field(default_factory=Suppression)

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        if self.tiles not in get_args(TileMode):
            raise InputError(f"tiles must be one of {', '.join(get_args(TileMode))}; got {self.tiles!r}")
