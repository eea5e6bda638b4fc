"""Cuts in filmed clips: every splice is noticed, and no motion is taken for one."""

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.workspace.tracking.cuts import CutDetector

Clip = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> list[Clip]:
    cv2 = pytest.importorskip("cv2", reason="OpenCV reads the filmed clips")
    found: list[Clip] = []
    for path in sorted((shared_data / "sam2_videos").glob("*.mp4")):
        video, clip = cv2.VideoCapture(str(path)), Clip()
        while (read := video.read())[0]:
            clip.append(np.ascontiguousarray(read[1][::8, ::8, ::-1]))
        found.append(clip)
    if len(found) < 2:
        pytest.skip("the filmed clips (../shared/data/sam2_videos) are not here")
    return found


def cuts_in(clip: Clip) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(clip) if detector.is_cut(frame)]


def test_no_motion_is_a_cut_even_at_a_quarter_of_the_rate(clips: list[Clip]) -> None:
    assert [cuts_in(clip[::step]) for clip in clips for step in (1, 4)] == [[]] * (2 * len(clips))


def test_every_splice_of_two_clips_is_a_cut_and_nothing_beside_it(clips: list[Clip]) -> None:
    rng = random.Random(0)
    for _ in range(60):
        one, other = rng.sample(clips, 2)
        i, j = rng.randrange(10, len(one)), rng.randrange(len(other) - 10)
        spliced = one[i - 10 : i] + other[j : j + 10]
        assert cuts_in(spliced) == [10]


def test_a_frame_of_another_size_and_the_first_one_are_no_cut() -> None:
    detector = CutDetector()
    assert not detector.is_cut(np.zeros((20, 30, 3), dtype=np.uint8))
    assert not detector.is_cut(np.zeros((2, 2, 3), dtype=np.uint8))
    assert detector.is_cut(np.full((9, 9, 3), 255, dtype=np.uint8))
