"""Files that hosts, registries and container engines read: versions, files and arguments that are really there."""

import base64
import json
import re
import runpy
import shlex
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from sam3_mcp.options import parser

from sam3_agent import __version__


@pytest.fixture(scope="module")
def bundle(checkout: Path) -> dict[str, Any]:
    return runpy.run_path(str(checkout / "release" / "mcpb" / "build.py"))


def served(words: list[str]) -> Any:
    """The arguments of `sam3-mcp` after its name, parsed as it would."""
    return parser().parse_args(words)


def test_the_bundle_starts_the_server_with_the_settings_that_it_asks_for(bundle: dict[str, Any]) -> None:
    manifest = bundle["read_manifest"]()
    assert bundle["problems_of"](manifest) == []
    words = manifest["server"]["mcp_config"]["args"]
    given = served([re.sub(r"\$\{.*\}", "tiny", word) for word in words[words.index("server/main.py") + 1 :]])
    assert (given.model, given.transport, given.allow_dir) == ("tiny", "stdio", [Path("tiny")])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "9.9.9"}, "version 9.9.9, the package has"),
        ({"server": {"entry_point": "gone.py"}, "user_config": {}}, "no file gone.py"),
        ({"user_config": {"other": {}}}, r"settings \['other'\], used are \['model', 'pictures'\]"),
    ],
)
def test_a_bundle_that_would_not_start_is_refused(bundle: dict[str, Any], change: dict[str, Any], words: str) -> None:
    (problem,) = bundle["problems_of"]({**bundle["read_manifest"](), **change})
    assert re.search(words, problem)


def test_the_same_sources_give_the_same_bundle(bundle: dict[str, Any], tmp_path: Path) -> None:
    wheel = tmp_path / f"sam3_agent-{__version__}-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    manifest = bundle["read_manifest"]()
    first, second = (bundle["write_bundle"](manifest, tmp_path / name, wheel) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {"manifest.json", "pyproject.toml", "server/main.py", "LICENSE", wheel.name} == set(archive.namelist())
        assert f'path = "{wheel.name}"' in archive.read("pyproject.toml").decode()


def test_the_entry_of_the_registry_names_this_version_and_arguments_that_exist(checkout: Path) -> None:
    entry = json.loads((checkout / "release" / "server.json").read_text(encoding="utf-8"))
    (package,) = entry["packages"]
    assert {entry["version"], package["version"]} == {__version__}
    assert package["runtimeArguments"][0]["value"] == f"sam3-agent=={__version__}"
    assert len(entry["description"]) <= 100  # the registry's limit
    words = [word for argument in package["packageArguments"] for word in (argument["name"], "tiny")]
    assert served(words).model == "tiny"


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of every line of a Dockerfile, continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_the_container_runs_the_server_without_root_and_with_a_health_check(checkout: Path) -> None:
    found = instructions((checkout / "release" / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    last = {name: rest for name, rest in found}
    order = [name for name, _ in found]
    assert (last["USER"], json.loads(last["VOLUME"]), last["EXPOSE"]) == ("sam3", ["/cache"], "8801")
    assert order.index("USER") < order.index("ENTRYPOINT")
    given = served([*json.loads(last["ENTRYPOINT"])[1:], *json.loads(last["CMD"])])
    assert (given.transport, given.port, given.allow_dir) == ("http", 8801, [Path("/pictures")])
    program = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])[2]
    compile(program, "HEALTHCHECK", "exec")
    assert f":{given.port}/healthz" in program


def test_every_file_that_the_container_copies_is_let_through_to_it(checkout: Path) -> None:
    found = instructions((checkout / "release" / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    copied = [
        word for name, rest in found if name == "COPY" and "--from" not in rest for word in shlex.split(rest)[:-1]
    ]
    allowed = {line[1:] for line in (checkout / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((checkout / name).exists() for name in copied)


def test_compose_starts_the_server_by_arguments_that_exist_and_pins_its_images(checkout: Path) -> None:
    text = (checkout / "release" / "docker" / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    given = served([re.sub(r"\$\{.*\}", "tiny", word) for word in services["sam3"]["command"]])
    assert given.public_name == ["localhost", "sam3"]  # as people and as Prometheus call it
    assert re.search(r":v\d+\.\d+", services["prometheus"]["image"])
    assert (checkout / "release/docker" / services["sam3"]["build"]["context"]).resolve() == checkout
    assert "sam3:8801" in text


def test_the_links_of_the_manual_hold_the_server_they_promise(checkout: Path) -> None:
    page = (checkout / "docs" / "install.md").read_text(encoding="utf-8")
    cursor = re.search(r"\((https://cursor\.com/[^)]+)\)", page)
    code = re.search(r"\(vscode:mcp/install\?([^)]+)\)", page)
    assert cursor is not None
    assert code is not None
    asked = parse_qs(urlsplit(cursor[1]).query)
    servers = [json.loads(base64.b64decode(asked["config"][0])), json.loads(unquote(code[1]))]
    for server in servers:
        assert (server["command"], server["args"][:3]) == ("uvx", ["--from", "sam3-agent", "sam3-mcp"])
        served(server["args"][3:])
    assert (asked["name"], servers[1]["name"]) == (["sam3"], "sam3")
