"""Brains that record another brain, and that give a recording again."""

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import LLM, Message, Reply, WrappedLLM
from sam3_agent.llm.clock import RecordedClock, RunClock
from sam3_agent.loop.tape import Heard, TapeWriter, Timed, read_tape, request_hash
from sam3_agent.tools import ToolSpec


class RecordingLLM(WrappedLLM):
    """Passes everything on to another brain, and writes down what came back and what time it was."""

    def __init__(self, llm: LLM, path: str | Path) -> None:
        """Begin a new tape at `path`.

        Raises:
            InputError: the file exists already, or cannot be written.
        """
        super().__init__(llm)
        self._tape = TapeWriter(path, llm.name)

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The recorded brain's next message.

        Raises:
            LLMError: the recorded brain's, which is on the tape too.
            InputError: the tape cannot be written any more.
        """
        asked = request_hash(messages, tools)
        try:
            reply = self._llm.reply(messages, tools)
        except LLMError as error:
            self._tape.write(Heard(asked, None, str(error)))
            raise
        self._tape.write(Heard(asked, reply))
        return reply

    def start_clock(self, run: str) -> RunClock:
        """The machine's clock, its readings written down when the run is over."""
        return _WrittenClock(self._tape, run)


class _WrittenClock(RunClock):
    def __init__(self, tape: TapeWriter, run: str) -> None:
        super().__init__()
        self._tape = tape
        self._run = run

    def stop(self) -> None:
        """Write the readings."""
        self._tape.write(Timed(self._run, tuple(self.readings)))


class ReplayLLM:
    """Gives a recording again, reply by reply, by the hash of the request: no key, no network, the same trace.

    It goes by the name of the brain that was recorded. A request that is on the tape several times gets its replies
    in their order, then the last one again.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the tape.

        Raises:
            InputError: it is missing, or no tape.
        """
        tape = read_tape(path)
        self._path = path
        self._name = tape.llm
        self._lock = threading.Lock()
        self._replies: dict[str, deque[Heard]] = {}
        for heard in tape.heard:
            self._replies.setdefault(heard.request, deque()).append(heard)
        self._clocks: dict[str, deque[Timed]] = {}
        for timed in tape.timed:
            self._clocks.setdefault(timed.run, deque()).append(timed)

    @property
    def name(self) -> str:
        """The recorded brain's."""
        return self._name

    @property
    def sees(self) -> bool:
        """Every recorded brain may have been a judge; the rules never are."""
        return self._name != "rules"

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """What came back when just this was asked.

        Raises:
            LLMError: it was not asked, or came back as an error.
        """
        asked = request_hash(messages, tools)
        with self._lock:
            known = self._replies.get(asked)
            heard = None if known is None else known.popleft() if len(known) > 1 else known[0]
        if heard is None:
            turn = sum(message.role == "assistant" for message in messages) + 1
            raise LLMError(
                f"the recording {self._path} has no reply {turn} to this: picture, query, prompts, tools, model or "
                "options differ from those of the recorded run"
            )
        if heard.reply is None:
            raise LLMError(heard.error)
        return heard.reply

    def start_clock(self, run: str) -> RunClock:
        """The recorded readings of this run's clock."""
        with self._lock:
            known = self._clocks.get(run)
            timed = None if known is None else known.popleft() if len(known) > 1 else known[0]
        return RunClock() if timed is None else RecordedClock(timed.readings)
