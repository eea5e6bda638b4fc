"""Presence under which a learned concept is not there."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.types import ConceptPrompt, DetectOptions, Exemplar
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.presence_calibration import LEAST_IMAGES, MARGIN, least_presence

STARS = SceneOptions(max_side=400, required_pairs=(("star", "red"), ("star", "blue")))


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def test_it_lies_a_margin_under_the_lowest_of_enough_images() -> None:
    seen = [0.999, 0.98, 0.9995, 0.995, 0.99]
    assert _log_odds(0.98) - _log_odds(least_presence(seen)) == pytest.approx(MARGIN, abs=1e-3)
    assert least_presence(seen[: LEAST_IMAGES - 1]) == 0.0
    assert 0 < least_presence([1.0] * LEAST_IMAGES) < 1
    assert 0 <= least_presence([0.0] * LEAST_IMAGES) < 1e-5


@pytest.fixture(scope="module")
def tiny_segmenter() -> Sam3:
    return Sam3.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def workspace(tiny_segmenter: Sam3) -> Workspace:
    return Workspace(tiny_segmenter)


def test_under_it_nothing_is_found_and_presence_is_told_all_the_same(workspace: Workspace) -> None:
    scene = generate_scene(11, STARS)
    image = workspace.open(scene.image)
    boxes = [(image.id, thing.box) for thing in scene.objects if thing.noun == "star"]
    concept = workspace.learn("mark", None, positive_boxes=boxes)
    assert concept.least_presence == 0.0  # one image has nothing to be left out
    (plain,) = workspace.segment(image.id, ["@mark"], tiles="never")
    assert plain.instances
    workspace.add_concept(replace(concept, least_presence=0.9999999))
    (strict,) = workspace.segment(image.id, ["@mark"], tiles="never")
    assert not strict.instances
    assert strict.near_misses
    assert strict.presence == plain.presence
    (assumed,) = workspace.segment(image.id, ["@mark"], tiles="never", assume_present=True)
    assert len(assumed.instances) >= len(plain.instances)


def test_a_box_on_the_very_image_asks_without_it(tiny_segmenter: Sam3, workspace: Workspace) -> None:
    scene = generate_scene(11, STARS)
    image = workspace.open(scene.image)
    star = next(thing for thing in scene.objects if thing.noun == "star")
    concept = replace(workspace.learn("star", None, positive_boxes=[(image.id, star.box)]), least_presence=0.9999999)
    features = tiny_segmenter.encode(scene.image)
    asked = [ConceptPrompt(None, (), concept), ConceptPrompt(None, (Exemplar(star.box),), concept)]
    alone, shown = tiny_segmenter.detect(features, asked, DetectOptions())
    assert not alone.kept
    assert shown.kept


def test_several_images_of_a_concept_set_it(workspace: Workspace) -> None:
    boxes = []
    for seed in range(20, 20 + LEAST_IMAGES):
        scene = generate_scene(seed, STARS)
        image = workspace.open(scene.image)
        boxes += [(image.id, thing.box) for thing in scene.objects if thing.noun == "star"][:2]
    assert 0 < workspace.learn("seen", None, positive_boxes=boxes).least_presence < 1


def test_a_file_keeps_it_and_one_without_it_asks_as_before(workspace: Workspace, tmp_path: Path) -> None:
    scene = generate_scene(11, STARS)
    image = workspace.open(scene.image)
    concept = replace(
        workspace.learn("kept", None, positive_boxes=[(image.id, scene.objects[0].box)]), least_presence=0.97
    )
    path = tmp_path / "kept.concept.json"
    write_concept(concept, path)
    assert read_concept(path).least_presence == 0.97
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["least_presence"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_concept(path).least_presence == 0.0
    for wrong in (1.0, -0.1, 7):
        path.write_text(json.dumps({**document, "least_presence": wrong}), encoding="utf-8")
        with pytest.raises(InputError):
            read_concept(path)
