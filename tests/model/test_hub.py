"""The gated weights: what a person reads when the Hub says no. A local server plays the Hub."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
REFUSALS = {"gated/model": (403, "GatedRepo"), "login/model": (401, "GatedRepo"), "hidden/model": (404, "RepoNotFound")}
SCRIPT = """
import sys
from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.loading import fetch
for name in sys.argv[1:]:
    try:
        print("FOUND", fetch(name))
    except ModelUnavailable as error:
        print(error)
"""


class Refuse(BaseHTTPRequestHandler):
    """Refuses each repository in its own way."""

    def do_GET(self) -> None:
        status, code = next((answer for name, answer in REFUSALS.items() if name in self.path), (404, "RepoNotFound"))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetch(home: Path, *names: str, **settings: str) -> list[str]:
    """The line that each repository gives, in a process of its own: the Hub's settings are read at import."""
    env = {**os.environ, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **settings}
    command = [sys.executable, "-c", SCRIPT, *names]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == len(names), done.stderr
    assert all("--model tiny" in line for line in lines)
    return lines


def test_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    with hub() as endpoint:
        gated, login, hidden = fetch(tmp_path, *REFUSALS, HF_ENDPOINT=endpoint)
    assert gated.startswith("no access to the gated weights of gated/model: request it at https://huggingface.co/gated")
    assert login.startswith("no access to the gated weights of login/model")
    assert "run 'hf auth login'" in login
    assert hidden.startswith("hidden/model cannot be seen: request access at https://huggingface.co/hidden/model")


def test_offline_the_line_says_so(tmp_path: Path) -> None:
    (line,) = fetch(tmp_path, "facebook/sam3", HF_HUB_OFFLINE="1")
    assert line.startswith("facebook/sam3 is not on this machine, and the Hugging Face Hub does not answer")


def test_without_a_network_the_line_says_so(tmp_path: Path) -> None:
    (line,) = fetch(tmp_path, "facebook/sam3", HF_ENDPOINT="http://127.0.0.1:9")
    assert line.startswith("facebook/sam3 is not on this machine, and the Hugging Face Hub does not answer")
