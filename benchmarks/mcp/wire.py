"""JSON-RPC over a process's stdin and stdout, watched: what was asked, what came back."""

import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.process import resident_mib

_MOST_WAITING = 8
_FRESH_EVERY = 300
_LOADING_SECONDS = 600.0
_ENVELOPE = {"jsonrpc", "id", "method", "params"}
_INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}


class Wire:
    """Sends lines, gives each whole request an id of its own, and notes which are answered and how.

    "img1" and "m1" to "m3" in a call stand for the picture that is open now and masks on it. It is opened anew after
    every few hundred calls, and what else calls open is forgotten at once, so that memory has no reason to grow.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", picture: Path, patience: float) -> None:
        """Raised for a request that is not answered within `patience` seconds."""
        self._patience = patience
        self._process = process
        self._picture = picture
        self.waiting: dict[int, float] = {}
        self.outcomes: Counter[str] = Counter()
        self.tools_ok: Counter[str] = Counter()
        """Calls that went well, by tool."""
        self._tools: dict[int, str] = {}
        self.tracebacks = 0
        self._image = "img1"
        self._masks = ["m1", "m2", "m3"]
        self._sent = self._last = 0
        self._results: dict[int, dict[str, Any]] = {}
        self._change = threading.Condition()
        self._writing = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def open(self) -> None:
        """Shake hands and open the picture with some masks on it."""
        self._request("initialize", _INITIALIZE)
        self.settle()
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        self._ask("list_images", {}, patience=_LOADING_SECONDS)
        self._refresh()  # img1 itself, which calls may forget
        self._refresh()

    def send(self, line: bytes) -> None:
        """One line; a whole request with id 0 gets an id of its own, and is waited for when many are under way."""
        self._sent += 1
        if self._sent % _FRESH_EVERY == 0:
            self.settle()
            self._request("tools/call", {"name": "forget_image", "arguments": {"image_id": self._image}})
            self._refresh()
        request = _whole_request(line)
        if request is None:
            return self._write(line)
        method, params = request
        if method != "tools/call" or params.get("name") != "forget_image":
            params = json.loads(self._named(json.dumps(params)))
        self._request(method, params)
        return None

    def _named(self, text: str) -> str:
        for number, mask in enumerate(self._masks, 1):
            text = text.replace(f'"m{number}"', f'"{mask}"')
        return text.replace('"img1"', f'"{self._image}"')

    def _refresh(self) -> None:
        """Open the picture and find things on it."""
        self._image = self._ask("open_image", {"source": str(self._picture)})["image_id"]
        concepts = ["house", "star", "tree", "car", "cup"]
        found = self._ask("segment_concepts", {"image_id": self._image, "concepts": concepts, "threshold": 0})
        masks = [m["id"] for each in found["results"] for m in (*each["instances"], *each["near_misses"])]
        self._masks = (masks * 3)[:3]

    def _ask(self, name: str, arguments: dict[str, Any], patience: float = 0.0) -> dict[str, Any]:
        """The data of a call that must go well.

        Raises:
            RuntimeError: it was refused, or not answered in time; the message says which.
        """
        request = self._request("tools/call", {"name": name, "arguments": arguments}, keep=True)
        patience = patience or self._patience
        with self._change:
            if not self._change.wait_for(lambda: request not in self.waiting, patience):
                raise RuntimeError(f"{name} was not answered within {patience:g} s")
        answer = self._results.pop(request)
        if "structuredContent" not in answer:
            raise RuntimeError(f"{name} with {arguments} was refused: {json.dumps(answer)[:500]}")
        return answer["structuredContent"]

    def settle(self) -> None:
        """Wait until everything is answered, or has hung."""
        with self._change:
            while self.waiting and time.monotonic() - min(self.waiting.values()) < self._patience:
                self._change.wait(1.0)

    def resident_mib(self) -> int:
        """Memory of the process."""
        return resident_mib(self._process.pid)

    def close(self) -> None:
        """Close its stdin and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _request(self, method: str, params: Any, *, keep: bool = False) -> int:
        with self._change:
            while len(self.waiting) >= _MOST_WAITING and self._process.poll() is None:
                if time.monotonic() - min(self.waiting.values()) > self._patience:
                    break
                self._change.wait(1.0)
            self._last += 1
            request = 1_000_000 + self._last
            self.waiting[request] = time.monotonic()
            if method == "tools/call":
                self._tools[request] = str(params.get("name"))
            if keep:
                self._results[request] = {}
        self._write(json.dumps({"jsonrpc": "2.0", "id": request, "method": method, "params": params}).encode())
        return request

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with self._writing:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Traceback" in line:
                self.tracebacks += 1
            answer = json.loads(line)
            if isinstance(answer.get("id"), int) and "method" not in answer:
                self._take(answer["id"], answer.get("result") or answer, failed="error" in answer)

    def _take(self, request: int, result: dict[str, Any], *, failed: bool) -> None:
        """Note an answer; a picture that a call of the fuzz opened is forgotten at once."""
        failed = failed or bool(result.get("isError"))
        data = result.get("structuredContent") or {}
        with self._change:
            tool = self._tools.pop(request, "")
            if self.waiting.pop(request, None) is not None:
                self.outcomes["error" if failed else "ok"] += 1
                self.tools_ok[tool] += int(bool(tool) and not failed)
            kept = request in self._results
            if kept:
                self._results[request] = result
            self._change.notify_all()
        if tool == "open_image" and not kept and data.get("image_id"):
            forget = {"name": "forget_image", "arguments": {"image_id": data["image_id"]}}
            line = {"jsonrpc": "2.0", "id": request + 1_000_000_000, "method": "tools/call", "params": forget}
            self._write(json.dumps(line).encode())


def _whole_request(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Method and parameters of a line that is a request with id 0 and nothing strange around it."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not {"jsonrpc", "id", "method"} <= set(message) <= _ENVELOPE:
        return None
    method, params = message["method"], message.get("params", {})
    plain = message["jsonrpc"] == "2.0" and message["id"] == 0 and message["id"] is not False
    if not plain or not isinstance(method, str) or not isinstance(params, dict):
        return None
    if method == "tools/call" and not isinstance(params.get("name"), str):
        return None
    return method, params
