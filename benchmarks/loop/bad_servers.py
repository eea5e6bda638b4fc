"""Budgets against servers that behave badly: `python -m benchmarks.loop.bad_servers [--max-seconds 10]`.

Each kind of server is asked by a process of its own, with a limit of seconds. A row passes when the run has ended two
seconds after the limit, with a trace, and the process grew by at most 200 MiB.
"""

import argparse
import json
import multiprocessing
import resource
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sam3_agent.llm.chat_completions import ChatLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from tests.fixtures_workspace import make_workspace

GRACE_SECONDS = 2.0
MOST_GROWTH_MIB = 200
Write = Callable[[bytes], object]
Behavior = Callable[[Write], None]


def completion(**message: Any) -> bytes:
    """Write a whole answer whose message has these fields."""
    usage = message.pop("usage", {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11})
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(body).encode()


def call(name: str, arguments: str, number: int = 0) -> dict[str, Any]:
    """Write one tool call."""
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(body: bytes) -> Behavior:
    """Send a body as it should be sent."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    def send(write: Write) -> None:
        write(head + body)

    return send


def silence(write: Write) -> None:
    """Send nothing."""
    time.sleep(3600)


def drip_head(write: Write) -> None:
    """Send a header line every half second."""
    write(b"HTTP/1.1 200 OK\r\n")
    for number in range(7200):
        write(f"x-{number}: y\r\n".encode())
        time.sleep(0.5)


def drip_body(write: Write) -> None:
    """Send a byte of a body every half second."""
    write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(7200):
        write(b" ")
        time.sleep(0.5)


def endless_body(write: Write) -> None:
    """Send a body that has no end, as fast as it is taken."""
    write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while True:
        write(chunk)


def redirect(write: Write) -> None:
    """Send the client to the same place again."""
    write(b"HTTP/1.1 307 Again\r\nlocation: /v1/chat/completions\r\ncontent-length: 0\r\n\r\n")


LOOK = '{"image_id": "img1"}'
POINTS = json.dumps({"image_id": "img1", "points": [[1, 1]] * 100_000, "labels": [1] * 100_000})
KINDS: dict[str, Behavior] = {
    "no answer": silence,
    "headers that drip": drip_head,
    "a body that drips": drip_body,
    "a body without an end": endless_body,
    "redirects in a circle": redirect,
    "1,000 calls in a turn": answer(completion(tool_calls=[call("look", LOOK, n) for n in range(1000)])),
    "100,000 points": answer(completion(tool_calls=[call("segment_at", POINTS)])),
    "arguments nested 100,000 deep": answer(completion(tool_calls=[call("look", "[" * 100_000)])),
    "a body nested 100,000 deep": answer(b"[" * 100_000),
    "usage of 1e400": answer(completion(content="?").replace(b'"prompt_tokens": 10', b'"prompt_tokens": 1e400')),
    "usage below zero": answer(completion(content="?", usage={"prompt_tokens": -(10**9), "completion_tokens": -1})),
    "20 MB of text": answer(completion(content="x" * 20_000_000)),
    "lone surrogates": answer(completion(content="\ud800", tool_calls=[call("look", '{"image_id": "\\ud800"}')])),
}


@contextmanager
def serve(behavior: Behavior) -> Iterator[str]:
    """Serve a behavior on this machine; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.close_connection = True
            try:
                behavior(self.wfile.write)
            except OSError:  # the client has had enough
                return

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Stay quiet about clients that are gone."""

    server: socketserver.BaseServer = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def ask(kind: str, seconds: float) -> dict[str, Any]:
    """Ask one kind of server; returns outcome, seconds and growth in MiB."""
    workspace = make_workspace()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(KINDS[kind]) as url:
        llm = ChatLLM("m", url)
        began = time.monotonic()
        given = Agent(workspace, llm, budget=Budget(max_seconds=seconds)).ask("img1", "the circles")
        took = time.monotonic() - began
    json.dumps([step.data for step in given.trace.steps]).encode()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    whole = given.trace.steps[-1].kind == "end"
    row = {"kind": kind, "outcome": given.outcome, "reason": given.reason[:100], "seconds": round(took, 2)}
    passes = whole and took <= seconds + GRACE_SECONDS and grown <= MOST_GROWTH_MIB
    return {**row, "grown_mib": round(grown), "trace": whole, "passes": passes}


def main() -> int:
    """Ask every kind of server; print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-seconds", type=float, default=10.0)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    for kind in KINDS:
        with context.Pool(1) as pool:
            rows.append(pool.apply(ask, (kind, options.max_seconds)))
        print(json.dumps(rows[-1]))
    return 0 if all(row["passes"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
