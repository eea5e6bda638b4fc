"""Teaching of a concept: views, errors, and short trainings of the tiny model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import read_concept, write_concept
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.training.checkpoint import read_state
from sam3_agent.training.teaching.progress import TeachProgress
from sam3_agent.training.teaching.prompt_tokens import TokenOptions
from sam3_agent.training.teaching.teach import TeachOptions, teach
from sam3_agent.training.teaching.views import TeachingImage, pasted, view, views_of
from sam3_agent.types import Concept, ConceptPrompt, ExemplarTokens
from sam3_agent.workspace import Workspace

SHORT = TeachOptions(TokenOptions(tokens=3, folds=2, steps=2, batch=2), views=1, absent_views=1, pastes=1)


@pytest.fixture(autouse=True)
def trained_tokens_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short trainings lose to the examples' own token, which would be kept in their place."""
    monkeypatch.setattr("sam3_agent.training.teaching.teach.TRAINED_MARGIN", -10.0)


@pytest.fixture(scope="module")
def segmenter() -> Sam3:
    return Sam3.load("tiny", device="cpu")


def images_of(noun: str, count: int) -> list[TeachingImage]:
    """So many small scenes with two of the noun, and as many without it."""
    having = SceneOptions(min_side=96, max_side=128, max_objects=4, required_pairs=((noun, "red"), (noun, "blue")))
    lacking = SceneOptions(min_side=96, max_side=128, max_objects=3)
    found: list[TeachingImage] = []
    for options, wanted, seed in ((having, True, 0), (lacking, False, 100)):
        kept: list[TeachingImage] = []
        while len(kept) < count:
            scene = generate_scene(seed, options)
            objects = tuple(masks.encode(o.mask) for o in scene.objects if o.noun == noun)
            if (len(objects) >= 2) == wanted and (wanted or not objects):
                kept.append(TeachingImage(scene.image, objects, name=f"{seed}"))
            seed += 1
        found += kept
    return found


def square(size: int = 40) -> TeachingImage:
    """A gray image with one square object in its upper left."""
    mask = np.zeros((size, size), bool)
    mask[4:14, 6:18] = True
    return TeachingImage(np.full((size, size, 3), 90, np.uint8), (masks.encode(mask),))


def test_a_view_holds_the_boxes_of_what_is_seen_in_it() -> None:
    image = square()
    whole, half = view(image, (0, 0, 40, 40)), view(image, (10, 0, 40, 20))
    assert whole.boxes.tolist() == [pytest.approx([12 / 40, 9 / 40, 12 / 40, 10 / 40])]
    assert half.boxes.tolist() == [pytest.approx([4 / 30, 9 / 20, 8 / 30, 10 / 20])]
    assert view(image, (17, 0, 40, 40)).boxes.shape == (0, 4)


def test_views_begin_with_the_image_itself_and_keep_boxes_inside() -> None:
    views = list(views_of(square(), 12, np.random.default_rng(0)))
    assert np.array_equal(views[0].pixels, square().pixels)
    assert len(views) == 12
    boxes = np.concatenate([each.boxes for each in views])
    assert (boxes[:, :2] - boxes[:, 2:] / 2 >= -1e-6).all()
    assert (boxes[:, :2] + boxes[:, 2:] / 2 <= 1 + 1e-6).all()


def test_a_look_alike_gives_a_view_without_the_concept() -> None:
    other = np.zeros((40, 40), bool)
    other[30:38, 30:38] = True
    image = TeachingImage(square().pixels, square().objects, (masks.encode(other),))
    views = list(views_of(image, 1, np.random.default_rng(0)))
    assert [len(each.boxes) for each in views] == [1, 0]


@pytest.mark.parametrize("size", [(40, 40), (9, 70), (5, 5)])
def test_what_is_pasted_is_marked_where_it_stands_and_hides_what_it_covers(size: tuple[int, int]) -> None:
    donor = replace(square(), pixels=np.full((40, 40, 3), 200, np.uint8))
    bare = TeachingImage(np.full((*size, 3), 90, np.uint8))
    for seed in range(8):
        once = pasted(bare, [donor], np.random.default_rng(seed))
        assert not bare.objects
        assert (bare.pixels == 90).all()
        twice = pasted(once, [donor], np.random.default_rng(seed + 100))
        shapes = np.stack([masks.decode(rle) for rle in twice.objects] or [np.zeros(size, bool)])
        assert (shapes.sum(axis=0) <= 1).all()
        assert (twice.pixels[shapes.any(axis=0)] == 200).all()
    assert any(pasted(bare, [donor], np.random.default_rng(seed)).objects for seed in range(8)) == (size != (5, 5))


def test_views_of_an_absent_image_show_the_concept_where_a_donor_is_pasted_into_it() -> None:
    bare = TeachingImage(np.full((60, 60, 3), 30, np.uint8))
    views = list(views_of(bare, 2, np.random.default_rng(3), donors=[square()], pastes=6))
    assert [len(each.boxes) for each in views[:2]] == [0, 0]
    assert len(views) == 8
    assert sum(len(each.boxes) > 0 for each in views[2:]) >= 4
    assert len(list(views_of(bare, 2, np.random.default_rng(3), donors=[bare], pastes=6))) == 2


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "nothing is marked"),
        ([square()] * 3, "3 objects on 3 images are too few .* `learn` makes"),
        ([square()] * 8, "0 of the images are without it"),
    ],
)
def test_too_few_images_are_refused_with_what_is_needed(
    segmenter: Sam3, images: list[TeachingImage], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        teach(segmenter, "gear", images)


def test_a_bad_name_is_told_before_anything_is_read(segmenter: Sam3) -> None:
    with pytest.raises(InputError, match="a concept's name is"):
        teach(segmenter, "no name", [])


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="a mask of size"):
        TeachingImage(np.zeros((10, 10, 3), np.uint8), square().objects)


@pytest.mark.integration
def test_a_taught_concept_goes_wherever_a_learned_one_goes_and_changes_no_other_word(
    segmenter: Sam3, tmp_path: Path
) -> None:
    images = images_of("star", 4)
    features = segmenter.encode(images[0].pixels)
    words = [ConceptPrompt("star"), ConceptPrompt("red circle"), ConceptPrompt("key")]
    before = segmenter.detect(features, words)
    told: list[TeachProgress] = []
    concept = teach(segmenter, "mine", images, options=SHORT, on_progress=told.append)
    assert segmenter.detect(features, words) == before
    assert (concept.tokens.count, concept.example_count) == (3, sum(len(image.objects) for image in images))
    assert concept.estimate is not None
    assert (concept.estimate.absent, concept.estimate.held_out) == (4, True)
    assert (told[-1].done, told[-1].of, told[-1].seconds_left) == (4, 4, 0.0)
    write_concept(concept, tmp_path / "mine.concept.json")
    assert (tmp_path / "mine.concept.json").stat().st_size < 100_000
    workspace = Workspace(segmenter)
    workspace.add_concept(read_concept(tmp_path / "mine.concept.json"))
    image = workspace.open(images[0].pixels)
    assert workspace.segment(image.id, ["@mine", "star"])[0].threshold == pytest.approx(concept.threshold)
    assert set(workspace.presence(image.id, ["@mine"])) == {"@mine"}


class Killed(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.integration
def test_a_killed_training_goes_on_and_ends_with_the_same_tokens(segmenter: Sam3, tmp_path: Path) -> None:
    images, recipe = images_of("star", 4), replace(SHORT, tokens=replace(SHORT.tokens, steps=3))

    def kill(now: TeachProgress) -> None:
        if now.doing == "training" and now.done == 4:
            raise Killed

    with pytest.raises(Killed):
        teach(segmenter, "mine", images, options=recipe, folder=tmp_path, on_progress=kill)
    saved = read_state(tmp_path)
    assert saved is not None
    assert saved["fold"] == 1
    steps: list[int] = []
    resumed = teach(
        segmenter, "mine", images, options=recipe, folder=tmp_path, on_progress=lambda now: steps.append(now.done)
    )
    assert steps[-3:] == [4, 5, 6]
    assert resumed.tokens == teach(segmenter, "mine", images, options=recipe).tokens


@pytest.mark.integration
def test_a_checkpoint_of_other_images_is_not_gone_on_from(segmenter: Sam3, tmp_path: Path) -> None:
    images = images_of("star", 4)
    first = teach(segmenter, "mine", images, options=SHORT, folder=tmp_path)
    other = teach(segmenter, "mine", images[::-1], options=SHORT, folder=tmp_path)
    assert first.tokens != other.tokens


def test_a_taught_concept_of_other_weights_is_refused(segmenter: Sam3) -> None:
    rows = torch.zeros(2, 128).numpy().astype("<f4").tobytes()
    foreign = Concept("gear", None, ExemplarTokens(rows, 2, 128, "0" * 16))
    features = segmenter.encode(square().pixels)
    with pytest.raises(InputError, match="learned by other weights"):
        segmenter.detect(features, [ConceptPrompt(None, (), foreign)])
