"""What opening a picture tells."""

from pathlib import Path

from PIL import Image

from sam3_agent.tools import ALL_TOOLS
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import fake_segmenter, picture

OPEN = next(tool for tool in ALL_TOOLS if tool.name == "open_image")


def test_opening_shows_a_preview(tmp_path: Path) -> None:
    path = tmp_path / "things.png"
    Image.fromarray(picture()).save(path)
    result = OPEN.call(Workspace(fake_segmenter()), {"source": str(path)})
    assert result.data == {
        "image_id": "img1",
        "width": 320,
        "height": 200,
        "source": str(path),
        "model": {"name": "fake", "device": "cpu", "dtype": "float32"},
        "hints": [],
    }
    assert "img1: 320x200 pixels" in result.text
    assert len(result.pictures) == 1


def test_opening_a_large_picture_says_what_is_too_small_for_one_look(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (4032, 3024)).save(path)
    result = OPEN.call(Workspace(fake_segmenter()), {"source": str(path)})
    (hint,) = result.data["hints"]
    assert "under 48 pixels a side" in hint  # a patch of 14 of 1008 pixels, in sqrt(4032 x 3024)
    assert f"hint: {hint}" in result.text
