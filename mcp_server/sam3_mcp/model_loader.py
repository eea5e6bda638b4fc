"""Loading of the model in the background, so that a host's handshake never waits for it."""

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from sam3_agent.errors import ModelUnavailable, Sam3AgentError

if TYPE_CHECKING:
    from sam3_agent.model.segmenter import Segmenter

logger = logging.getLogger(__name__)

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Called with progress, total (None: unknown) and a message; silent where the client asked for no progress."""

_POLL_SECONDS = 0.02
_REPORT_SECONDS = 1.0
NOTICE_SECONDS = 3.0
"""Waited for the model, from which on the result says so: most hosts show no progress."""


class Loading:
    """A model that one background thread loads, once; any number of calls may wait for it."""

    def __init__(self, make: Callable[[], "Segmenter"], what: str, notice_seconds: float = NOTICE_SECONDS) -> None:
        """`make` does the slow work (importing torch included); `what` names the model in messages."""
        self._notice_seconds = notice_seconds
        self._make = make
        self.what = what
        self._done = threading.Event()
        self._segmenter: Segmenter | None = None
        self._failure = ""
        self._start_lock = threading.Lock()
        self._started = False

    @property
    def state(self) -> str:
        """One of "loading", "ready" and "failed"."""
        if not self._done.is_set():
            return "loading"
        return "ready" if self._segmenter is not None else "failed"

    def start(self) -> None:
        """Begin to load; later calls do nothing."""
        with self._start_lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run, name="load-model", daemon=True).start()

    async def segmenter(self, report: Report) -> "Segmenter":
        """Wait for the model, reporting once a second how long it has taken.

        Raises:
            ModelUnavailable: the model could not be loaded; every call says why.
        """
        if not self._done.is_set():
            self.start()
        began = reported = time.monotonic()
        while not self._done.is_set():
            await anyio.sleep(_POLL_SECONDS)
            now = time.monotonic()
            if now - reported >= _REPORT_SECONDS:
                reported = now
                await report(round(now - began, 1), None, f"loading the model {self.what} ({now - began:.0f} s)")
        if self._segmenter is None:
            raise ModelUnavailable(f"the model {self.what} is not available: {self._failure}")
        return self._segmenter

    def notice(self, waited: float) -> str:
        """Tell a caller that waited so many seconds for the model why; "" where that is not worth a word."""
        if waited < self._notice_seconds:
            return ""
        return f"note: {waited:.0f} s of this call were the model {self.what} warming up; further calls do not wait"

    def _run(self) -> None:
        try:
            self._segmenter = self._make()
        except Sam3AgentError as error:
            self._failure = str(error)
        except Exception as error:  # error boundary: a thread has no caller to raise to
            logger.exception("loading the model %s failed", self.what)
            self._failure = f"internal error while loading ({type(error).__name__}); the server's log has the details"
        finally:
            self._done.set()
