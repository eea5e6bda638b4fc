"""`python -m benchmarks.mcp.conformance SUITE`: the official scenarios against the real command over HTTP.

Run are all server scenarios that ask for nothing but a conforming server; the others call tools, resources and prompts
of the suite's own ("test_image_content" and the like), which this server does not have. SUITE is the installed
`conformance` command of @modelcontextprotocol/conformance; `make conformance` installs it.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

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
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mcp_server", "--transport", "http", "--port", str(port), "--llm", "rules"]
        process = subprocess.Popen([*command, "--allow-dir", folder], env=dict(os.environ))
        try:
            anyio.run(until_ready, f"http://127.0.0.1:{port}")
            results = {
                version: {name: _run(options.suite, port, name, version) for name in names}
                for version, names in SCENARIOS.items()
            }
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    print(json.dumps(results, indent=1))
    failed = [f"{name} ({version})" for version, found in results.items() for name, ok in found.items() if not ok]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


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
