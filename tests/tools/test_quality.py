"""Results say how good a mask is, and other words are asked where one finds nothing."""

from typing import Any

import numpy as np
import pytest
from inline_snapshot import snapshot
from numpy.typing import NDArray

from benchmarks.tiling.truth_segmenter import TruthSegmenter
from sam3_agent import masks
from sam3_agent.errors import ToolError
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.render import Mark, draw_picture
from sam3_agent.tools import ALL_TOOLS, Presentation
from sam3_agent.tools.synonyms import alternatives
from sam3_agent.types import Candidate, Detection, ModelInfo
from sam3_agent.workspace import Workspace
from tests.fixtures_workspace import disc, make_workspace, picture, square

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
TINY = ModelInfo("tiny", "cpu", "float32", 256, 16, 40)
REAL = ModelInfo("facebook/sam3", "cpu", "float32", 1008, 14, 200)


def call(workspace: Workspace, tool: str, /, **raw: Any) -> Presentation:
    return TOOLS[tool].call(workspace, raw)


def candidate(mask: NDArray[np.bool_], box: tuple[float, float, float, float], score: float = 0.9) -> Candidate:
    return Candidate(masks.encode(mask), box, score)


def leaked() -> Workspace:
    """A cup whose mask has leaked onto another one, and that other one."""
    cup = square(20, 20, 80, 80) | square(250, 150, 270, 180)
    answers = {
        "cup": Detection(
            1.0, (candidate(cup, (20, 20, 80, 80)), candidate(square(200, 20, 260, 80), (200, 20, 260, 80)))
        ),
        "mug": Detection(1.0, (candidate(cup, (250, 150, 270, 180), 0.8),)),
        "edge": Detection(1.0, (candidate(square(0, 0, 30, 30), (0, 0, 30, 30)),)),
    }
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    return workspace


def test_stray_pieces_are_told_with_their_shares() -> None:
    result = call(leaked(), "segment_concepts", image_id="img1", concepts=["cup"])
    first, second = result.data["results"][0]["instances"]
    assert (first["parts"], first["outside_box"]) == ([0.857, 0.143], 0.143)
    assert (second["parts"], second["outside_box"]) == ([1.0], 0.0)
    lines = [line for line in result.text.splitlines() if line.startswith("  m")]
    assert "2 parts: 86, 14 %; 14 % outside its box" in lines[0]
    assert "part" not in lines[1]


def test_a_mask_at_the_border_may_go_on_outside() -> None:
    result = call(leaked(), "segment_concepts", image_id="img1", concepts=["edge"])
    assert "at the border" in result.text
    assert result.data["results"][0]["instances"][0]["at_border"] is True


@pytest.mark.parametrize("operation", ["main_part", "in_box"])
def test_one_call_drops_the_strays(operation: str) -> None:
    workspace = leaked()
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup"])
    cleaned = call(workspace, "combine_masks", mask_ids=["m1"], operation=operation)
    new = workspace.instance(cleaned.data["mask"]["id"])
    assert np.array_equal(new.mask, square(20, 20, 80, 80))
    assert new.box == (20, 20, 80, 80)
    assert "masks" not in cleaned.data


@pytest.mark.parametrize("operation", ["main_part", "in_box"])
def test_several_masks_are_cleaned_in_one_call_with_one_small_picture(operation: str) -> None:
    workspace = leaked()
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup", "edge"])
    cleaned = call(workspace, "combine_masks", mask_ids=["m1", "m3", "m1"], operation=operation)
    assert [mask["id"] for mask in cleaned.data["masks"]] == ["m4", "m5"]
    assert cleaned.data["mask"] == cleaned.data["masks"][0]
    assert np.array_equal(workspace.instance("m4").mask, square(20, 20, 80, 80))
    assert cleaned.text.startswith(f"2 new masks on img1, {operation} of m1, m3:")
    (shown,) = cleaned.pictures
    assert "outlined: m4, m5" in shown.caption
    assert max(shown.size) <= 384
    assert "x 0-100, y 0-100" in shown.caption


def test_of_masks_that_cannot_be_cleaned_the_others_are_and_it_is_told() -> None:
    answers = {
        "cup": Detection(1.0, (candidate(square(0, 0, 20, 20), (200, 100, 260, 160)),)),
        "edge": Detection(1.0, (candidate(square(0, 0, 30, 30), (0, 0, 30, 30)),)),
    }
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup", "edge"])
    cleaned = call(workspace, "combine_masks", mask_ids=["m1", "m2"], operation="in_box")
    assert [mask["id"] for mask in cleaned.data["masks"]] == ["m3"]
    assert "no mask: nothing is left: no pixel of m1 lies in its box" in cleaned.text
    with pytest.raises(ToolError, match="unknown mask 'm9'"):
        call(workspace, "combine_masks", mask_ids=["m1", "m9"], operation="in_box")


def test_a_near_miss_that_is_mostly_spill_is_counted_and_not_shown() -> None:
    spilled = candidate(square(20, 20, 60, 60) | square(100, 100, 160, 160), (20, 20, 60, 60), 0.6)
    fair = candidate(square(200, 20, 260, 80), (200, 20, 260, 80), 0.55)
    workspace = Workspace(FakeSegmenter({"cup": Detection(0.6, (), (spilled, fair))}))
    workspace.open(picture())
    result = call(workspace, "segment_concepts", image_id="img1", concepts=["cup"])
    (kept,) = result.data["results"][0]["near_misses"]
    assert kept["box"] == [200, 20, 260, 80]
    assert "near misses, below the threshold (1; 1 junk left out):" in result.text
    left_out = next(m.id for m in workspace.masks_of("img1") if m.id != kept["id"])
    assert left_out not in result.text
    exact = call(workspace, "refine_with_exemplars", image_id="img1", concept="cup", positive_boxes=[200, 20, 260, 80])
    assert all(m["outside_box"] <= 0.5 for m in exact.data["results"][0]["near_misses"])


def test_nothing_in_its_own_box_makes_no_mask() -> None:
    workspace = Workspace(
        FakeSegmenter({"cup": Detection(1.0, (candidate(square(0, 0, 20, 20), (200, 100, 260, 160)),))})
    )
    workspace.open(picture())
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup"])
    with pytest.raises(ToolError, match="no pixel of m1 lies in its box"):
        call(workspace, "combine_masks", mask_ids=["m1"], operation="in_box")


def test_one_mask_under_two_boxes_is_not_one_object() -> None:
    workspace = leaked()
    result = call(workspace, "segment_concepts", image_id="img1", concepts=["cup", "mug"])
    first = result.data["results"][0]["instances"][0]
    assert first["concept_scores"] == {"cup": 0.9}
    assert "m1=m3" not in result.pictures[0].caption


def test_ranks_are_within_a_phrase_and_their_doubts_are_told() -> None:
    workspace = leaked()
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup", "edge"])
    table = call(workspace, "measure_masks", image_id="img1")
    ranks = {row["id"]: row["ranks"]["left_to_right"] for row in table.data["masks"]}
    assert ranks == {"m1": 1, "m2": 2, "m3": 1}
    assert "ranks among masks of the same phrase" in table.text
    assert "doubt: area and place of m1 are unsure: they have stray pieces" in table.text


def test_sizes_that_hardly_differ_are_a_doubt() -> None:
    workspace = Workspace(
        FakeSegmenter({"box": Detection(1.0, (
            candidate(square(0, 0, 50, 50), (0, 0, 50, 50)), candidate(square(100, 0, 151, 50), (100, 0, 151, 50)))),
        })
    )  # fmt: skip
    workspace.open(picture())
    call(workspace, "segment_concepts", image_id="img1", concepts=["box"])
    table = call(workspace, "measure_masks", image_id="img1")
    assert table.data["doubts"] == snapshot(["nearly the same size: m2 and m1"])


def test_a_label_and_a_contact_sheet_keep_to_the_main_part() -> None:
    """The stray piece is near the left border, the object near the right one: so is the label."""
    mask = square(5, 150, 20, 160) | square(250, 20, 310, 80)
    pixels = np.full((200, 320, 3), 128, dtype=np.uint8)
    mark = Mark("m1", masks.encode(mask), (250, 20, 310, 80))
    marked = np.asarray(draw_picture(pixels, [mark]).image)
    plain = np.asarray(draw_picture(pixels, [mark], style="outline").image)
    changed = np.argwhere((marked != plain).any(axis=2))  # the label alone
    assert changed[:, 1].min() > marked.shape[1] / 2
    sheet = np.asarray(draw_picture(pixels, [mark], style="contact_sheet").image)
    small = np.asarray(draw_picture(pixels, [Mark("m1", masks.encode(square(250, 20, 310, 80)), mark.box)],
                                    style="contact_sheet").image)  # fmt: skip
    assert sheet.shape == small.shape
    assert (sheet != small).any(axis=2).mean() < 0.02


def test_what_leaks_out_of_a_given_box_is_told_and_cut_off() -> None:
    strayed = square(20, 20, 80, 80) | square(20, 120, 30, 180)
    workspace = Workspace(FakeSegmenter({"cup": Detection(1.0, (candidate(strayed, (20, 20, 80, 180)),))}))
    workspace.open(picture())
    result = call(workspace, "segment_at", image_id="img1", box=[18, 18, 82, 82])
    (mask,) = result.data["instances"]
    assert (mask["box"], mask["outside_box"]) == ([20, 20, 80, 80], 0.143)
    assert "14 % outside its box" in result.text
    call(workspace, "combine_masks", mask_ids=["m1"], operation="in_box")
    assert np.array_equal(workspace.instance("m2").mask, square(20, 20, 80, 80))


def test_a_label_stays_on_the_object_where_its_mask_has_leaked_onto_something_larger() -> None:
    mask = square(5, 120, 80, 190) | square(270, 20, 310, 60)
    pixels = np.full((200, 320, 3), 128, dtype=np.uint8)
    mark = Mark("m1", masks.encode(mask), (270, 20, 310, 60))
    assert mark.main_box == (270, 20, 310, 60)
    marked = np.asarray(draw_picture(pixels, [mark]).image)
    plain = np.asarray(draw_picture(pixels, [mark], style="outline").image)
    changed = np.argwhere((marked != plain).any(axis=2))  # the label alone
    assert changed[:, 1].min() > marked.shape[1] / 2
    assert Mark("m2", masks.encode(mask), (100, 100, 110, 110)).main_box == (5, 120, 80, 190)


def test_older_outlines_of_the_same_thing_are_left_out_of_a_picture() -> None:
    answers = {
        "cup": Detection(1.0, (candidate(square(20, 20, 80, 80), (20, 20, 80, 80)),)),
        "mug": Detection(1.0, (candidate(square(20, 20, 80, 55), (20, 20, 80, 55)),)),
        "edge": Detection(1.0, (candidate(square(100, 0, 130, 30), (100, 0, 130, 30)),)),
    }
    workspace = Workspace(FakeSegmenter(answers))
    workspace.open(picture())
    call(workspace, "segment_concepts", image_id="img1", concepts=["cup", "edge"])
    (shown,) = call(workspace, "segment_concepts", image_id="img1", concepts=["mug"]).pictures
    assert "outlined: m3; thin, without labels (found earlier): m2;" in shown.caption


def test_another_word_that_found_something_is_not_said_to_have_found_nothing() -> None:
    found = Detection(1.0, (candidate(square(20, 20, 80, 80), (20, 20, 80, 80)),))
    workspace = Workspace(FakeSegmenter({"vehicle": found}))
    workspace.open(picture())
    hints = call(workspace, "segment_concepts", image_id="img1", concepts=["car", "vehicle"]).data["hints"]
    assert hints == snapshot(
        [
            "'car': not found (presence 0.02), nor as 'automobile' or 'sedan' or 'taxi': absent. If you see it in the"
            " image, use segment_at"
        ]
    )


def test_an_unknown_word_is_asked_in_other_words_in_the_same_call() -> None:
    workspace = make_workspace()
    result = call(workspace, "segment_concepts", image_id="img1", concepts=["disc", "dog"])
    (instead,) = result.data["asked_instead"]
    assert (instead["instead_of"], instead["concept"], len(instead["instances"])) == ("disc", "circle", 3)
    assert "asked instead of 'disc', which found nothing:" in result.text
    assert result.data["hints"] == snapshot(
        [
            "'disc' may be a word that the model does not know: see what was found instead. Take it only if you see"
            " that it is what 'disc' means",
            "'dog': not found (presence 0.02), nor as 'puppy': absent. If you see it in the image, use segment_at",
        ]
    )
    assert [each["concept"] for each in result.data["results"]] == ["disc", "dog"]


def test_the_embedded_model_is_asked_only_for_words_it_was_taught() -> None:
    assert alternatives("mug", TINY) == ["cup"]
    assert alternatives("red christmas trees", TINY) == ["red tree"]
    assert alternatives("lightning bolt", TINY) == ["bolt"]
    assert alternatives("moon", TINY) == ["crescent"]
    assert alternatives("violin", TINY) == []
    assert alternatives("cup", TINY) == []


def test_real_weights_are_asked_for_simpler_and_more_general_words() -> None:
    assert "television" in alternatives("tv", REAL)
    assert alternatives("wooden table lamp", REAL) == ["table lamp", "lamp", "lantern", "light"]
    assert len(alternatives("person", REAL)) <= 4


def test_a_call_looks_at_few_parts_unless_more_are_asked_for() -> None:
    dots = [
        masks.encode(square(x, y, x + 8, y + 8, 1600, 2400)) for x in range(10, 2300, 150) for y in range(10, 1500, 500)
    ]
    segmenter = TruthSegmenter({"dot": dots}, ModelInfo("truth", "cpu", "float32", 160, 20, 8), least_side=4)
    workspace = Workspace(segmenter)
    workspace.open(np.zeros((1600, 2400, 3), dtype=np.uint8))
    before = workspace.encodes
    call(workspace, "segment_concepts", image_id="img1", concepts=["dot"])
    few = workspace.encodes - before
    call(workspace, "segment_concepts", image_id="img1", concepts=["dot"], tiles="always")
    assert few <= 16
    assert workspace.encodes - before - few > 16


def test_parts_are_those_of_a_bitmap() -> None:
    both = disc(60, 60, 30) | disc(200, 100, 20)
    parts = masks.parts_of(masks.encode(both))
    assert parts.areas == (int(disc(60, 60, 30).sum()), int(disc(200, 100, 20).sum()))
    assert parts.main_box == masks.box(masks.encode(disc(60, 60, 30)))
    assert masks.main_part(masks.encode(both)) == masks.encode(disc(60, 60, 30))
    assert masks.parts_of(masks.empty(10, 10)).areas == ()
    diagonal = np.eye(5, dtype=bool)
    assert masks.parts_of(masks.encode(diagonal)).areas == (5,)


def test_a_presence_near_a_half_with_a_near_miss_is_a_doubt_and_not_an_absence() -> None:
    near = candidate(square(200, 20, 260, 80), (200, 20, 260, 80), 0.45)
    for presence, doubtful in ((0.44, True), (0.2, False)):
        workspace = Workspace(FakeSegmenter({"cup": Detection(presence, (), (near,))}))
        workspace.open(picture())
        (hint,) = call(workspace, "segment_concepts", image_id="img1", concepts=["cup"]).data["hints"]
        assert ("in doubt" in hint, "absent." in hint or ": absent" in hint) == (doubtful, not doubtful)
