"""Lifetimes beyond the recorded cases: the paper's profile, 3.1's, pinned tracks, cuts, strides, many concepts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.workspace.tracking.association import Evidence, evidence_of_masks, keep_detections, mask_overlap
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes
from sam3_agent.workspace.tracking.occlusion import blanked_by_shrinking
from sam3_agent.workspace.tracking.profiles import (
    PAPER,
    PROFILES,
    SAM3,
    SAM31,
    TINY,
    Profile,
    profile_for,
    profile_of,
)

SIDE = 32
Square = tuple[int, int, int] | None
"""x, y, side of a square mask; None for an empty one."""


def squares(wanted: Sequence[Square]) -> NDArray[np.bool_]:
    masks = np.zeros((len(wanted), SIDE, SIDE), dtype=bool)
    for mask, square in zip(masks, wanted, strict=True):
        if square is not None:
            x, y, side = square
            mask[y : y + side, x : x + side] = True
    return masks


def evidence(
    frame: int,
    detections: Sequence[Square],
    tracks: Sequence[Square],
    scores: Sequence[float] | None = None,
    concepts: Sequence[str] | None = None,
    presence: Sequence[float] | None = None,
    profile: Profile = PAPER,
) -> Evidence:
    return evidence_of_masks(
        frame,
        squares(detections),
        scores or [0.9] * len(detections),
        concepts or ["thing"] * len(detections),
        squares(tracks),
        presence or [5.0] * len(tracks),
        profile.overlap,
    )


HERE, THERE = (2, 2, 8), (20, 20, 8)


def run(
    lives: Lifetimes, frames: Sequence[tuple[Sequence[Square], Sequence[Square]]], start: int = 0
) -> list[Decision]:
    return [
        lives.step(evidence(start + i, detections, tracks, profile=lives.profile))
        for i, (detections, tracks) in enumerate(frames)
    ]


def test_a_steady_track_is_provisional_for_the_delay_and_confirmed_after_it() -> None:
    lives = Lifetimes(PAPER)
    said = run(lives, [([HERE], [])] + [([HERE], [HERE])] * 20)
    states = [one.states["t1"] for one in said]
    assert states == ["provisional"] * PAPER.delay + ["confirmed"] * (21 - PAPER.delay)
    assert all(one.shown == ("t1",) for one in said)


def test_the_paper_removes_at_the_end_of_the_trial_a_track_that_was_mostly_unconfirmed() -> None:
    lives = Lifetimes(PAPER)
    said = run(lives, [([HERE], [])] + [([], [HERE])] * 15)
    assert [one.frame for one in said if one.removed] == [15]
    assert lives.alive == ()
    assert said[3].hidden == ("t1",), "one hit against three misses: hidden before it is removed"


def test_the_paper_hides_an_old_track_only_while_its_masklet_score_is_negative() -> None:
    lives = Lifetimes(PAPER)
    said = run(lives, [([HERE], [])] + [([HERE], [HERE])] * 20 + [([], [HERE])] * 25 + [([HERE], [HERE])] * 10)
    hidden = [one.frame for one in said if one.hidden]
    # S is 21 after frame 20, -1 after 22 misses (frame 42), and 0 again after as many hits as misses beyond it.
    assert hidden[0] == 42
    assert hidden == list(range(42, 49))
    assert said[-1].states["t1"] == "confirmed"


def found_rarely(first: int, end: int) -> list[tuple[list[Square], list[Square]]]:
    return [([HERE] if frame % 3 == 0 else [], [HERE]) for frame in range(first, end)]


def test_the_paper_removes_what_the_detector_finds_in_every_third_frame() -> None:
    lives = Lifetimes(PAPER)
    said = run(lives, [([HERE], []), *found_rarely(1, 16)])
    assert said[-1].removed == ("t1",)


def test_the_tiny_profile_bears_a_detector_that_finds_a_track_in_every_third_frame() -> None:
    lives = Lifetimes(TINY)
    said = run(lives, [([HERE], []), *found_rarely(1, 40)])
    assert lives.alive == ("t1",)
    assert not any(one.hidden for one in said)


def test_the_tiny_profile_still_removes_what_was_found_once_and_never_again() -> None:
    lives = Lifetimes(TINY)
    assert run(lives, [([HERE], [])] + [([], [HERE])] * 15)[-1].removed == ("t1",)


def test_frames_in_which_the_tracker_too_sees_nothing_do_not_count_against_a_track() -> None:
    lives = Lifetimes(PAPER)
    said = run(lives, [([HERE], [])] + [([HERE], [HERE])] * 16 + [([], [None])] * 60 + [([HERE], [HERE])])
    assert said[40].states["t1"] == "left"
    assert said[-1].states["t1"] == "confirmed"
    assert said[-1].new == ()


def test_in_31_a_track_is_shown_after_three_matched_frames_in_a_row() -> None:
    lives = Lifetimes(SAM31)
    said = run(
        lives, [([HERE], []), ([HERE], [HERE]), ([], [HERE]), ([HERE], [HERE]), ([HERE], [HERE]), ([HERE], [HERE])]
    )
    assert [one.shown for one in said] == [(), (), (), (), (), ("t1",)]
    assert said[0].states == {"t1": "provisional"}


def test_in_31_the_part_of_a_track_is_no_new_object_and_ambiguous_matches_confirm_nothing() -> None:
    lives = Lifetimes(SAM31)
    run(lives, [([HERE], [])])
    part = lives.step(evidence(1, [(2, 2, 2)], [HERE], profile=SAM31))  # IoU .06, but all of it lies in the track
    assert part.new == ()
    two = lives.step(evidence(2, [(2, 2, 8), (2, 2, 7)], [HERE], profile=SAM31))
    assert two.matched == {0: (), 1: ()}


def test_30_takes_every_detection_where_there_is_no_track_and_the_others_only_sure_ones() -> None:
    weak = evidence(0, [HERE], [], scores=[0.55])
    assert [len(Lifetimes(profile).step(weak).new) for profile in (SAM3, SAM31, PAPER)] == [1, 0, 0]


def test_a_track_that_a_person_pointed_at_is_never_removed_or_hidden() -> None:
    lives = Lifetimes(replace(SAM3, hide_unmatched=True, keep_alive=(0, 8, -4)))
    pinned = lives.adopt("thing", 0)
    said = run(lives, [([], [HERE])] * 30, start=1)
    assert all(one.states == {pinned: "confirmed"} and not one.hidden for one in said)


def test_concepts_do_not_meddle_with_each_other() -> None:
    lives = Lifetimes(PAPER)
    lives.step(evidence(0, [HERE, HERE], [], concepts=["cat", "pet"]))
    assert lives.concepts == ("cat", "pet")
    said = lives.step(evidence(1, [HERE], [HERE, HERE], concepts=["pet"]))
    assert (said.matched, said.unmatched, said.blanked) == ({0: ("t2",)}, ("t1",), ())


def test_without_detection_nothing_is_matched_or_missed() -> None:
    lives = Lifetimes(replace(SAM3, unmatched_limit=1))
    run(lives, [([HERE], [])])
    said = lives.step(evidence(1, [], [HERE]), detected=False)
    assert (said.unmatched, said.removed, lives.life("t1").keep_alive) == ((), (), 30)


def test_the_box_that_drifts_is_prompted_again_with_the_detectors_mask() -> None:
    lives = Lifetimes(PAPER)
    run(lives, [([(2, 2, 10)], [])])
    steady = lives.step(evidence(1, [(2, 2, 10)], [(2, 2, 10)]))
    drifted = lives.step(evidence(2, [(2, 2, 10)], [(4, 2, 10)]))
    assert steady.reprompts == ()
    assert [(one.id, one.detection, one.source) for one in drifted.reprompts] == [("t1", 0, "detection")]


def test_at_a_cut_a_mask_on_the_same_spot_is_another_object_unless_the_tracker_is_sure() -> None:
    for presence, new in ((-4.0, 1), (4.0, 0)):
        lives = Lifetimes(PAPER)
        run(lives, [([HERE], [])] + [([HERE], [HERE])] * 3)
        said = lives.step(evidence(4, [HERE], [HERE], presence=[presence]), cut=True)
        assert len(said.new) == new
        assert said.found_again == (() if new else ("t1",))
        assert said.states["t1"] == ("left" if new else "provisional")


def test_a_track_lost_at_a_cut_in_its_trial_is_kept_and_may_be_found_again() -> None:
    lives = Lifetimes(PAPER)
    run(lives, [([HERE], [])] + [([HERE], [HERE])] * 3)
    lives.step(evidence(4, [], [HERE], presence=[-1.0]), cut=True)
    said = run(lives, [([], [HERE])] * 30, start=5)
    assert not any(one.removed or one.shown for one in said)
    back = lives.step(evidence(35, [THERE], [THERE]))
    assert (back.found_again, back.shown, back.new) == (("t1",), ("t1",), ())


def test_ids_of_dropped_tracks_are_not_given_again_even_after_a_resume() -> None:
    lives = Lifetimes(PAPER)
    run(lives, [([HERE, THERE], [])])
    lives.forget("t2")
    lives = Lifetimes.from_json(lives.to_json(), PAPER)
    said = lives.step(evidence(1, [THERE], [HERE]))
    assert said.new == (("t3", 0),)
    with pytest.raises(UnknownHandle, match="known: t1, t3"):
        lives.forget("t2")


def test_beyond_the_limit_the_best_new_objects_are_taken() -> None:
    lives = Lifetimes(replace(PAPER, most_tracks=1))
    said = lives.step(evidence(0, [HERE, THERE], [], scores=[0.8, 0.9]))
    assert (said.new, said.dropped) == ((("t1", 1),), 1)


def test_what_is_remembered_does_not_grow_with_the_video() -> None:
    lives = Lifetimes(SAM3)
    run(lives, [([HERE, THERE], [])])
    sizes = [
        len(str(run(lives, [([HERE, THERE], [HERE, THERE])] * 50, start=1 + 50 * i) and lives.to_json()))
        for i in range(8)
    ]
    assert max(sizes[1:]) - sizes[1] < 50, "only the digits of counters may grow"


def test_detections_are_kept_by_score_border_and_overlap_within_a_concept() -> None:
    masks = squares([HERE, (3, 2, 8), HERE, THERE, THERE])
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.9], dtype=np.float32)
    concepts = ["cat", "cat", "pet", "cat", "cat"]
    assert keep_detections(PAPER, scores, concepts, mask_overlap(masks, masks)) == [0, 2, 4]
    centers = np.array([[0.5, 0.01], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.99, 0.5]])
    assert keep_detections(SAM31, scores, concepts, mask_overlap(masks, masks, "iom"), centers) == [1, 2]
    with pytest.raises(InputError, match="centers"):
        keep_detections(SAM31, scores, concepts, mask_overlap(masks, masks))


def test_a_rest_of_a_mask_is_blanked() -> None:
    assert blanked_by_shrinking(SAM3, np.array([100, 100, 0]), np.array([29, 30, 0])).tolist() == [True, False, True]


def test_evidence_that_does_not_fit_is_refused() -> None:
    lives = Lifetimes(PAPER)
    with pytest.raises(InputError, match="1 tracks, 0 are alive"):
        lives.step(evidence(0, [], [HERE]))
    with pytest.raises(InputError, match=r"profile '3\.0', not 'paper'"):
        Lifetimes.from_json(Lifetimes(SAM3).to_json(), PAPER)


def test_profiles_are_found_by_name_and_refuse_nonsense() -> None:
    assert list(PROFILES) == ["3.0", "3.1", "paper", "tiny"]
    assert profile_of("paper", new_score=0.6).new_score == 0.6
    with pytest.raises(InputError, match=r"unknown profile '4'; use one of: 3\.0, 3\.1, paper, tiny"):
        profile_of("4")
    with pytest.raises(InputError, match="keep_alive"):
        replace(SAM3, keep_alive=(0, -1, -4))
    with pytest.raises(InputError, match="new_score is a share"):
        profile_of("3.0", new_score=7)


def test_the_embedded_model_has_a_profile_of_its_own_and_others_the_papers() -> None:
    assert profile_for("tiny") is TINY
    assert profile_for("tiny+bolts") is TINY
    assert profile_for("facebook/sam3") is PAPER
    assert profile_for("/weights/tiny-ish") is PAPER
