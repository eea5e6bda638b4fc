"""Progress of a teaching, told after each image that is read and each step."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TeachProgress:
    """Progress of a teaching."""

    doing: str
    done: int
    of: int
    seconds_left: float | None = None
    """None while it is not known."""
