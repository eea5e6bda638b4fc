"""LLMs that record another LLM, and that give a recording again."""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from sam3_agent.errors import InputError, LLMError
from sam3_agent.formats.files import plain
from sam3_agent.formats.reading import parse_json, read_text
from sam3_agent.formats.validation_error import first_error
from sam3_agent.llm.base import LLM, Message, Reply, Stop, ToolCall, WrappedLLM
from sam3_agent.llm.clock import RecordedClock, RunClock
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

RECORDING_VERSION = 1
MOST_NAME = 500
"""Characters of the name of an LLM, which may hold an address."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One line: to this request came this reply, or this error."""

    request: str
    reply: Reply | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Timed:
    """One line: the readings of the clock in a run, in order; seconds."""

    run: str
    readings: tuple[float, ...]


def request_hash(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """SHA-256 over all that an LLM is given: words, calls, results, the pixels of pictures as sent, tool schemas."""
    asked = {
        "messages": [_message_json(message) for message in messages],
        "tools": [[tool.name, tool.description, tool.json_schema] for tool in tools],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


class RecordingWriter:
    """Appends to a recording; every line is on its way to the disk before the run goes on."""

    def __init__(self, path: str | Path, name: str) -> None:
        """Begin a new recording of the LLM `name`.

        Raises:
            InputError: the file exists already, or cannot be written.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("x", encoding="utf-8") as file:
                file.write(json.dumps({"tape": RECORDING_VERSION, "llm": name}) + "\n")
        except FileExistsError as error:
            raise InputError(f"{path} exists already; record into a new file") from error
        except OSError as error:
            raise InputError(f"cannot record into {path}: {error.strerror or error}") from error

    def write(self, line: Heard | Timed) -> None:
        """Add one line.

        Raises:
            InputError: the file cannot be written any more.
        """
        value = _heard_json(line) if isinstance(line, Heard) else {"run": line.run, "clock": list(line.readings)}
        try:
            with self._lock, self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(value) + "\n")
        except OSError as error:
            raise InputError(f"cannot record into {self.path}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording."""

    llm: str
    heard: tuple[Heard, ...]
    timed: tuple[Timed, ...]


def read_recording(path: str | Path) -> Recording:
    """Read a recording; a last line that was cut off is left out, as after a crash.

    Raises:
        InputError: the file is missing or no recording; the message names the line.
    """
    try:
        lines = read_text(Path(path)).rstrip("\n").split("\n")
    except InputError as error:
        raise InputError(f"cannot read the recording {path}: {error}") from error
    values: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(dict(parse_json(line, path, finite=True)))
        except (InputError, TypeError, ValueError) as error:
            if number == len(lines) > 1:
                break
            raise InputError(f"{path}, line {number}: no line of a recording") from error
    if not values or values[0].get("tape") != RECORDING_VERSION:
        raise InputError(f"{path} is no recording of version {RECORDING_VERSION}; make one with --record")
    heard: list[Heard] = []
    timed: list[Timed] = []
    for number, value in enumerate(values[1:], 2):
        try:
            if "request" in value:
                heard.append(_heard_of(_HeardLine.model_validate(value)))
            elif "run" in value:
                line = _TimedLine.model_validate(value)
                timed.append(Timed(line.run, line.clock))
        except (pydantic.ValidationError, ValueError) as error:
            told = first_error(error) if isinstance(error, pydantic.ValidationError) else error
            raise InputError(f"{path}, line {number}: no line of a recording: {told}") from error
    return Recording(_name_of(path, values[0]), tuple(heard), tuple(timed))


def _name_of(path: str | Path, head: dict[str, Any]) -> str:
    name = head.get("llm")
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME:
        raise InputError(f"{path}, line 1: the head of the recording names no LLM")
    return name


def _message_json(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text,
        "pictures": [_picture_hash(picture) for picture in message.pictures],
        "calls": [[call.id, call.name, call.arguments, call.problem] for call in message.calls],
        "results": [
            [r.call_id, r.name, r.text, r.is_error, [_picture_hash(picture) for picture in r.pictures]]
            for r in message.results
        ],
        "raw": message.raw,
    }


def _picture_hash(picture: Picture) -> str:
    return hashlib.sha256(jpeg(picture) + picture.caption.encode()).hexdigest()


def _heard_json(line: Heard) -> dict[str, Any]:
    if line.reply is None:
        return {"request": line.request, "error": line.error}
    reply = line.reply
    said = {
        "text": reply.message.text,
        "calls": [
            {"id": c.id, "name": c.name, "arguments": c.arguments, "problem": c.problem} for c in reply.message.calls
        ],
        "raw": list(reply.message.raw) if reply.message.raw is not None else None,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "cached_tokens": reply.cached_tokens,
        "usd": reply.usd,
        "stop": reply.stop,
        "thoughts": reply.thoughts,
        "note": reply.note,
        "faults": list(reply.faults),
    }
    return {"request": line.request, "reply": plain(said)}


_Count = Annotated[int, Field(ge=0, le=10**9)]
"""Tokens of one reply; no context window has more than some millions."""


class _Line(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(allow_inf_nan=False, strict=True)


class _CallLine(_Line):
    id: str
    name: str
    arguments: dict[str, Any]
    problem: str


class _ReplyLine(_Line):
    text: str
    calls: list[_CallLine]
    raw: list[dict[str, Any]] | None
    input_tokens: _Count
    output_tokens: _Count
    cached_tokens: _Count
    usd: Annotated[float, Field(ge=0)]
    stop: Stop
    thoughts: str
    note: str
    faults: list[str]


class _HeardLine(_Line):
    request: str
    reply: _ReplyLine | None = None
    error: str = ""


class _TimedLine(_Line):
    run: str
    clock: Annotated[tuple[float, ...], Field(strict=False)]


def _heard_of(line: _HeardLine) -> Heard:
    said = line.reply
    if said is None:
        return Heard(line.request, None, line.error)
    calls = tuple(ToolCall(c.id, c.name, c.arguments, c.problem) for c in said.calls)
    message = Message("assistant", said.text, calls=calls, raw=tuple(said.raw) if said.raw is not None else None)
    others = said.model_dump(exclude={"text", "calls", "raw", "faults"})
    return Heard(line.request, Reply(message, **others, faults=tuple(said.faults)))


class RecordingLLM(WrappedLLM):
    """Passes everything on to another LLM, and writes down what came back and what time it was."""

    def __init__(self, llm: LLM, path: str | Path) -> None:
        """Begin a new recording at `path`.

        Raises:
            InputError: the file exists already, or cannot be written.
        """
        super().__init__(llm)
        self._recording = RecordingWriter(path, llm.name)

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The recorded LLM's next message.

        Raises:
            LLMError: the recorded LLM's, which is on the recording too.
            InputError: the recording cannot be written any more.
        """
        asked = request_hash(messages, tools)
        try:
            reply = self._llm.reply(messages, tools)
        except LLMError as error:
            self._recording.write(Heard(asked, None, str(error)))
            raise
        self._recording.write(Heard(asked, reply))
        return reply

    def start_clock(self, run: str) -> RunClock:
        """The machine's clock, its readings written down when the run is over."""
        return _WrittenClock(self._recording, run)


class _WrittenClock(RunClock):
    def __init__(self, recording: RecordingWriter, run: str) -> None:
        super().__init__()
        self._recording = recording
        self._run = run

    def stop(self) -> None:
        """Write the readings."""
        self._recording.write(Timed(self._run, tuple(self.readings)))


class ReplayLLM:
    """Gives a recording again, reply by reply, by the hash of the request: no key, no network, the same trace.

    It goes by the name of the LLM that was recorded. A request that is on the recording several times gets its replies
    in their order, then the last one again.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the recording.

        Raises:
            InputError: it is missing, or no recording.
        """
        recording = read_recording(path)
        self._path = path
        self._name = recording.llm
        self._lock = threading.Lock()
        self._replies: dict[str, deque[Heard]] = {}
        for heard in recording.heard:
            self._replies.setdefault(heard.request, deque()).append(heard)
        self._clocks: dict[str, deque[Timed]] = {}
        for timed in recording.timed:
            self._clocks.setdefault(timed.run, deque()).append(timed)

    @property
    def name(self) -> str:
        """The recorded LLM's."""
        return self._name

    @property
    def sees(self) -> bool:
        """Every recorded LLM may have been a judge; the rules never are."""
        return self._name != "rules"

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Return the recorded reply to this request.

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
