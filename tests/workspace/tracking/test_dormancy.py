"""Tracks that were away for long: they cost nothing, and come back under their ids."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.model.segmenter import Features
from sam3_agent.model.video_segmenter import TrackedMask, TrackRequest
from sam3_agent.types import Detection
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.association import evidence_of_masks
from sam3_agent.workspace.tracking.lifetime import Lifetimes
from sam3_agent.workspace.tracking.profiles import PAPER, Profile

SIZE, FRAMES, EVERY = 96, 240, 20
ENDLESS = replace(PAPER, dormant_after=0)


def square(left: int, top: int = 10) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[top : top + 12, left : left + 12] = True
    return mask


def passers_by(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """A cat that stays, and another one elsewhere in every 20 frames, there for ten."""
    index = int(image[0, 0, 2])
    number, phase = divmod(index, EVERY)
    seen = [square(60, 60)] + ([square(10 + 12 * (number % 6), 10 + 14 * (number // 6))] if phase < 10 else [])
    return {"cat": detection(seen)}


def visitor(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """A cat that is there in frames 0 to 19 and from 120 on, at another place, where the model knows it by its name."""
    index = int(image[0, 0, 2])
    if 20 <= index < 120:
        return {"cat": detection([])}
    seen = square(10) if index < 20 else square(50, 50)
    return {"cat": detection([seen]), "#tom": detection([seen])}


class Counting(FakeSegmenter):
    """Counts the objects that are followed on each frame."""

    def __init__(self, answers: object) -> None:
        super().__init__(answers)  # pyright: ignore[reportArgumentType]
        self.followed: dict[int, int] = {}

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        by_memory = sum(request.memory is not None for request in requests)
        self.followed[frame] = self.followed.get(frame, 0) + by_memory
        return super().track(features, frame, requests, reverse=reverse)


def video(frames: int = FRAMES) -> NDArray[np.uint8]:
    pixels = np.zeros((frames, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[..., 2] = np.arange(frames)[:, None, None, None][..., 0]
    return pixels


def tracked(model: FakeSegmenter, profile: Profile, folder: Path | None = None) -> dict[str, dict[int, str]]:
    workspace = Workspace(model)
    tracks = workspace.track(workspace.open_video(video()).id, ["cat"], profile=profile, folder=folder)
    return {track.id: {seen.index: seen.rle.counts for seen in track.visible} for track in tracks}


def test_the_cost_of_a_frame_does_not_grow_with_the_tracks_that_there_were() -> None:
    bounded, endless = Counting(passers_by), Counting(passers_by)
    found = tracked(bounded, PAPER)
    assert tracked(endless, ENDLESS) == found
    assert len(found) == 1 + FRAMES // EVERY
    usual = [n for index, n in bounded.followed.items() if index % EVERY]  # at the others, those away are asked once
    assert max(usual) <= 4
    assert endless.followed[FRAMES - 1] == len(found)


def test_an_object_that_was_away_for_a_hundred_frames_comes_back_under_its_id() -> None:
    model = Counting(visitor)
    found = tracked(model, PAPER)
    assert list(found) == ["t1"]
    assert sorted(found["t1"]) == [*range(20), *range(120, FRAMES)]
    assert {model.followed.get(index, 0) for index in range(60, 120)} == {0}


def test_a_run_that_stops_while_a_track_is_dormant_goes_on_to_the_same_tracks(tmp_path: Path) -> None:
    workspace = Workspace(FakeSegmenter(visitor))
    opened = workspace.open_video(video())
    list(islice(workspace.follow(opened.id, ["cat"], live=True, folder=tmp_path), 90))
    assert tracked(FakeSegmenter(visitor), PAPER, tmp_path) == tracked(FakeSegmenter(visitor), PAPER)


def lives(count: int, profile: Profile) -> Lifetimes:
    """So many tracks side by side, found in frame 0 and gone ever since."""
    made = Lifetimes(profile)
    seen = np.stack([square(14 * number) for number in range(count)])
    nothing = np.zeros((0, SIZE, SIZE), dtype=np.bool_)
    made.step(evidence_of_masks(0, seen, [0.9] * count, ["cat"] * count, nothing, []))
    for index in range(1, profile.dormant_after + 1):
        made.step(evidence_of_masks(index, nothing, [], [], np.zeros_like(seen), [-9.0] * count))
    return made


def test_beyond_the_limit_a_dormant_track_is_forgotten_and_its_id_is_not_given_again() -> None:
    made = lives(5, replace(PAPER, most_dormant=3))
    assert made.rest() == ("t1", "t2")
    assert (made.alive, list(made.dormant)) == ((), ["t3", "t4", "t5"])
    nothing = np.zeros((0, SIZE, SIZE), dtype=np.bool_)
    decision = made.step(evidence_of_masks(99, square(0)[None], [0.9], ["cat"], nothing, []))
    assert decision.new == (("t6", 0),)


def test_only_newcomers_of_a_dormant_concept_are_asked_about() -> None:
    made = lives(1, PAPER)
    made.rest()
    nothing = np.zeros((0, SIZE, SIZE), dtype=np.bool_)
    seen = np.stack([square(0), square(40), square(70)])
    evidence = evidence_of_masks(99, seen, [0.9, 0.9, 0.55], ["cat", "dog", "cat"], nothing, [])
    assert made.newcomers(evidence, made.dormant.values()) == (0,)


def test_a_woken_track_takes_its_old_place_and_what_rests_survives_json() -> None:
    made = lives(3, PAPER)
    made.rest()
    again = Lifetimes.from_json(json.loads(json.dumps(made.to_json())), PAPER)
    assert again.dormant == made.dormant == {"t1": "cat", "t2": "cat", "t3": "cat"}
    again.wake(["t3"])
    again.wake(["t1"])
    assert again.alive == ("t1", "t3")
    assert again.life("t2").away == PAPER.dormant_after


def test_a_cut_takes_what_dormant_tracks_overlap_by_chance() -> None:
    made = lives(2, PAPER)
    made.rest()
    nothing = np.zeros((0, SIZE, SIZE), dtype=np.bool_)
    made.step(evidence_of_masks(50, nothing, [], [], nothing, []), cut=True)
    assert made.life("t1").lost


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(InputError, match="0 or more"):
        replace(PAPER, dormant_after=-1)
