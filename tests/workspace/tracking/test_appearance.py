"""Objects that come back, and neighbors that a track goes over to, are told apart by their colors."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.types import Detection
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.appearance import Appearances, best_pairs, likeness, shares_of
from sam3_agent.workspace.tracking.profiles import PAPER, TINY, Profile

SIZE, FRAMES, SIDE = 96, 60, 14
RED, BLUE, GREEN = (210, 30, 30), (40, 60, 210), (40, 160, 60)
LOOKS = replace(PAPER, appearance=0.7)
Things = list[tuple[int, int, tuple[int, int, int]]]
"""(left, top, color) of each cat."""


def scene(index: int, things: Things, ground: int = 235) -> NDArray[np.uint8]:
    """A frame whose corner says its number."""
    pixels = np.full((SIZE, SIZE, 3), ground, dtype=np.uint8)
    for left, top, color in things:
        pixels[top : top + SIDE, left : left + SIDE] = color
    pixels[0, 0] = index
    return pixels


def square(left: int, top: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[top : top + SIDE, left : left + SIDE] = True
    return mask


def follow(story: dict[int, Things], profile: Profile, cut: int = FRAMES) -> dict[str, dict[int, tuple[int, int]]]:
    """Track id -> frame -> (left, top), for cats that are all detected; a frame not in the story shows none.

    From the cut on the ground is dark.
    """
    frames = np.stack([scene(i, story.get(i, []), 235 if i < cut else 20) for i in range(FRAMES)])
    workspace = Workspace(FakeSegmenter(lambda image: answers(image, story)))
    tracks = workspace.track(workspace.open_video(frames).id, ["cat"], profile=profile)
    return {t.id: {f.index: (int(f.box[0]), int(f.box[1])) for f in t.visible} for t in tracks}


def answers(image: NDArray[np.uint8], story: dict[int, Things]) -> dict[str, Detection]:
    seen = story.get(int(image[0, 0, 0]), [])
    return {"cat": detection([square(left, top) for left, top, _ in seen])}


def away_and_back(color: tuple[int, int, int]) -> dict[int, Things]:
    """A red cat at the left until frame 19, one of that color at the right from frame 30 on."""
    return {i: [(8, 8, RED)] for i in range(20)} | {i: [(70, 60, color)] for i in range(30, FRAMES)}


def test_what_comes_back_elsewhere_in_its_colors_keeps_its_id() -> None:
    found = follow(away_and_back(RED), LOOKS)
    assert list(found) == ["t1"]
    assert found["t1"][19] == (8, 8)
    assert found["t1"][FRAMES - 1] == (70, 60)
    assert not {*found["t1"]} & {*range(20, 30)}


def test_what_comes_in_other_colors_is_another_one() -> None:
    assert [min(seen) for seen in follow(away_and_back(BLUE), LOOKS).values()] == [0, 30]


def test_a_profile_without_appearance_takes_what_comes_back_for_a_new_one() -> None:
    assert [min(seen) for seen in follow(away_and_back(RED), PAPER).values()] == [0, 30]
    assert TINY.appearance
    assert not PAPER.appearance


def test_of_two_that_were_there_the_likelier_comes_back() -> None:
    both: Things = [(8, 8, RED), (8, 60, BLUE)]
    story = {i: both for i in range(20)} | {i: [(70, 8, BLUE), (70, 60, RED)] for i in range(35, FRAMES)}
    found = follow(story, LOOKS)
    assert {track_id: (seen[0], seen[FRAMES - 1]) for track_id, seen in found.items()} == {
        "t1": ((8, 8), (70, 60)),
        "t2": ((8, 60), (70, 8)),
    }


def test_a_track_that_goes_over_to_an_absent_neighbor_gives_it_back() -> None:
    """The blue one hides; the red one jumps away as the blue one appears where the red one was."""
    story: dict[int, Things] = {i: [(30, 30, RED), (50, 30, BLUE)] for i in range(20)}
    story |= {i: [(30, 30, RED)] for i in range(20, 25)}
    story |= {i: [(30, 32, BLUE), (70, 70, RED)] for i in range(25, FRAMES)}
    found = follow(story, LOOKS)
    assert {track_id: seen[FRAMES - 1] for track_id, seen in found.items()} == {"t1": (70, 70), "t2": (30, 32)}
    assert follow(story, PAPER)["t1"][FRAMES - 1] == (30, 32)


def test_what_is_elsewhere_after_a_cut_keeps_its_id_by_its_looks() -> None:
    story: dict[int, Things] = {i: [(8, 8, RED), (8, 60, BLUE)] for i in range(30)}
    story |= {i: [(70, 8, BLUE), (60, 70, RED)] for i in range(30, FRAMES)}
    found = follow(story, LOOKS, cut=30)
    assert {track_id: seen[FRAMES - 1] for track_id, seen in found.items()} == {"t1": (60, 70), "t2": (70, 8)}
    assert len(follow(story, PAPER, cut=30)) == 4


def test_what_memory_has_woken_is_not_given_to_another_by_its_looks() -> None:
    """Two red cats rest, beside a dog that stays; one comes back where memory knows it by its name."""
    tom, other, rex = (8, 8), (8, 60), (40, 40)

    def told(image: NDArray[np.uint8]) -> dict[str, Detection]:
        index, dog = int(image[0, 0, 0]), {"dog": detection([square(*rex)])}
        if index < 18:
            return dog | {"cat": detection([square(*tom), square(*other)]), "#tom": detection([square(*tom)])}
        back = [square(70, 60)] if index >= 52 else []
        return dog | {"cat": detection(back), "#tom": detection(back)}

    shown: dict[bool, Things] = {True: [(*tom, RED), (*other, RED)], False: [(70, 60, RED)]}
    frames = np.stack([scene(i, [*shown[i < 18], (*rex, GREEN)] if i < 18 or i >= 52 else []) for i in range(FRAMES)])
    workspace = Workspace(FakeSegmenter(told))
    tracks = workspace.track(workspace.open_video(frames).id, ["cat", "dog"], profile=LOOKS)
    assert {t.id: max(f.index for f in t.visible) for t in tracks} == {"t1": FRAMES - 1, "t2": 17, "t3": FRAMES - 1}
    assert {t.id: max(f.index for f in t.frames) for t in tracks}["t2"] < 52, "the other one rests on"


def test_an_object_that_turns_to_another_color_stays_itself() -> None:
    story: dict[int, Things] = {i: [(30, 30, RED), (60, 60, BLUE)] for i in range(20)}
    story |= {i: [(30, 30, GREEN)] for i in range(20, FRAMES)}
    assert follow(story, LOOKS)["t1"][FRAMES - 1] == (30, 30)


def test_a_run_that_stops_between_goes_on_to_the_same_tracks(tmp_path: Path) -> None:
    story = away_and_back(RED)
    frames = np.stack([scene(index, story.get(index, [])) for index in range(FRAMES)])

    def track(frames_told: int | None = None) -> list[str]:
        workspace = Workspace(FakeSegmenter(lambda image: answers(image, story)))
        video_id = workspace.open_video(frames).id
        if frames_told is not None:
            list(islice(workspace.follow(video_id, ["cat"], profile=LOOKS, live=True, folder=tmp_path), frames_told))
            return []
        return [t.id for t in workspace.track(video_id, ["cat"], profile=LOOKS, folder=tmp_path)]

    track(25)
    assert track() == ["t1"]


def test_likeness_is_the_share_of_pixels_of_the_same_color() -> None:
    image = scene(9, [(10, 10, RED), (40, 10, BLUE)])
    red, blue = (shares_of(image, masks.encode(square(left, 10))) for left in (10, 40))
    assert likeness(red, red) == pytest.approx(1.0, abs=0.02)
    assert likeness(red, blue) == 0.0
    assert likeness({"red": 0.6, "white": 0.4}, {"red": 0.3, "white": 0.5, "black": 0.2}) == pytest.approx(0.7)


def test_looks_are_learned_slowly_and_survive_json() -> None:
    known = Appearances()
    known.learn("t1", {"red": 1.0})
    known.learn("t1", {"blue": 1.0})
    assert known.to_json() == {"t1": {"blue": 0.2, "red": 0.8}}
    again = Appearances(known.to_json())
    assert again.likeness("t1", {"red": 1.0}) == 0.8
    assert again.likeness("t9", {"red": 1.0}) == 0.0
    again.keep(["t9"])
    assert again.to_json() == {}


def test_each_detection_and_each_track_is_paired_once_the_likeliest_first() -> None:
    table = {(0, "t1"): 0.8, (0, "t2"): 0.9, (1, "t1"): 0.75, (1, "t2"): 0.95, (2, "t3"): 0.6}
    assert best_pairs(table, 0.7) == {"t2": 1, "t1": 0}


def test_an_appearance_that_is_no_share_is_refused() -> None:
    with pytest.raises(InputError, match="appearance is a share"):
        replace(PAPER, appearance=1.5)
