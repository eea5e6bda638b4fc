"""The server under all three: follows a script, or a function; drops, delays and cuts what it is told to."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Sent:
    """One HTTP response: a message, or an error with its status."""

    body: Mapping[str, Any] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    cut: float | None = None
    """The connection is dropped after this share of the body; 0 sends nothing at all."""


class Dialect(Protocol):
    """What one API's server knows."""

    path: str

    def problems(self, body: dict[str, Any]) -> list[str]:
        """What the real API would refuse in a request."""
        ...

    def events(self, body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any] | str]]:
        """A message as (event name, data) of a stream."""
        ...

    def used_up(self) -> Sent:
        """What is said when the script is over: an error that is not to be tried again."""
        ...


@dataclass
class Api:
    """The server's address, what it was asked."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    problems: list[str] = field(default_factory=list[str])


Answering = Callable[[dict[str, Any]], Sent]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        served: _Quiet = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        sent = served.heard(self.path, body, {name.lower(): value for name, value in self.headers.items()})
        time.sleep(sent.delay)
        streamed = bool(body.get("stream")) and sent.status == 200
        data = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
        kind = "application/json"
        if streamed and not isinstance(sent.body, bytes):
            data, kind = _sse(served.dialect.events(sent.body)), "text/event-stream"
        self.close_connection = sent.cut is not None
        if sent.cut != 0:
            self._send(sent, data if sent.cut is None else data[: int(len(data) * sent.cut)], len(data), kind)

    def _send(self, sent: Sent, data: bytes, length: int, kind: str) -> None:
        self.send_response(sent.status)
        for name, value in {"content-type": kind, **sent.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(length))
        try:
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client has given up, as it should after a timeout
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, dialect: Dialect, script: list[Sent], answer: Answering | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dialect = dialect
        self.api = Api(f"http://127.0.0.1:{self.server_address[1]}")
        self._script = script
        self._answer = answer
        self._lock = threading.Lock()

    def heard(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Sent:
        """Note a request, and what to answer."""
        problems = [] if path.endswith(self.dialect.path) else [f"path {path}"]
        with self._lock:
            problems += self.dialect.problems(body)  # pydantic's lazy iterators bear one thread at a time
            self.api.requests.append(body)
            self.api.headers.append(headers)
            self.api.problems.extend(problems)
            if self._answer is None:
                return self._script.pop(0) if self._script else self.dialect.used_up()
        return self._answer(body)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


@contextmanager
def serve(dialect: Dialect, *script: Sent, answer: Answering | None = None) -> Iterator[Api]:
    """Serve the script, one entry a request, or what `answer` makes of each; bad requests are problems."""
    server = _Quiet(dialect, list(script), answer)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server.api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def misfits(requests: TypeAdapter[Any], body: dict[str, Any]) -> list[str]:
    """What the SDK's own types say against a request."""
    try:
        drain(requests.validate_python(body))
    except ValueError as wrong:
        return [str(wrong)[:2000]]
    return []


def drain(value: Any) -> Any:
    """Walk through a validated request: pydantic checks the items of an Iterable only when they are taken."""
    if isinstance(value, Mapping):
        for item in value.values():
            drain(item)
    elif not isinstance(value, str | bytes | int | float | bool | None):
        for item in value:
            drain(item)
    return value


def _sse(events: list[tuple[str, Mapping[str, Any] | str]]) -> bytes:
    lines = [
        (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        for name, data in events
    ]
    return "".join(lines).encode()
