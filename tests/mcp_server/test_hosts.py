"""Whole hosts, as their users install them: Claude Code and Gemini CLI.

Installed from npm into build/hosts (docs/mcp.md says how) or on the PATH; where they are not, these tests skip.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mcp.fake_provider import Host
from benchmarks.mcp.host import passes, run_host
from tests.environment import python_path

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTS: tuple[Host, ...] = ("claude", "gemini")
SERVER = [sys.executable, "-m", "sam3_mcp"]
pytestmark = pytest.mark.integration


def program_of(host: Host) -> str:
    folder = os.environ.get("SAM3_HOSTS", str(CHECKOUT / "build" / "hosts" / "node_modules" / ".bin"))
    found = shutil.which(host, path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{host} is neither in {folder} nor on the PATH; docs/mcp.md says how to install it")
    return found


def environment(program: str, home: Path) -> dict[str, str]:
    """A home of its own, so that no setting of the person who tests is read or changed."""
    return {
        "PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": python_path(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "MCP_TIMEOUT": "60000",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


@pytest.mark.parametrize("host", HOSTS)
def test_the_host_lists_the_server_as_connected(host: Host, tmp_path: Path) -> None:
    program = program_of(host)
    work = tmp_path / "work"
    work.mkdir()

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, "mcp", *arguments],
            cwd=work,
            env=environment(program, tmp_path),
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        return done.stdout + done.stderr

    # Without the dashes each would take the server's options for its own.
    run("add", "sam3", *(["--", *SERVER] if host == "claude" else [SERVER[0], "--", *SERVER[1:]]))
    words = run("list")
    assert any("sam3:" in line and "Connected" in line for line in words.splitlines()), words


@pytest.mark.parametrize("host", HOSTS)
def test_the_hosts_model_is_given_picture_ids_and_scores(host: Host, tmp_path: Path) -> None:
    document, _ = run_host(host, program_of(host), tmp_path)
    assert passes(document), document
