"""Scope of a loaded model: told wherever "not found" could be taken for "not there"."""

import base64
import io

import pytest
from PIL import Image

from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.tools import ALL_TOOLS
from sam3_agent.tools.model_scope import is_generic
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import disc, picture

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
DRAWINGS_ONLY = "the tiny model knows only drawings: of a photograph it can tell nothing"


def workspace_of(name: str) -> Workspace:
    answers = {"circle": detection([disc(150, 100, 60)], [0.9])}
    workspace = Workspace(FakeSegmenter(answers, info=ModelInfo(name, "cpu", "float32")))
    workspace.open(picture())
    return workspace


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("segment_concepts", {"image_id": "img1", "concepts": ["banana"]}),
        ("segment_concepts", {"image_id": "img1", "concepts": ["house"]}),
        ("read_presence", {"image_id": "img1", "concepts": ["banana"]}),
    ],
)
def test_what_the_tiny_model_does_not_find_may_still_be_there(tool: str, arguments: dict[str, object]) -> None:
    told = TOOLS[tool].call(workspace_of("tiny"), arguments).text
    assert DRAWINGS_ONLY in told
    assert "drawings" not in TOOLS[tool].call(workspace_of("facebook/sam3"), arguments).text


def test_an_adapter_of_the_tiny_model_is_named_and_knows_no_more_pictures() -> None:
    told = TOOLS["read_presence"].call(workspace_of("tiny+gears"), {"image_id": "img1", "concepts": ["banana"]}).text
    assert "the tiny+gears model knows only drawings" in told


def test_what_the_tiny_model_finds_comes_without_that_remark() -> None:
    arguments = {"image_id": "img1", "concepts": ["circle"]}
    assert "drawings" not in TOOLS["segment_concepts"].call(workspace_of("tiny"), arguments).text
    assert "drawings" not in TOOLS["read_presence"].call(workspace_of("tiny"), arguments).text


def test_opening_an_image_tells_the_words_of_the_tiny_model() -> None:
    written = io.BytesIO()
    Image.new("RGB", (32, 32)).save(written, "PNG")
    encoded = base64.b64encode(written.getvalue())
    result = TOOLS["open_image"].call(workspace_of("tiny"), {"source": "data:image/png;base64," + encoded.decode()})
    assert DRAWINGS_ONLY in result.text
    words = next(hint for hint in result.data["hints"] if hint.startswith("the model knows these words:"))
    assert all(word in words for word in ("house", "umbrella", "red", "striped"))


def test_nouns_for_everything_are_told_from_those_for_kinds() -> None:
    assert all(is_generic(phrase) for phrase in ("yellow thing", "Things", "household item", "animal"))
    assert not any(is_generic(phrase) for phrase in ("thing bar", "clothing", "string", ""))


def test_the_words_of_the_model_are_told_only_where_no_other_word_found_the_thing() -> None:
    workspace = workspace_of("tiny")
    alone = TOOLS["segment_concepts"].call(workspace, {"image_id": "img1", "concepts": ["gnu"]}).text
    assert "the model knows these words" in alone
    tried = TOOLS["segment_concepts"].call(workspace, {"image_id": "img1", "concepts": ["dot", "gnu"]}).text
    assert "asked instead of 'dot'" in tried
    assert "the model knows these words" not in tried
    both = TOOLS["segment_concepts"].call(workspace, {"image_id": "img1", "concepts": ["dot", "circle"]}).text
    assert "the model knows these words" not in both
