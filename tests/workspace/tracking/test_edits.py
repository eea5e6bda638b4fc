"""Merging, splitting, relabeling and dropping of tracks."""

import pytest

from sam3_agent import masks
from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.workspace.tracking.edits import Edit, apply_edits
from tests.workspace.tracking.fixtures_tracks import moving, rle_of, track_of

EARLY = track_of("t1", moving((0, 0, 10, 10), (1, 0), range(10)))
LATE = track_of("t2", moving((30, 0, 40, 10), (1, 0), range(8, 20)), "carp")


def test_merged_tracks_are_one_and_masks_in_one_frame_are_joined() -> None:
    (merged,) = apply_edits([EARLY, LATE], [Edit("merge", "t1", ids=("t2",))])
    assert (merged.id, merged.concept, merged.first, merged.last) == ("t1", "fish", 0, 19)
    joined = merged.at(9)
    assert joined is not None
    assert masks.iou([joined.rle], [masks.union([rle_of((9, 0, 19, 10)), rle_of((39, 0, 49, 10))])])[0, 0] == 1
    assert joined.box == (9, 0, 49, 10)
    assert merged.at(12) == LATE.at(12)


def test_a_split_gives_the_later_part_an_id_of_its_own() -> None:
    before, after = apply_edits([EARLY], [Edit("split", "t1", frame=4, new_id="t7")])
    assert (before.id, before.first, before.last) == ("t1", 0, 3)
    assert (after.id, after.first, after.last, after.concept) == ("t7", 4, 9, "fish")
    assert before.frames + after.frames == EARLY.frames


def test_merging_what_was_split_gives_the_track_back() -> None:
    edits = [Edit("split", "t1", frame=4, new_id="t7"), Edit("merge", "t1", ids=("t7",))]
    assert apply_edits([EARLY], edits) == (EARLY,)


def test_relabeled_and_dropped_tracks() -> None:
    (only,) = apply_edits([EARLY, LATE], [Edit("relabel", "t1", concept="eel"), Edit("drop", "t2")])
    assert (only.id, only.concept) == ("t1", "eel")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (Edit("split", "t1", frame=0, new_id="t3"), "split it at one of 1-9"),
        (Edit("split", "t1", frame=10, new_id="t3"), "split it at one of 1-9"),
        (Edit("split", "t1", frame=5, new_id="t2"), "the id t2 is a track already"),
    ],
)
def test_splits_with_nothing_on_one_side_or_a_taken_id_are_refused(edit: Edit, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        apply_edits([EARLY, LATE], [edit])


def test_an_edit_of_an_unknown_track_names_those_that_there_are() -> None:
    with pytest.raises(UnknownHandle, match="unknown track id 't5'; known: t1, t2"):
        apply_edits([EARLY, LATE], [Edit("merge", "t1", ids=("t5",))])


def test_edits_that_lack_a_field_are_refused() -> None:
    with pytest.raises(InputError, match="ids of other tracks"):
        Edit("merge", "t1", ids=("t1",))
    with pytest.raises(InputError, match="needs the frame"):
        Edit("split", "t1", new_id="t2")
    with pytest.raises(InputError, match="needs a concept"):
        Edit("relabel", "t1", concept=" ")


def test_edits_survive_json() -> None:
    for edit in (Edit("merge", "t1", ids=("t2", "t3")), Edit("split", "t1", frame=4, new_id="t7")):
        assert Edit.from_json(edit.to_json()) == edit
