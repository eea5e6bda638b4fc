"""Stand-ins for the APIs that host programs ask for their model: a script in place of the model, on this machine.

The script opens a picture, segments a concept and names the masks. What it needs for the next step (the image id, the
mask ids) it takes from what the host sent back to the model, so it only ends well where the host passed that on.
"""

import json
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Host = Literal["claude", "gemini"]

_MASK = re.compile(r"\bm\d+\b(?!-)")
_SCORE = re.compile(r"\bscore\W{1,3}(0\.\d+|1(?:\.0+)?)\b")
_IMAGE = re.compile(r"\bimg\d+\b")


@dataclass(slots=True)
class Received:
    """Return the results of its tool calls that the model was given."""

    texts: list[str] = field(default_factory=list[str])
    """One for each result, in order."""
    pictures: list[int] = field(default_factory=list[int])
    """Characters of base64 of each picture."""

    @property
    def masks(self) -> list[str]:
        """Mask ids of the last result, each once."""
        return list(dict.fromkeys(_MASK.findall(self.texts[-1]))) if self.texts else []

    @property
    def scores(self) -> list[float]:
        """Scores of the last result."""
        return [float(number) for number in _SCORE.findall(self.texts[-1])] if self.texts else []


@dataclass(slots=True)
class Script:
    """The steps, and every request that the host made."""

    picture: str
    concept: str
    prefix: str
    """Before the name of each tool."""
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    received: Received = field(default_factory=Received)

    def step(self, received: Received) -> tuple[str, dict[str, Any]] | str:
        """The next call of a tool, or the last words."""
        if len(received.texts) >= len(self.received.texts):
            self.received = received
        if not received.texts:
            return f"{self.prefix}open_image", {"source": self.picture}
        if len(received.texts) == 1:
            found = _IMAGE.search(received.texts[0])
            arguments = {"image_id": found[0] if found else "?", "concepts": [self.concept]}
            return f"{self.prefix}segment_concepts", arguments
        return f"The masks are {', '.join(received.masks) or 'unknown to me'}."


@contextmanager
def standing_in(host: Host, script: Script) -> Iterator[str]:
    """Serve the API of this host's model meanwhile; gives its address."""
    handler = type("Handler", (_Claude if host == "claude" else _Gemini,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Api(BaseHTTPRequestHandler):
    script: Script
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = json.loads(body) if body else {}
        self.script.requests.append({"path": self.path, "body": request})
        self.answer(request)

    def do_GET(self) -> None:
        self.reply({})

    do_HEAD = do_GET

    def answer(self, request: dict[str, Any]) -> None:
        """Write the answer to one request."""
        raise NotImplementedError

    def reply(self, document: dict[str, Any]) -> None:
        """One JSON document."""
        self._write("application/json", json.dumps(document).encode())

    def stream(self, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Server-sent events; a name that is empty is left out."""
        lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events]
        self._write("text/event-stream", "".join(lines).encode())

    def _write(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the requests are kept instead."""


class _Claude(_Api):
    """The Messages API."""

    def answer(self, request: dict[str, Any]) -> None:
        if "count_tokens" in self.path:
            return self.reply({"input_tokens": 100})
        names = {tool.get("name") for tool in request.get("tools", [])}
        has_ours = f"{self.script.prefix}open_image" in names
        block = self._block(self.script.step(_received_by_claude(request["messages"])) if has_ours else "ok")
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request.get("model", "stand-in")}
        ending = {"stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn", "stop_sequence": None}
        usage = {"input_tokens": 100, "output_tokens": 10}
        if not request.get("stream"):
            return self.reply(message | ending | {"content": [block], "usage": usage})
        return self.stream(_claude_events(message, block, ending, usage))

    def _block(self, step: tuple[str, dict[str, Any]] | str) -> dict[str, Any]:
        if isinstance(step, str):
            return {"type": "text", "text": step}
        return {"type": "tool_use", "id": f"toolu_{len(self.script.requests)}", "name": step[0], "input": step[1]}


def _claude_events(
    message: dict[str, Any], block: dict[str, Any], ending: dict[str, Any], usage: dict[str, int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = message | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    if block["type"] == "text":
        empty, delta = {"text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty, delta = {"input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": whole},
        {"type": "content_block_start", "index": 0, "content_block": block | empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 10}},
        {"type": "message_stop"},
    ]
    for event in events:
        yield event["type"], event


def _received_by_claude(messages: list[dict[str, Any]]) -> Received:
    received = Received()
    blocks = [b for m in messages if isinstance(m["content"], list) for b in m["content"]]
    for block in blocks:
        if block["type"] != "tool_result":
            continue
        parts = block["content"] if isinstance(block["content"], list) else [{"type": "text", "text": block["content"]}]
        received.texts.append("\n".join(part["text"] for part in parts if part["type"] == "text"))
        received.pictures += [len(part["source"]["data"]) for part in parts if part["type"] == "image"]
    return received


class _Gemini(_Api):
    """The generateContent API."""

    def answer(self, request: dict[str, Any]) -> None:
        if "countTokens" in self.path:
            return self.reply({"totalTokens": 100})
        names = {d["name"] for tool in request.get("tools", []) for d in tool.get("functionDeclarations", [])}
        has_ours = f"{self.script.prefix}open_image" in names
        step = self.script.step(_received_by_gemini(request["contents"])) if has_ours else "ok"
        part = {"text": step} if isinstance(step, str) else {"functionCall": {"name": step[0], "args": step[1]}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110}
        document = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "stand-in"}
        return self.stream([("", document)]) if "stream" in self.path else self.reply(document)


def _received_by_gemini(contents: list[dict[str, Any]]) -> Received:
    received = Received()
    for part in (part for content in contents for part in content.get("parts", [])):
        if "functionResponse" in part:
            received.texts.append("\n".join(str(words) for words in part["functionResponse"]["response"].values()))
            parts = part["functionResponse"].get("parts", [])
        else:
            parts = [part]
        received.pictures += [len(p["inlineData"]["data"]) for p in parts if "inlineData" in p]
    return received
