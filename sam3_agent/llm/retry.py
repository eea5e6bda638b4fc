"""Retry of transient provider errors."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Generic, TypeVar, cast

from sam3_agent.errors import LLMError
from sam3_agent.llm.deadline import pause, seconds_left
from sam3_agent.llm.transport import Overdue, ReplyTooLarge, within_deadline

T = TypeVar("T")

_PASSING = frozenset({408, 409, 425, 429})
"""HTTP statuses that pass, besides 500 and above (529 is an overloaded server)."""
_PASSING_KINDS = frozenset(
    {"overloaded_error", "api_error", "timeout_error", "rate_limit_error", "server_error", "rate_limit_exceeded"}
)
"""Names that servers give such errors where a stream has begun and the status is 200 already."""
_FINAL_KINDS = frozenset({"insufficient_quota", "billing_error"})
"""Kinds of 429 that no waiting helps against."""
LONGEST_ASKED = 120.0
"""A server that asks for a longer pause in Retry-After is not waited for."""


class TransientError(Exception):
    """A failure that may be gone at the next attempt; `pause` is what the server asked for, in seconds."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class NoAnswerInTime(TransientError):
    """A server that took the request and has not answered; it may still be at work on it."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry policy of one reply; seconds."""

    timeout: float = 180.0
    """For the connection, and for each pause of a reply; the run's own deadline holds for the whole of it."""
    retries: int = 4
    repeat_late: bool = True
    """Whether a request that was not answered in time is sent again. A local server would then work on both."""
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, retry: int, asked: float | None) -> float:
        """Before retry number `retry` (from 0): what the server asked for, else doubling, less up to a quarter."""
        if asked is not None and asked >= 0:
            return asked
        return min(self.first_pause * 2.0**retry, self.longest_pause) * (1 - 0.25 * random.random())


@dataclass(frozen=True, slots=True)
class Attempted(Generic[T]):
    """Value of the attempt that worked, and the faults of those before."""

    value: T
    faults: tuple[str, ...]


def retry(attempt: Callable[[float], T], policy: RetryPolicy) -> Attempted[T]:
    """Call `attempt(timeout)` until it gives something; neither attempts nor pauses go past the run's deadline.

    Raises:
        LLMError: it failed once too often, the server asks for too long a pause, or the deadline is near; whatever
            else `attempt` raises passes through.
        Stopped: the run was told to stop.
    """
    faults: list[str] = []
    while True:
        left = seconds_left()
        if left is not None and left <= 0:
            raise LLMError(f"out of time{_after(faults)}")
        try:
            timeout = policy.timeout if left is None else min(policy.timeout, left)
            return Attempted(within_deadline(partial(attempt, timeout)), tuple(faults))
        except Overdue:
            raise LLMError(f"out of time{_after(faults)}") from None
        except NoAnswerInTime as fault:
            if not policy.repeat_late:
                raise LLMError(f"{fault}; give it more time by --llm-timeout") from fault
            faults.append(str(fault))
            wait = policy.pause(len(faults) - 1, None)
        except TransientError as fault:
            faults.append(str(fault))
            wait = policy.pause(len(faults) - 1, fault.pause)
        if len(faults) > policy.retries:
            raise LLMError(_told(faults))
        if wait > LONGEST_ASKED:
            raise LLMError(f"{faults[-1]}; it asks to wait {wait:.0f} s, which is too long")
        left = seconds_left()
        if left is not None and wait >= left:
            raise LLMError(f"out of time{_after(faults)}")
        pause(wait)


def map_sdk_errors(sdk: Any, base_url: str, act: Callable[[], T]) -> T:
    """Call an SDK (anthropic, openai: their errors have the same names) and sort what it raises.

    Raises:
        TransientError: the same request may work in a moment.
        LLMError: it will not.
    """
    import httpx2

    try:
        return act()
    except (TransientError, LLMError, Overdue):
        raise
    except ReplyTooLarge as error:
        raise LLMError(str(error)) from error
    except sdk.APIStatusError as error:
        raise _status_error(error) from error
    except (sdk.APIConnectionError, httpx2.TransportError) as error:  # the latter escapes while a reply streams
        if isinstance(error.__cause__, Overdue):
            raise Overdue from error
        if isinstance(error, (sdk.APITimeoutError, httpx2.ReadTimeout)):
            raise NoAnswerInTime(f"{base_url} does not answer in time") from error
        why = error.__cause__ or error
        said = one_line(str(why)) or type(why).__name__
        raise TransientError(f"cannot reach {base_url}: {said}") from error
    except sdk.APIResponseValidationError as error:
        raise TransientError(f"the answer is no message: {one_line(str(error))}") from error
    except sdk.APIError as error:  # an error in the middle of a stream
        kind = str(getattr(error, "type", None) or getattr(error, "code", None) or "")
        raise _sorted(one_line(str(error)), kind in _PASSING_KINDS or not kind) from error
    except (_base_error(sdk), RecursionError, OverflowError) as error:  # the latter: a body nested or counted absurdly
        raise LLMError(one_line(str(error))) from error
    except ValueError as error:  # a body or an event that is no JSON
        raise TransientError(f"the answer is no message: {one_line(str(error))}") from error


def one_line(text: str, most: int = 300) -> str:
    """The text on one line, cut to `most` characters."""
    return " ".join(text.split())[:most]


def _status_error(error: Any) -> Exception:
    body = error.body
    inner = cast(dict[str, Any], body).get("error", body) if isinstance(body, dict) else body
    known = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
    kinds = {str(known.get("type") or ""), str(known.get("code") or "")}
    said = one_line(str(known.get("message") or "") or str(error.message))
    streamed = error.status_code < 400
    message = said if streamed else f"HTTP {error.status_code}: {said}"
    headers: Mapping[str, str] = error.response.headers
    passing = error.status_code in _PASSING or error.status_code >= 500 or (streamed and bool(kinds & _PASSING_KINDS))
    asked = headers.get("x-should-retry")
    if asked in ("true", "false"):
        passing = asked == "true"
    return _sorted(message, passing and not kinds & _FINAL_KINDS, retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from `retry-after-ms` or `retry-after` (seconds or a date); None if not."""
    for header, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        given = headers.get(header)
        if given is None:
            continue
        try:
            seconds = float(given) / divisor
        except ValueError:
            try:
                seconds = parsedate_to_datetime(given).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _sorted(message: str, passing: bool, pause: float | None = None) -> Exception:
    return TransientError(message, pause) if passing else LLMError(message)


def _base_error(sdk: Any) -> type[Exception]:
    """Return the class that all errors of an SDK have in common."""
    return sdk.AnthropicError if hasattr(sdk, "AnthropicError") else sdk.OpenAIError


def _told(faults: list[str]) -> str:
    times = f" ({len(faults)} attempts)" if len(faults) > 1 else ""
    return f"{faults[-1]}{times}"


def _after(faults: list[str]) -> str:
    return f" after {_told(faults)}" if faults else ""
