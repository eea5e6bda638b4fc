"""Builds the bundle for Claude Desktop, sam3-agent-VERSION.mcpb: a zip of the manifest and of a project that uv runs.

    python release/mcpb/build.py [--out DIR] [--wheel WHEEL] [--check]

`--wheel` puts a wheel into the bundle; without it uv takes the package from PyPI. `--check` lets Anthropic's own
program check the manifest too, by npx.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROJECT = """[project]
name = "sam3-agent-bundle"
version = "{version}"
requires-python = ">=3.11"
dependencies = ["sam3-agent=={version}"]
{source}"""
LOCAL = """
[tool.uv.sources]
sam3-agent = {{ path = "{name}" }}
"""
CHECKER = "@anthropic-ai/mcpb@2.1.2"
STAMP = (2026, 1, 1, 0, 0, 0)
"""Of every file in the zip, so that the same sources give the same bundle."""


def main() -> None:
    """Build, check and name the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the bundle goes (dist)")
    parser.add_argument("--wheel", type=Path, help="a wheel of sam3-agent to put into the bundle")
    parser.add_argument("--check", action="store_true", help="also let Anthropic's mcpb check the manifest (npx)")
    given = parser.parse_args()
    manifest = read_manifest()
    if problems := problems_of(manifest):
        sys.exit(f"error: manifest.json: {'; '.join(problems)}")
    if given.check:
        npx = shutil.which("npx") or sys.exit("error: --check needs npx")
        subprocess.run([npx, "--yes", CHECKER, "validate", str(HERE / "manifest.json")], check=True)
    path = write_bundle(manifest, given.out, given.wheel)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def read_manifest() -> dict[str, Any]:
    """The manifest, as it lies beside this file."""
    return json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))


def version() -> str:
    """The version of the package, read without importing it."""
    text = (ROOT / "sam3_agent" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else sys.exit("error: sam3_agent/__init__.py has no __version__")


def problems_of(manifest: dict[str, Any]) -> list[str]:
    """Whatever a host would stumble over: another version, files and settings that are not there."""
    problems: list[str] = []
    if manifest["version"] != version():
        problems.append(f"version {manifest['version']}, the package has {version()}")
    if not (HERE / manifest["server"]["entry_point"]).is_file():
        problems.append(f"no file {manifest['server']['entry_point']}")
    used = set(re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(manifest["server"])))
    if used != set(manifest["user_config"]):
        problems.append(f"settings {sorted(manifest['user_config'])}, used are {sorted(used)}")
    return problems


def write_bundle(manifest: dict[str, Any], out: Path, wheel: Path | None) -> Path:
    """Write the zip and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"sam3-agent-{manifest['version']}.mcpb"
    source = LOCAL.format(name=wheel.name) if wheel is not None else ""
    files = {
        "manifest.json": json.dumps(manifest, indent=2).encode(),
        "pyproject.toml": PROJECT.format(version=manifest["version"], source=source).encode(),
        manifest["server"]["entry_point"]: (HERE / manifest["server"]["entry_point"]).read_bytes(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    if wheel is not None:
        files[wheel.name] = wheel.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(zipfile.ZipInfo(name, STAMP), content, zipfile.ZIP_DEFLATED)
    return path


if __name__ == "__main__":
    main()
