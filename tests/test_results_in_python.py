"""Results as Python shows them and gives them on: reprs, arrays, other libraries, notebooks."""

import copy
import importlib.util
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import Sam3AgentError
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.scenes import Scene, generate_scene
from sam3_agent.types import Answer, Segmentation
from sam3_agent.workspace import Workspace
from tests.loop.fixtures_segmenter import perfect_segmenter

SHORT = 200


@pytest.fixture(scope="module")
def scene() -> Scene:
    return generate_scene(82)


@pytest.fixture
def workspace(scene: Scene) -> Workspace:
    return Workspace(perfect_segmenter(scene))


@pytest.fixture
def found(workspace: Workspace, scene: Scene) -> Segmentation:
    return workspace.segment(workspace.open(scene.image).id, ["house"])[0]


@pytest.fixture
def nothing(workspace: Workspace, scene: Scene) -> Segmentation:
    return workspace.segment(workspace.open(scene.image).id, ["zebra"])[0]


@pytest.fixture
def answer(workspace: Workspace, scene: Scene) -> Answer:
    return Agent(workspace, load_llm("rules")).ask(workspace.open(scene.image).id, "the leftmost house")


def missing(name: str) -> bool:
    return importlib.util.find_spec(name) is None


def test_reprs_are_one_short_line(found: Segmentation, answer: Answer, workspace: Workspace) -> None:
    picture = workspace.look(found.image_id)
    for value in (found, found.instances[0], found.instances[0].rle, answer, answer.trace, picture):
        assert len(repr(value)) < SHORT
        assert "\n" not in repr(value)
    assert repr(found).startswith("Segmentation('house', presence=0.97, ")
    assert repr(found.instances[0]).startswith("Instance('m1', score=0.9")
    assert "answered, 1 instance: m" in repr(answer)
    assert "lambda" not in repr(picture)


def test_masks_boxes_and_scores_are_arrays(found: Segmentation, scene: Scene) -> None:
    count = len(found.instances)
    assert count > 0
    assert found.masks.shape == (count, scene.height, scene.width)
    assert found.masks.dtype == np.bool_
    assert (found.masks[0] == found.instances[0].mask).all()
    assert (found.boxes == masks.boxes([each.rle for each in found.instances])).all()
    assert found.scores.tolist() == [each.score for each in found.instances]


def test_nothing_found_is_an_empty_stack_of_the_images_size(nothing: Segmentation, scene: Scene) -> None:
    assert nothing.masks.shape == (0, scene.height, scene.width)
    assert nothing.boxes.shape == (0, 4)
    assert nothing.scores.shape == (0,)
    assert nothing.to_coco() == []
    assert "0 instances" in repr(nothing)


def test_coco_annotations_have_the_masks_and_boxes_of_width_and_height(found: Segmentation) -> None:
    annotations = found.to_coco(image_id=7, category_id=3, first_id=100)
    assert [each["id"] for each in annotations] == list(range(100, 100 + len(found.instances)))
    for annotation, instance in zip(annotations, found.instances, strict=True):
        x, y, width, height = annotation["bbox"]
        assert (x, y, x + width, y + height) == pytest.approx(instance.box, abs=0.01)
        assert masks.from_json(annotation["segmentation"]) == instance.rle
        assert (annotation["image_id"], annotation["category_id"], annotation["area"]) == (7, 3, instance.area)


def test_a_notebook_shows_the_image_with_the_masks(found: Segmentation, answer: Answer, scene: Scene) -> None:
    for value in (found, answer):
        data = value._repr_png_()
        assert data is not None
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.width / picture.height == pytest.approx(scene.width / scene.height, abs=0.01)
        page = value._repr_html_()
        assert page.count("<tr>") == len(value.instances) + 1
        assert "data:image/png;base64," in page


def test_a_notebook_shows_the_plain_image_where_nothing_was_found(nothing: Segmentation, workspace: Workspace) -> None:
    plain = workspace.look(nothing.image_id, style="plain")._repr_png_()
    assert nothing._repr_png_() == plain
    assert "<table>" not in nothing._repr_html_()


def test_a_concept_with_markup_is_escaped_in_a_notebook(workspace: Workspace, scene: Scene) -> None:
    (found,) = workspace.segment(workspace.open(scene.image).id, ["<script>x</script>"])
    assert "<script>" not in found._repr_html_()


def test_a_result_outlives_its_image(found: Segmentation, workspace: Workspace) -> None:
    stack = found.masks
    workspace.forget(found.image_id)
    assert found._repr_png_() is None
    assert "<img" not in found._repr_html_()
    assert (found.masks == stack).all()


def test_copies_are_equal_and_a_pickled_one_knows_its_size(nothing: Segmentation, found: Segmentation) -> None:
    for value in (nothing, found):
        again = pickle.loads(pickle.dumps(value))
        assert again == value == copy.deepcopy(value)
        assert again.masks.shape == value.masks.shape
        assert again._repr_png_() is None


@pytest.mark.parametrize(("name", "method"), [("supervision", "to_supervision"), ("pandas", "to_dataframe")])
def test_a_library_that_is_not_there_is_named_with_the_line_that_brings_it(
    found: Segmentation, name: str, method: str
) -> None:
    if not missing(name):
        pytest.skip(f"{name} is installed here")
    with pytest.raises(Sam3AgentError, match=f"{method}\\(\\) needs the package {name}: pip install {name}"):
        getattr(found, method)()


@pytest.mark.skipif(missing("supervision"), reason="supervision is not installed")
def test_supervision_reads_masks_boxes_and_scores(found: Segmentation, nothing: Segmentation) -> None:
    detections = found.to_supervision()
    assert len(detections) == len(found.instances)
    assert (detections.mask == found.masks).all()
    assert set(detections.data["class_name"]) == {"house"}
    assert len(nothing.to_supervision()) == 0


@pytest.mark.skipif(missing("pandas"), reason="pandas is not installed")
def test_pandas_gets_a_row_an_instance(found: Segmentation, nothing: Segmentation) -> None:
    frame = found.to_dataframe()
    assert list(frame["id"]) == [each.id for each in found.instances]
    empty = nothing.to_dataframe()
    assert list(empty.columns) == list(frame.columns)
    assert [str(kind) for kind in empty.dtypes[2:]] == ["float64"] * 6 + ["int64"]
