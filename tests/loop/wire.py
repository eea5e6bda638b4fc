"""A local server that speaks Anthropic's Messages wire format and checks every request against the SDK's own types."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

_REQUESTS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)


@dataclass(frozen=True)
class Sent:
    """One HTTP response: a message, or an error with its status."""

    body: Mapping[str, Any] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class Api:
    """The server's address, the script it answers from, what it was asked."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    problems: list[str] = field(default_factory=list[str])


def message(*content: Mapping[str, Any], stop: str | None = None, **more: Any) -> Sent:
    """An assistant message of 1000 fresh, 200 written, 3000 cached and 50 output tokens."""
    called = any(block["type"] == "tool_use" for block in content)
    usage = {
        "input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 50,
    }
    body: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": list(content),
        "stop_reason": stop or ("tool_use" if called else "end_turn"),
        "stop_sequence": None,
        "usage": usage,
    }
    return Sent({**body, **more})


def use(name: str, arguments: Any, call_id: str = "toolu_1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def error(status: int, kind: str, words: str, **headers: str) -> Sent:
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    return Sent(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def api(*script: Sent) -> Iterator[Api]:
    """Serve the script, one entry a request; a request that the SDK's types refuse is a problem."""
    left = list(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            served.requests.append(body)
            served.headers.append({name.lower(): value for name, value in self.headers.items()})
            served.problems.extend(_problems(self.path, body))
            sent = left.pop(0) if left else error(500, "api_error", "the script is used up", x_should_retry="false")
            data = sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode()
            self.send_response(sent.status)
            for name, value in {"content-type": "application/json", **sent.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Api(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _problems(path: str, body: dict[str, Any]) -> list[str]:
    """What the real API would refuse in a request."""
    found: list[str] = [] if path == "/v1/messages" else [f"path {path}"]
    try:
        _REQUESTS.validate_python(body)
    except ValueError as wrong:
        found.append(str(wrong))
    turns = body["messages"]
    if turns[0]["role"] != "user":
        found.append("the first message must be the user's")
    for before, after in zip(turns, [*turns[1:], None], strict=True):
        calls = [block["id"] for block in before["content"] if block["type"] == "tool_use"]
        answered = [
            block["tool_use_id"] for block in (after or {}).get("content", []) if block["type"] == "tool_result"
        ]
        if calls != answered:
            found.append(f"calls {calls} were answered by {answered}")
        if any(block["type"] == "text" and not block["text"].strip() for block in before["content"]):
            found.append("text content blocks must be non-empty")
    marks = json.dumps(body).count('"cache_control"')
    return [*found, *([f"{marks} cache marks, at most 4"] if marks > 4 else [])]
