"""Concepts whose examples are shown beside the image: where they are found, when they are chosen, what a file keeps."""

import base64
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.model.fake import Answers, FakeSegmenter, detection
from sam3_agent.types import Candidate, CanvasExample, Detection
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.canvas import canvas_of, example_of, in_image

SIDE, BLOCK = 90, 24
PLACES = ((10, 10), (50, 12), (20, 50), (52, 56))
"""(y, x) of the block on each picture."""


def block_picture(number: int) -> NDArray[np.uint8]:
    """A gray picture with one red block."""
    pixels = np.full((SIDE, SIDE, 3), 100 + number, np.uint8)
    y, x = PLACES[number]
    pixels[y : y + BLOCK, x : x + BLOCK] = (220, 20, 20)
    return pixels


def box_of(number: int) -> tuple[float, float, float, float]:
    y, x = PLACES[number]
    return (float(x), float(y), float(x + BLOCK), float(y + BLOCK))


def reds(image: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    red = (image[..., 0] > 150) & (image[..., 1] < 90)
    parts, count = cast(Any, ndimage).label(red)
    return [parts == number + 1 for number in range(count) if (parts == number + 1).sum() > 30]


def forgetful_segmenter() -> FakeSegmenter:
    """Finds red things like an example on its own picture; what it reads there means nothing on another one."""

    def answers(image: NDArray[np.uint8]) -> Answers:
        found = reds(image)
        return {f"red of {image.sum()}": detection(found, [0.8] * len(found))} if found else {}

    return FakeSegmenter(answers)


@pytest.fixture
def workspace() -> Workspace:
    made = Workspace(forgetful_segmenter())
    for number in range(len(PLACES)):
        made.open(block_picture(number))
    return made


def boxes(count: int) -> list[tuple[str, tuple[float, float, float, float]]]:
    return [(f"img{number + 1}", box_of(number)) for number in range(count)]


def test_auto_takes_the_canvas_where_tokens_find_nothing_and_says_so(workspace: Workspace) -> None:
    concept = workspace.learn("block", positive_boxes=boxes(3), mode="auto")
    assert len(concept.canvas) == 3
    assert concept.estimate is not None
    assert (concept.estimate.found, concept.estimate.examples, concept.estimate.held_out) == (3, 3, True)
    assert concept.notes == (
        "the examples are shown beside the image: so 3 of 3 are found and 0 false ones, asked as tokens 0 and 0",
    )


def test_masks_of_a_canvas_are_those_of_the_image_alone(workspace: Workspace) -> None:
    workspace.learn("block", positive_boxes=boxes(2), mode="canvas")
    (found,) = workspace.segment("img4", ["@block"])
    (instance,) = found.instances
    assert instance.rle.size == (SIDE, SIDE)
    assert instance.box == pytest.approx(box_of(3))
    assert instance.score == pytest.approx(0.8 * 0.95)
    assert found.presence == pytest.approx(0.8 * 0.95)
    assert workspace.presence("img4", ["@block", "lamp"])["@block"] == pytest.approx(0.8 * 0.95)


def test_an_image_without_the_thing_is_refused_though_the_canvas_shows_it(workspace: Workspace) -> None:
    workspace.learn("block", positive_boxes=boxes(2), mode="canvas")
    empty = workspace.open(np.full((SIDE, SIDE, 3), 90, np.uint8))
    (found,) = workspace.segment(empty.id, ["@block"])
    assert (found.instances, found.presence) == ((), 0.0)


def test_a_single_image_leaves_nothing_to_measure_by_so_auto_keeps_tokens(workspace: Workspace) -> None:
    assert workspace.learn("block", positive_boxes=boxes(1), mode="auto").canvas == ()
    assert len(workspace.learn("block", positive_boxes=boxes(1), mode="canvas").canvas) == 1


def test_tokens_stay_where_they_find_as_much(workspace: Workspace) -> None:
    made = Workspace(FakeSegmenter(lambda image: {"red": detection(reds(image))} if reds(image) else {}))
    for number in range(3):
        made.open(block_picture(number))
    concept = made.learn("block", positive_boxes=boxes(3), mode="auto")
    assert concept.canvas == ()
    assert "asked as tokens: so 3 of 3" in concept.notes[0]


def test_an_unknown_mode_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="mode must be one of auto, tokens, canvas; got 'both'"):
        workspace.learn("block", positive_boxes=boxes(1), mode="both")  # type: ignore[arg-type]


def test_a_canvas_concept_survives_a_file_and_a_strangers_picture_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    concept = workspace.learn("block", positive_boxes=boxes(2), mode="canvas")
    write_concept(concept, tmp_path / "block.concept.json")
    assert read_concept(tmp_path / "block.concept.json") == concept
    document = json.loads((tmp_path / "block.concept.json").read_text())
    document["canvas"][0]["image"] = "data:image/jpeg;base64," + base64.b64encode(b"GIF89a").decode()
    (tmp_path / "bad.concept.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="an example that is no JPEG picture"):
        read_concept(tmp_path / "bad.concept.json")


def test_an_example_of_any_size_fits_beside_any_image() -> None:
    large = example_of(np.zeros((3000, 2000, 3), np.uint8), (100, 100, 1900, 2900))
    small = example_of(np.zeros((5, 5, 3), np.uint8), (1, 1, 2, 2))
    for height, width in ((40, 900), (700, 12), (1, 1)):
        canvas = canvas_of(np.zeros((height, width, 3), np.uint8), (large, small, large))
        assert canvas.pixels.shape[0] == height
        assert canvas.pixels.shape[1] > canvas.width == width
        assert all(each.box[0] >= width for each in canvas.exemplars)
    assert isinstance(small, CanvasExample)


def test_what_crosses_into_the_examples_is_cut_at_the_border() -> None:
    canvas = canvas_of(np.zeros((20, 40, 3), np.uint8), (example_of(np.zeros((20, 20, 3), np.uint8), (5, 5, 15, 15)),))
    mask = np.zeros(canvas.pixels.shape[:2], bool)
    mask[5:15, 30:45] = True
    (kept,) = detection([mask]).kept
    answer = in_image(Detection(0.9, (Candidate(kept.rle, (30.0, 5.0, 45.0, 15.0), 0.5),)), canvas)
    assert answer.kept[0].box == (30.0, 5.0, 40.0, 15.0)
    assert answer.presence * answer.kept[0].object_score == pytest.approx(0.45)
