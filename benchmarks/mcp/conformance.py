"""`python -m benchmarks.mcp.conformance SUITE`: the official MCP conformance suite, in both revisions of the protocol.

Against the real command over HTTP: all server scenarios that ask for nothing but a conforming server; the others call
tools, resources and prompts of the suite's own ("test_image_content" and the like), which this server does not have.
Against benchmarks.mcp.fixtures, which has them behind the same transport, auth and middleware: the whole suite. SUITE
is the installed `conformance` command of @modelcontextprotocol/conformance; `make conformance` installs it.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from benchmarks.mcp.load import free_port, until_ready

SCENARIOS = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "completion-complete",
        "tools-list",
        "tools-call-error",
        "server-sse-multiple-streams",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "completion-complete",
        "tools-list",
        "tools-call-error",
        "server-sse-multiple-streams",
        "resources-list",
        "sep-2164-resource-not-found",
        "prompts-list",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
        "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods",
        "input-required-result-ignore-extra-params",
        "input-required-result-validate-input",
    ),
}


def main() -> None:
    """Run them all, print JSON, exit with 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.conformance", description=__doc__)
    parser.add_argument("suite", help="the installed conformance command")
    suite = parser.parse_args().suite
    with tempfile.TemporaryDirectory() as folder:
        real = ["mcp_server", "--transport", "http", "--llm", "rules", "--allow-dir", folder]
        with _served(real) as port:
            scenarios = {
                version: {name: _run(suite, port, name, version) for name in names}
                for version, names in SCENARIOS.items()
            }
    with _served(["benchmarks.mcp.fixtures"]) as port:
        whole = {version: _run_all(suite, port, version) for version in SCENARIOS}
    print(json.dumps({"server": scenarios, "fixtures": whole}, indent=1))
    failed = [f"{name} ({version})" for version, found in scenarios.items() for name, ok in found.items() if not ok]
    failed += [f"{name} ({version}, fixtures)" for version, found in whole.items() for name in found["failed"]]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


@contextmanager
def _served(module: list[str]) -> Iterator[int]:
    """The port on which this module serves meanwhile."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", *module, "--port", str(port)])
    try:
        anyio.run(until_ready, f"http://127.0.0.1:{port}")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _run_all(suite: str, port: int, version: str) -> dict[str, Any]:
    """{"passed", "failed"}: how many checks of all scenarios of a revision passed, and which scenarios did not."""
    command = [suite, "server", "--url", f"http://127.0.0.1:{port}/mcp", "--suite", "all", "--spec-version", version]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    words = re.sub(r"\x1b\[\d+m", "", done.stdout)
    total = re.search(r"^Total: (\d+) passed, (\d+) failed", words, re.MULTILINE)
    if total is None:
        sys.exit(f"the suite did not run: {(done.stderr or words)[-2000:]}")
    failed = re.findall(r"^✗ ([\w-]+)", words, re.MULTILINE)
    if failed or done.returncode:
        print(words[-6000:], file=sys.stderr)
    return {"passed": int(total[1]), "failed": failed or (["the suite itself"] if done.returncode else [])}


def _run(suite: str, port: int, scenario: str, version: str) -> bool:
    """Whether a scenario passes, every check of it."""
    command = [suite, "server", "--url", f"http://127.0.0.1:{port}/mcp", "--scenario", scenario]
    done = subprocess.run(
        [*command, "--spec-version", version], capture_output=True, text=True, timeout=120, check=False
    )
    counts = re.search(r"(\d+) passed, (\d+) failed", re.sub(r"\x1b\[\d+m", "", done.stdout)) or re.search(
        r"Passed: (\d+)/(\d+), (\d+) failed", done.stdout
    )
    if done.returncode or counts is None:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return done.returncode == 0 and counts is not None


if __name__ == "__main__":
    main()
