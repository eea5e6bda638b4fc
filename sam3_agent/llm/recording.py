"""LLMs that record another LLM, and that give a recording again."""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError, LLMError
from sam3_agent.formats.files import plain
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall, WrappedLLM
from sam3_agent.llm.clock import RecordedClock, RunClock
from sam3_agent.llm.image_encoding import jpeg
from sam3_agent.render import Picture
from sam3_agent.tools import ToolSpec

RECORDING_VERSION = 1


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
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the recording {path}: {error}") from error
    values: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(dict(json.loads(line)))
        except (TypeError, ValueError) as error:
            if number == len(lines) > 1:
                break
            raise InputError(f"{path}, line {number}: no line of a recording") from error
    if not values or values[0].get("tape") != RECORDING_VERSION:
        raise InputError(f"{path} is no recording of version {RECORDING_VERSION}; make one with --record")
    try:
        heard = tuple(_read_heard(value) for value in values[1:] if "request" in value)
        timed = tuple(Timed(value["run"], tuple(map(float, value["clock"]))) for value in values[1:] if "run" in value)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a line of the recording lacks {error}") from error
    return Recording(str(values[0]["llm"]), heard, timed)


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


def _read_heard(value: dict[str, Any]) -> Heard:
    if "reply" not in value:
        return Heard(value["request"], None, str(value["error"]))
    said: dict[str, Any] = dict(value["reply"])
    faults: Any = tuple(said.pop("faults"))
    calls = tuple(ToolCall(c["id"], c["name"], c["arguments"], c["problem"]) for c in said.pop("calls"))
    raw = said.pop("raw")
    message = Message("assistant", said.pop("text"), calls=calls, raw=tuple(raw) if raw is not None else None)
    return Heard(value["request"], Reply(message, **said, faults=faults))


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
