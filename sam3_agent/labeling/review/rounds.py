"""Rounds behind the review page: teach and label anew in the background, while people go on."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sam3_agent.errors import Cancelled, InputError, Sam3AgentError
from sam3_agent.labeling.relabel.round import RoundOptions, RoundReport, run_round
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.training.teaching.progress import TeachProgress

STOP_SECONDS = 60.0
"""Longest wait for a round to end: a step of a full-size model on a CPU takes some ten seconds."""


@dataclass(slots=True)
class RoundState:
    """Progress of a round, and what came of it."""

    running: bool = False
    doing: str = ""
    done: int = 0
    of: int = 0
    seconds_left: float | None = None
    says: list[str] = field(default_factory=list[str])
    """Outcome for people, when it has ended."""
    error: str = ""
    stopped: bool = False


class Rounds:
    """Rounds of one run, one at a time; a model of their own is loaded for the first. Thread-safe."""

    def __init__(self, journal: Journal, load: Callable[[], Segmenter], options: RoundOptions | None = None) -> None:
        self._journal = journal
        self._load = load
        self._options = options or RoundOptions()
        self._segmenter: Segmenter | None = None
        self._state = RoundState()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def by_name(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """List the calls of the page: name in the address -> handler."""
        return {"round": self.start, "round_state": self.state, "round_stop": self.stop}

    def start(self, given: dict[str, Any]) -> Any:
        """Begin a round, or go on with the one that was stopped.

        Raises:
            InputError: one is running.
        """
        with self._lock:
            if self._state.running:
                raise InputError("a round is running already; wait for it, or stop it")
            self._stopping.clear()
            self._state = RoundState(running=True, doing="loading the model")
            self._thread = threading.Thread(target=self._run, args=(self._state,), daemon=True)
            self._thread.start()
        return {"started": True}

    def state(self, given: dict[str, Any]) -> Any:
        """Give the progress of the round that is running, or what came of the last one."""
        return asdict(self._state)

    def stop(self, given: dict[str, Any]) -> Any:
        """End the round after the step or image it is at; what is done is kept."""
        self._stopping.set()
        return {"stopping": self._state.running}

    def close(self) -> None:
        """Stop and wait for the end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self, state: RoundState) -> None:
        def tell(now: TeachProgress) -> None:
            state.doing, state.done, state.of, state.seconds_left = now.doing, now.done, now.of, now.seconds_left
            if self._stopping.is_set():
                raise Cancelled("the round was stopped")

        try:
            self._segmenter = self._segmenter or self._load()
            state.says = said(run_round(self._journal, self._segmenter, self._options, tell))
        except Cancelled:
            state.stopped = True
            state.says = ["stopped; the next round goes on from here"]
        except Sam3AgentError as error:
            state.error = str(error)
        finally:
            state.running = False


def said(report: RoundReport) -> list[str]:
    """Say in a line a class what a round came to."""
    lines = [f"{each.class_name}: {each.says}" for each in report.lessons]
    if report.resumed:
        lines.append("went on with the round that was stopped; later decisions are for the next one")
    if not report.lessons and not report.resumed:
        lines.append("nobody decided about a label yet")
    lines.append(f"{report.relabeled} images labeled anew{_changes(report)}")
    return lines


def _changes(report: RoundReport) -> str:
    parts: Sequence[str] = [f"{name} {each.found} found, {each.lost} lost" for name, each in report.changes.items()]
    return f" ({'; '.join(parts)})" if parts else ""
