"""`sam3-agent doctor`: one line for each thing, no secret in it, and exit 1 only for what is essential."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sam3_agent.cli.commands import doctor
from tests.cli.conftest import Run
from tests.environment import python_path

SECRET = "sk-never-to-be-shown-0123456789"


@contextmanager
def hub(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def states(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in document["checks"]}


def test_this_machine_has_all_that_is_essential(run: Run) -> None:
    document = run("doctor", "--offline", "--json").json()
    assert document["ok"]
    assert {"python", "torch", "memory", "disk", "tiny", "facebook/sam3", "llm", "port", "chromium", "ray"} <= set(
        states(document)
    )
    assert all(check["todo"] for check in document["checks"] if check["state"] == "missing")


def test_a_person_reads_one_line_for_each_thing(run: Run) -> None:
    done = run("doctor", "--offline")
    document = run("doctor", "--offline", "--json").json()
    assert done.status == 0
    assert len(done.out.splitlines()) == len(document["checks"]) + 1
    assert all(re.match(r"(ok|note|MISSING) +\S+: ", line) for line in done.out.splitlines()[:-1])


def test_tokens_are_named_and_never_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    texts = [run("doctor", "--offline").out, run("doctor", "--offline", "--json").out]
    assert all("ANTHROPIC_API_KEY, OPENAI_API_KEY" in text for text in texts)
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [(200, "ok", "may be downloaded"), (401, "note", "the hub says 401"), (403, "note", "the hub says 403")],
)
def test_access_to_the_gated_weights_is_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, status: int, state: str, words: str
) -> None:
    with hub(status) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        (found,) = [check for check in doctor.examine(online=True).checks if check.name == "facebook/sam3"]
    assert (found.state, words in found.says) == (state, True)
    assert bool(found.todo) == (state == "note")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "file:///etc/passwd", "nonsense"])
def test_a_hub_that_does_not_answer_is_a_note(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    (found,) = [check for check in doctor.examine(online=True).checks if check.name == "facebook/sam3"]
    assert (found.state, "does not answer" in found.says) == ("note", True)


def test_a_port_that_is_taken_is_a_note() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", doctor.PORT))
        except OSError:
            pytest.skip(f"port {doctor.PORT} is taken by somebody else already")
        other.listen()
        (found,) = [check for check in doctor.examine(online=False).checks if check.name == "port"]
    assert (found.state, "is taken" in found.says) == ("note", True)


BROKEN = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
sys.meta_path.insert(0, Blocked())
from sam3_agent.cli.main import main
sys.exit(main(["doctor", "--offline", "--json"]))
"""


@pytest.mark.integration
def test_a_torchvision_of_another_build_is_essential_and_exits_1(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        env={**os.environ, "PYTHONPATH": python_path(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    (found,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "device"]
    assert (done.returncode, found["state"]) == (1, "missing")
    assert "nms does not exist" in found["says"]
    assert "torch and torchvision of the same build" in found["todo"]


def test_the_versions_known_to_work_are_those_of_the_lock(checkout: Path) -> None:
    packages = tomllib.loads((checkout / "uv.lock").read_text(encoding="utf-8"))["package"]
    newest: dict[str, str] = {}
    for package in packages:  # one entry for each range of Python versions, oldest first
        newest[package["name"]] = package.get("version", "")
    assert {name: newest[name] for name in doctor.KNOWN} == doctor.KNOWN
