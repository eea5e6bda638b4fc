"""The workspace: ids, features, regions, refining, combining, forgetting."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.model.fake import Answers, FakeSegmenter, detection
from sam3_agent.types import ConceptPrompt, Exemplar
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import (
    BLUE_CIRCLE,
    GREEN_SQUARE,
    RED,
    RED_CIRCLES,
    fake_segmenter,
    make_workspace,
    picture,
)


def color_segmenter() -> FakeSegmenter:
    """Finds red pixels in whatever it is shown, crops included."""

    def answers(image: NDArray[np.uint8]) -> Answers:
        return {"red thing": detection([(image == RED).all(axis=2)])}

    return FakeSegmenter(answers)


def test_opening_gives_an_id_the_size_and_one_encode() -> None:
    workspace = make_workspace()
    image = workspace.image("img1")
    assert (image.id, image.width, image.height, image.source) == ("img1", 320, 200, "array")
    assert workspace.encodes == 1
    assert np.array_equal(workspace.pixels("img1"), picture())


def test_pixels_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make_workspace().pixels("img1")[0, 0] = 0


def test_every_mask_has_its_own_id_near_misses_included() -> None:
    circles, stars = make_workspace().segment("img1", ["circle", "star"])
    assert [i.id for i in circles.instances] == ["m1", "m2", "m3"]
    assert [i.id for i in circles.near_misses] == ["m4"]
    assert [i.id for i in (*stars.instances, *stars.near_misses)] == ["m5"]
    assert circles.instances[0].score == pytest.approx(0.95 * 0.9)
    assert (circles.presence, circles.instances[0].object_score) == (0.95, 0.9)


def test_many_questions_encode_once() -> None:
    workspace = make_workspace()
    workspace.segment("img1", ["circle", "square"])
    workspace.presence("img1", ["dog"])
    workspace.refine("img1", None, positive_boxes=[(20, 20, 80, 80)])
    assert workspace.encodes == 1


def test_asking_again_gives_the_same_ids() -> None:
    workspace = make_workspace()
    first = workspace.segment("img1", ["circle"])[0]
    again = workspace.segment("img1", ["circle"], threshold=0.1)[0]
    assert {i.id for i in again.instances} == {i.id for i in (*first.instances, *first.near_misses)}
    assert first.id != again.id


def test_a_concept_given_twice_is_answered_once() -> None:
    found = make_workspace().segment("img1", ["circle", " Circle ", "square"])
    assert [each.prompt.phrase for each in found] == ["circle", "square"]


@pytest.mark.parametrize("concepts", [[], [" "], "circle"])
def test_concepts_that_say_nothing_are_refused(concepts: list[str]) -> None:
    with pytest.raises(InputError):
        make_workspace().segment("img1", concepts)


def test_the_models_own_refusal_comes_through() -> None:
    with pytest.raises(InputError, match="500 characters"):
        make_workspace().segment("img1", ["x" * 500])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_number_from_0_to_1(threshold: float) -> None:
    with pytest.raises(InputError, match="threshold"):
        make_workspace().segment("img1", ["circle"], threshold=threshold)


def test_presence_comes_by_phrase_without_masks() -> None:
    workspace = make_workspace()
    assert workspace.presence("img1", ["circle", "dog", "Dog"]) == {"circle": 0.95, "dog": 0.02}
    assert workspace.masks_of("img1") == []


def test_a_region_is_encoded_once_and_its_masks_lie_in_the_whole_image() -> None:
    workspace = Workspace(color_segmenter())
    workspace.open(picture())
    found = workspace.segment("img1", ["red thing"], region=(220.4, 30.2, 300, 100))[0].instances[0]
    workspace.segment("img1", ["red thing"], region=(220.4, 30.2, 300, 100))
    assert workspace.encodes == 2
    assert np.array_equal(found.mask, RED_CIRCLES[1])
    assert found.box == masks.box(masks.encode(RED_CIRCLES[1]))


def test_a_region_over_the_border_is_clipped_and_one_outside_is_refused() -> None:
    workspace = Workspace(color_segmenter())
    workspace.open(picture())
    assert workspace.segment("img1", ["red thing"], region=(-50, -50, 100, 100))[0].instances[0].box[0] == 20
    with pytest.raises(InputError, match="outside the 320x200 image"):
        workspace.segment("img1", ["red thing"], region=(400, 0, 500, 50))


def test_exemplars_move_with_the_region() -> None:
    workspace = Workspace(color_segmenter())
    workspace.open(picture())
    inside = ConceptPrompt(None, (Exemplar((230.0, 40.0, 271.0, 81.0)),))
    found = workspace.segment("img1", [inside], region=(200, 0, 320, 100))[0]
    assert np.array_equal(found.instances[0].mask, RED_CIRCLES[1])
    with pytest.raises(InputError, match="outside the region"):
        workspace.segment("img1", [inside], region=(0, 0, 100, 100))


def test_boxes_of_the_model_are_clipped_to_the_image() -> None:
    for instance in make_workspace().segment("img1", ["circle"], threshold=0)[0].instances:
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 320
        assert 0 <= y0 < y1 <= 200


def test_more_like_this_and_not_like_that() -> None:
    workspace = make_workspace()
    circles = workspace.segment("img1", ["circle"])[0].instances
    alike = workspace.refine("img1", None, positive_masks=[circles[0].id])
    assert alike.prompt.label == "exemplar"
    assert len(alike.instances) == 2
    without_red = workspace.refine("img1", "circle", negative_masks=[circles[0].id])
    assert [np.array_equal(i.mask, BLUE_CIRCLE) for i in without_red.instances] == [True]


def test_refining_needs_an_example_and_something_to_look_for() -> None:
    workspace = make_workspace()
    with pytest.raises(InputError, match="at least one example"):
        workspace.refine("img1", "circle")
    with pytest.raises(InputError, match="negative examples alone"):
        workspace.refine("img1", None, negative_boxes=[(0, 0, 9, 9)])
    with pytest.raises(InputError, match="outside the 320x200 image"):
        workspace.refine("img1", None, positive_boxes=[(900, 0, 950, 9)])
    with pytest.raises(InputError, match="x0 < x1"):
        workspace.refine("img1", None, positive_boxes=[(9, 0, 5, 9)])
    with pytest.raises(UnknownHandle, match="unknown mask 'm9'; known: none yet"):
        workspace.refine("img1", None, positive_masks=["m9"])


def test_combining_gives_a_new_mask_with_the_score_of_the_weakest_part() -> None:
    workspace = make_workspace()
    first, second, _ = workspace.segment("img1", ["circle"])[0].instances
    both = workspace.combine([first.id, second.id], "union")
    assert both.id == "m5"
    assert np.array_equal(both.mask, RED_CIRCLES[0] | RED_CIRCLES[1])
    assert both.score == second.score
    assert workspace.phrase_of(both.id) == "union of m1, m2"
    rest = workspace.combine([both.id, first.id], "subtract")
    assert np.array_equal(rest.mask, RED_CIRCLES[1])
    assert np.array_equal(workspace.combine([both.id, second.id], "intersect").mask, RED_CIRCLES[1])


def test_combining_refuses_what_makes_no_mask() -> None:
    workspace = make_workspace()
    first, second, _ = (i.id for i in workspace.segment("img1", ["circle"])[0].instances)
    with pytest.raises(InputError, match="intersect of m1, m2 is empty"):
        workspace.combine([first, second], "intersect")
    with pytest.raises(InputError, match="at least two"):
        workspace.combine([first, first], "union")
    with pytest.raises(InputError, match="at least two"):
        workspace.combine([], "union")
    with pytest.raises(InputError, match="operation must be one of"):
        workspace.combine([first, second], "xor")  # pyright: ignore[reportArgumentType]
    assert len(workspace.masks_of("img1")) == 4


def test_masks_of_two_images_do_not_mix() -> None:
    workspace = make_workspace()
    workspace.open(picture())
    one = workspace.segment("img1", ["square"])[0].instances[0]
    other = workspace.segment("img2", ["square"])[0].instances[0]
    assert workspace.image_of(other.id) == "img2"
    with pytest.raises(InputError, match="'m2' is on image 'img2', not on 'img1'"):
        workspace.combine([one.id, other.id], "union")
    with pytest.raises(InputError, match="not on 'img1'"):
        workspace.measure("img1", [other.id])


def test_an_object_has_its_score_under_every_phrase_asked() -> None:
    workspace = make_workspace()
    circle = workspace.segment("img1", ["circle"])[0].instances[2]
    assert workspace.facts([circle.id])[0].concept_scores == {"circle": pytest.approx(0.95 * 0.86)}
    workspace.segment("img1", ["star", "square"])
    scores = workspace.facts([circle.id])[0].concept_scores
    assert scores == {"circle": pytest.approx(0.817), "star": pytest.approx(0.16)}


def test_scores_by_example_are_not_scores_of_a_phrase() -> None:
    workspace = make_workspace()
    found = workspace.refine("img1", "circle", positive_boxes=[(20, 20, 80, 80)]).instances[0]
    assert workspace.facts([found.id])[0].concept_scores == {}


def test_facts_tell_center_area_and_colors() -> None:
    workspace = make_workspace()
    square = workspace.segment("img1", ["square"])[0].instances[0]
    facts = workspace.facts([square.id])[0]
    assert (facts.center, facts.area, facts.area_share) == ((260, 150), 3600, 3600 / 64000)
    assert [(c.name, c.share) for c in facts.colors] == [("green", 1.0)]


def test_features_beyond_the_limit_are_encoded_again_and_masks_stay() -> None:
    workspace = Workspace(fake_segmenter(), max_bytes=picture().nbytes)
    workspace.open(picture())
    square = workspace.segment("img1", ["square"])[0].instances[0]
    workspace.open(picture())
    assert workspace.encodes == 2
    assert workspace.segment("img1", ["square"])[0].instances[0].id == square.id
    assert workspace.encodes == 3
    assert np.array_equal(workspace.instance(square.id).mask, GREEN_SQUARE)


def test_forgetting_frees_an_image_and_its_ids_for_good() -> None:
    workspace = make_workspace()
    workspace.segment("img1", ["circle"])
    workspace.forget("img1")
    assert workspace.images() == []
    with pytest.raises(UnknownHandle, match="unknown image 'img1'; known: none yet"):
        workspace.segment("img1", ["circle"])
    with pytest.raises(UnknownHandle, match="unknown mask 'm1'"):
        workspace.instance("m1")
    assert workspace.open(picture()).id == "img2"
    assert workspace.segment("img2", ["square"])[0].instances[0].id == "m5"


def test_many_threads_get_distinct_ids_and_encode_each_image_once() -> None:
    workspace = Workspace(fake_segmenter())
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(workspace.open, [picture()] * 8))
        found = list(pool.map(lambda image: workspace.segment(image.id, ["circle"])[0], images * 4))
    ids = {(each.image_id, i.id) for each in found for i in each.instances}
    assert len({image.id for image in images}) == 8
    assert len(ids) == len({mask_id for _, mask_id in ids}) == 24
    assert workspace.encodes == 8
    assert len({each.id for each in found}) == 32


def test_a_segmentation_of_an_image_that_is_being_forgotten_leaves_no_mask() -> None:
    workspace: Workspace

    def answers(image: NDArray[np.uint8]) -> Answers:
        if image.shape[0] < 100:  # the region is being encoded
            workspace.forget("img1")
        return {}

    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    with pytest.raises(UnknownHandle, match="img1"):
        workspace.segment("img1", ["circle"], region=(0, 0, 50, 50))
    assert workspace.images() == []


def test_a_picture_of_one_pixel_goes_all_the_way() -> None:
    workspace = Workspace(FakeSegmenter({"dot": detection([np.ones((1, 1), dtype=bool)])}))
    workspace.open(np.zeros((1, 1, 3), np.uint8))
    dot = workspace.segment("img1", ["dot"])[0].instances[0]
    assert workspace.facts([dot.id])[0].colors[0].name == "black"
    assert workspace.measure("img1").rows[0].nearest is None
    assert workspace.look("img1").image.size == (8, 8)
