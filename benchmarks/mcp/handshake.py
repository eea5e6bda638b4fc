"""`python -m benchmarks.mcp.handshake`: seconds from the start of `sam3-mcp` on stdio to the answer of `initialize`.

The bar is 1 s. Also said: what the process had imported by then, as torch alone would take longer.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.machine import machine_words

BAR = 1.0
_INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "handshake", "version": "1"},
    },
}


def main() -> None:
    """Start it a few times, print JSON, exit with 1 when the median misses the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.handshake", description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    starts = parser.parse_args().starts
    seconds = sorted(handshake() for _ in range(starts))
    document = {
        "starts": starts,
        "median_s": round(statistics.median(seconds), 3),
        "slowest_s": round(seconds[-1], 3),
        "torch_imported_first": torch_imported_first(),
        "machine": machine_words(),
    }
    print(json.dumps(document, indent=1))
    sys.exit(0 if document["median_s"] < BAR and not document["torch_imported_first"] else 1)


def handshake(*options: str) -> float:
    """Seconds until a new process has answered."""
    began = time.monotonic()
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-m", "sam3_mcp", *options], stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(_INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        seconds = time.monotonic() - began
        if "result" not in answer:
            raise RuntimeError(f"initialize was refused: {answer}")
    finally:
        process.kill()
        process.communicate()
    return seconds


def torch_imported_first() -> bool:
    """Whether what a server imports before it serves includes torch."""
    modules = "sam3_mcp.__main__, sam3_mcp.server, sam3_mcp.stdio_server, sam3_mcp.path_allowlist, sam3_mcp.url_fetcher"
    code = f"import {modules}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


if __name__ == "__main__":
    main()
