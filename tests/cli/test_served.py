"""`--connect`: a server answers what a model loaded here would."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sam3_mcp.auth import Tokens
from sam3_mcp.http_app import Door

from sam3_agent.cli.commands import segment as room
from sam3_agent.errors import InputError
from sam3_agent.scenes import Scene
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.loop.fixtures_segmenter import perfect_segmenter
from tests.mcp_server.fixtures_server import make_backend
from tests.mcp_server.test_http import serving

TOKEN = "a" * 20


@pytest.fixture
def url(scene: Scene, tmp_path: Path) -> Iterator[str]:
    """A server that knows the truth of the scene, may open no file, and wants a token."""
    (tmp_path / "nothing").mkdir()
    backend = make_backend(tmp_path / "nothing", make_segmenter=lambda: perfect_segmenter(scene), shared=True)
    with serving(backend, Door(verifier=Tokens.of([f"ann:{TOKEN}"], "tokens.txt"))) as address:
        yield address


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """The document without seconds, its scores with two digits: a server gives three, a model here four."""
    for result in document["results"]:
        for instance in result["instances"]:
            instance["score"] = round(instance["score"], 2)
    return {key: value for key, value in document.items() if key != "seconds"}


@pytest.mark.integration
def test_a_server_gives_the_document_of_a_model_that_was_loaded_here(
    run: Run, url: str, scene: Scene, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM3_MCP_TOKEN", TOKEN)
    ran = run("segment", picture, "house", "dog", "--connect", url, "--json", "--out", picture.with_name("marked.png"))
    assert ran.status == 0, ran.err
    prompts, workspace = room.prompts_of(["house", "dog"], (), ()), Workspace(perfect_segmenter(scene))
    here = room.segment(workspace, str(picture), prompts, room.How(), began=time.perf_counter()).to_json()
    assert without_times(ran.json()) == without_times(here)
    with Image.open(picture.with_name("marked.png")) as marked:
        assert marked.size == (scene.width, scene.height)


@pytest.mark.integration
def test_a_wrong_token_is_one_line_that_names_the_variable(
    run: Run, url: str, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM3_MCP_TOKEN", "b" * 20)
    ran = run("segment", picture, "house", "--connect", url)
    assert ran.status == 1
    assert "SAM3_MCP_TOKEN" in ran.error()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--connect", "127.0.0.1:1"), "expected the URL"),
        (("--connect", "http://127.0.0.1:1"), "does not answer as sam3-mcp"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(
    run: Run, picture: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = run("segment", picture, "house", *arguments)
    assert ran.status == 1
    assert words in ran.error()


@pytest.mark.integration
def test_what_a_server_cannot_do_is_refused(run: Run, url: str, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM3_MCP_TOKEN", TOKEN)
    for options in (("--like", "1,1,9,9"), ("--max-iou", "0.5")):
        ran = run("segment", picture, "house", "--connect", url, *options)
        assert ran.status == 1
        assert "--connect takes phrases" in ran.error()


def test_an_address_needs_its_scheme() -> None:
    from sam3_agent.cli.served import connected

    with pytest.raises(InputError, match="expected the URL"), connected("ftp://x"):
        pass
