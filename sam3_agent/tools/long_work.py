"""Work of a tool that may outlast a call: a program waits for it, a server runs it as a job."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Result = TypeVar("Result")


class Watch(Protocol):
    """Whoever waits for long work."""

    @property
    def wanted(self) -> bool:
        """False once nobody wants the result any more; the work then ends with what it has."""
        ...

    def note(self, done: int, total: int, words: str) -> None:
        """Be told after each step how far the work is; may refuse to have it go on.

        Raises:
            ToolError: it must not go on; what is done stays.
        """
        ...


class Unwatched:
    """Watch of a program that simply waits."""

    wanted = True

    def note(self, done: int, total: int, words: str) -> None:
        """Take no notice."""


UNWATCHED: Watch = Unwatched()


@dataclass(frozen=True, slots=True)
class LongWork(Generic[Result]):
    """Work that was checked and can begin."""

    what: str
    """A line for a list of jobs."""
    run: Callable[[Watch], Result]
