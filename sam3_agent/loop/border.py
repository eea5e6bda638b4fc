"""The one border behind which a run survives whatever a brain or a tool does."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sam3_agent.errors import Cancelled, LLMError, ModelUnavailable, ToolError

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong; `repairable` when the model can do something about it and should be told."""

    message: str
    repairable: bool = False


@dataclass(frozen=True, slots=True)
class Success(Generic[T]):
    """What came back."""

    value: T


def attempt(act: Callable[[], T]) -> Success[T] | Failure:
    """Call `act` and return what it gives or how it failed; only KeyboardInterrupt and its kin pass through.

    A missing or exhausted eye (ModelUnavailable) is not repairable: a model that is told of it could only answer
    "no match", which would be a lie.
    """
    try:
        return Success(act())
    except ToolError as error:
        return Failure(str(error), repairable=True)
    except (Cancelled, LLMError, ModelUnavailable) as error:
        return Failure(str(error))
    except Exception as error:  # the documented border: a bug in one tool or brain must not end a run
        logger.warning("internal error in a run", exc_info=True)
        return Failure(f"internal error: {type(error).__name__}: {error}", repairable=True)
