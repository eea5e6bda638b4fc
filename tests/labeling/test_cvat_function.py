"""CVAT's auto-annotation function, alone and with the types of CVAT's own SDK."""

import logging
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.cvat_function import CvatFunction, CvatLabel, create, parse_labels
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import GREEN_SQUARE, HEIGHT, RED_CIRCLES, WIDTH, fake_segmenter, picture


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(fake_segmenter())


LABELS = parse_labels("Ball=red circle; Tile:rectangle=square; circle:polygon")


def test_labels_have_a_name_a_phrase_and_a_shape() -> None:
    assert (
        CvatLabel("Ball", "red circle"),
        CvatLabel("Tile", "square", "rectangle"),
        CvatLabel("circle", "circle", "polygon"),
    ) == LABELS
    assert parse_labels("a;b:mask", "polygon") == (CvatLabel("a", "a", "polygon"), CvatLabel("b", "b", "mask"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "give the task's labels"),
        ("a:oval", "known: mask"),
        ("=x", "no name"),
        ("a=", "no phrase"),
        ("a;a", "twice"),
    ],
)
def test_unusable_labels_are_told(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_labels(text)


def test_a_mask_is_runs_over_its_box_and_a_rectangle_its_corners(workspace: Workspace) -> None:
    found = CvatFunction(workspace, LABELS, tolerance=0).found(Image.fromarray(picture()))
    assert [decoded(points).tolist() for number, kind, points in found if kind == "mask" and number == 0] == [
        mask.tolist() for mask in RED_CIRCLES
    ]
    assert [points for number, _, points in found if number == 1] == [[230.0, 120.0, 290.0, 180.0]]
    assert [(number, kind) for number, kind, _ in found[3:]] == [(2, "polygon")] * 3
    assert workspace.images() == []


def decoded(points: list[float]) -> np.ndarray[Any, Any]:
    *runs, x0, y0, x1, y1 = (int(v) for v in points)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = flat.reshape(y1 - y0 + 1, x1 - x0 + 1)
    return mask


def test_polygons_fill_the_mask_again(workspace: Workspace) -> None:
    function = CvatFunction(workspace, parse_labels("square"), tolerance=0)
    ((_, kind, points),) = function.found(Image.fromarray(picture()), polygons=True)
    filled = masks.from_polygons([points], (HEIGHT, WIDTH))
    assert (kind, masks.iou([filled], [masks.encode(GREEN_SQUARE)])[0, 0] > 0.95) == ("polygon", True)


@pytest.mark.skipif(find_spec("cvat_sdk") is not None, reason="cvat-sdk is installed")
def test_without_the_sdk_the_function_says_what_to_install() -> None:
    with pytest.raises(Sam3AgentError, match="pip install cvat-cli"):
        create("square")


def test_an_unknown_shape_is_told_before_a_model_is_loaded() -> None:
    with pytest.raises(InputError, match="known: mask, polygon, rectangle"):
        create("square", shape="oval")
    assert "cvat_sdk" not in sys.modules or find_spec("cvat_sdk")


@dataclass(frozen=True)
class Context:
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False
    frame_name: str = "scene.png"


def test_the_sdk_takes_the_labels_and_shapes(workspace: Workspace) -> None:
    sdk = pytest.importorskip("cvat_sdk.auto_annotation", reason="cvat-sdk is not installed: pip install cvat-sdk")
    from cvat_sdk import models  # pyright: ignore[reportMissingImports]
    from cvat_sdk.auto_annotation.driver import _AnnotationMapper  # pyright: ignore[reportMissingImports]
    from cvat_sdk.masks import encode_mask  # pyright: ignore[reportMissingImports]

    function = CvatFunction(workspace, LABELS)
    assert isinstance(function.spec, sdk.DetectionFunctionSpec)
    assert [(each.name, each.id, str(each.type)) for each in function.spec.labels] == [
        ("Ball", 0, "mask"), ("Tile", 1, "rectangle"), ("circle", 2, "polygon"),
    ]  # fmt: skip
    shapes = function.detect(Context(), Image.fromarray(picture()))
    assert all(isinstance(shape, models.LabeledShapeRequest) for shape in shapes)
    for shape, mask in zip(shapes[:2], RED_CIRCLES, strict=True):
        x0, y0, x1, y1 = masks.box(masks.encode(mask))
        assert shape.points == encode_mask(mask, [x0, y0, x1, y1])
    assert len(function.detect(Context(conf_threshold=0.93), Image.fromarray(picture()))) < len(shapes)
    assert {str(s.type) for s in function.detect(Context(conv_mask_to_poly=True), Image.fromarray(picture()))} == {
        "polygon", "rectangle",
    }  # fmt: skip
    # what the SDK's own driver does with them before it uploads: it checks every type against the task's label
    task = [
        models.Label(name=name, id=number, type=kind, attributes=[], sublabels=[])
        for number, name, kind in ((70, "Ball", "any"), (71, "Tile", "rectangle"), (72, "circle", "polygon"))
    ]
    for polygons in (False, True):
        mapper = _AnnotationMapper(
            logging.getLogger(), function.spec.labels, task, allow_unmatched_labels=False, conv_mask_to_poly=polygons
        )
        fresh = function.detect(Context(conv_mask_to_poly=polygons), Image.fromarray(picture()))
        tags, placed = mapper.validate_and_remap(fresh, 5)
        assert (tags, {(s.label_id, s.frame, str(s.source)) for s in placed}) == (
            [], {(70, 5, "auto"), (71, 5, "auto"), (72, 5, "auto")},
        )  # fmt: skip
