"""Clients written by others, in Node: the TypeScript SDK's and the inspector's command line.

They are installed by `make conformance` (into build/conformance); where they are not, these tests skip.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sam3_mcp.http_app import HttpOptions

from tests.environment import python_path
from tests.mcp_server.fixtures_server import make_backend
from tests.mcp_server.test_http import serving

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.integration


@pytest.fixture
def modules() -> Path:
    folder = Path(os.environ.get("SAM3_NODE_MODULES", CHECKOUT / "build" / "conformance" / "node_modules"))
    if not (folder / "@modelcontextprotocol" / "sdk").is_dir():
        pytest.skip(f"the Node clients are not in {folder}; `make conformance` installs them")
    return folder


def run(modules: Path, *command: str) -> str:
    path = f"{modules / '.bin'}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=path)
    assert node is not None
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path(CHECKOUT)}
    done = subprocess.run([node, *command], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_the_typescript_client_segments_a_picture(modules: Path, folder: Path, way: str) -> None:
    script = str(Path(__file__).with_name("ts_client.mjs"))
    with serving(make_backend(folder, shared=True), HttpOptions()) as url:
        target = [f"{url}/mcp"] if way == "http" else [sys.executable, "-m", "sam3_mcp", "--connect", f"{url}/mcp"]
        found: dict[str, Any] = json.loads(run(modules, script, str(modules), str(folder / "square.png"), *target))
    assert found == {"tools": 12, "kinds": ["text", "image"], "masks": 2, "file": "image/png", "wrong": True}


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_the_tools_and_opens_a_picture(modules: Path, folder: Path, era: str) -> None:
    inspector = modules / ".bin" / "mcp-inspector"
    if not inspector.exists():
        pytest.skip("the inspector is not installed")
    with serving(make_backend(folder, shared=True), HttpOptions()) as url:
        where = [str(inspector.resolve()), "--cli", f"{url}/mcp", "--transport", "http", "--protocol-era", era]
        tools = json.loads(run(modules, *where, "--method", "tools/list"))["tools"]
        picture = f"source={folder / 'square.png'}"
        opened = json.loads(
            run(modules, *where, "--method", "tools/call", "--tool-name", "open_image", "--tool-arg", picture)
        )
    assert len(tools) == 23
    assert [block["type"] for block in opened["content"]] == ["text", "image"]
