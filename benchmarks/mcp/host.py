"""`python -m benchmarks.mcp.host claude|gemini`: a whole host, offline, segments a scene with our tools.

The host's own command line program runs with our server and with a stand-in for its model's API on this machine. The
transcript shows what its model would have been given: picture, ids, scores. Needs the program (`claude` or `gemini`,
from npm) on the PATH or at --program; no account, no network.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.mcp.fake_provider import Host, Script, standing_in

_SECONDS = 300
PREFIXES: dict[Host, str] = {"claude": "mcp__sam3__", "gemini": "mcp_sam3_"}


def main() -> None:
    """Run one host, print JSON, exit with 1 where its model was not given what it needs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp.host", description=__doc__)
    parser.add_argument("host", choices=list(PREFIXES))
    parser.add_argument("--program", help="the host's command (default: from the PATH)")
    parser.add_argument("--transcript", type=Path, help="write every request to the model there")
    options = parser.parse_args()
    program = options.program or shutil.which(options.host)
    if program is None:
        sys.exit(f"there is no {options.host} on the PATH; install it with npm or give --program")
    with tempfile.TemporaryDirectory() as folder:
        document, script = run_host(options.host, program, Path(folder))
    if options.transcript:
        options.transcript.write_text(json.dumps(script.requests, indent=1, ensure_ascii=False), encoding="utf-8")
    print(json.dumps(document, indent=1, ensure_ascii=False))
    sys.exit(0 if passes(document) else 1)


def run_host(host: Host, program: str, folder: Path) -> tuple[dict[str, Any], Script]:
    """Run a host; return what it printed and what its model was given; `folder` becomes its home and its working
    folder.
    """
    picture, concept = _scene(folder)
    script = Script(str(picture), concept, PREFIXES[host])
    server = [sys.executable, "-m", "sam3_mcp", "--allow-dir", str(folder)]
    with standing_in(host, script) as url:
        environment = _environment(folder, url, program)
        command = (_claude if host == "claude" else _gemini)(program, folder, server)
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    received = script.received
    document = {
        "host": host,
        "status": done.returncode,
        "said": done.stdout.strip()[-500:],
        "errors": done.stderr.strip()[-500:] if done.returncode else "",
        "requests": len(script.requests),
        "tool_results": len(received.texts),
        "masks": received.masks,
        "scores": received.scores,
        "pictures_kb": [count * 3 // 4 // 1000 for count in received.pictures],
    }
    return document, script


def passes(document: dict[str, Any]) -> bool:
    """Whether the model was given a picture of each result, mask ids and scores, and could answer with them."""
    named = bool(document["masks"]) and all(mask in document["said"] for mask in document["masks"])
    return document["status"] == 0 and named and bool(document["scores"]) and len(document["pictures_kb"]) >= 2


def _claude(program: str, folder: Path, server: list[str]) -> list[str]:
    entry = {"type": "stdio", "command": server[0], "args": server[1:], "env": {}}
    config = folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"sam3": entry}}), encoding="utf-8")
    asks = ["-p", "Outline the thing.", "--allowedTools", "mcp__sam3", "--mcp-config", str(config)]
    return [program, *asks, "--strict-mcp-config"]


def _gemini(program: str, folder: Path, server: list[str]) -> list[str]:
    settings = folder / ".gemini" / "settings.json"
    settings.parent.mkdir()
    entry = {"command": server[0], "args": server[1:], "trust": True, "timeout": _SECONDS * 1000}
    words: dict[str, Any] = {
        "mcpServers": {"sam3": entry},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
    }
    settings.write_text(json.dumps(words), encoding="utf-8")
    return [program, "-p", "Outline the thing.", "--approval-mode", "yolo", "-m", "gemini-2.5-pro"]


def _environment(folder: Path, url: str, program: str) -> dict[str, str]:
    """A home of its own, the stand-in for the model, and nothing that calls home."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([str(Path(program).parent), os.environ["PATH"]])
    kept = {name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS") if name in os.environ}
    return kept | {
        "PATH": path,
        "HOME": str(folder),
        "PYTHONPATH": root,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "ENABLE_TOOL_SEARCH": "false",
        "MCP_TIMEOUT": "120000",
        "MCP_TOOL_TIMEOUT": str(_SECONDS * 1000),
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "dummy",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "NO_PROXY": "127.0.0.1",
    }


def _scene(folder: Path) -> tuple[Path, str]:
    """A drawn scene, and the name of something in it."""
    from PIL import Image

    from sam3_agent.scenes import SceneOptions, generate_scene

    scene = generate_scene(11, SceneOptions(min_objects=3, max_objects=5))
    path = folder / "scene.png"
    Image.fromarray(scene.image).save(path)
    return path, scene.objects[0].noun


if __name__ == "__main__":
    main()
