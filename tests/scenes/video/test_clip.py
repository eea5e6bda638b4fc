"""Procedural clips: the same seed the same bytes, exact masks, and everything that is meant to happen in them."""

from __future__ import annotations

import numpy as np
import pytest

from sam3_agent.scenes import NOUNS, SUPERCATEGORY
from sam3_agent.scenes.video import (
    FIRST_TRAINING_SEED,
    MOST_EVALUATION_SEED,
    Clip,
    ClipOptions,
    draw_clip,
    evaluation_seed,
    plan_clip,
    truth_of,
)

SIZE = (160, 120)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Forty clips of 24 frames, of the usual mixture."""
    return [draw_clip(seed, 24, SIZE) for seed in range(40)]


def test_one_seed_gives_the_same_bytes_every_time() -> None:
    for seed in range(4):
        first, second = draw_clip(seed, 12), draw_clip(seed, 12)
        assert np.array_equal(first.frames, second.frames)
        assert np.array_equal(first.owner, second.owner)
        assert first.objects == second.objects


def test_any_frame_can_be_drawn_alone_and_is_that_of_the_whole_clip() -> None:
    for seed in range(4):
        clip, plan = draw_clip(seed, 10, SIZE), plan_clip(seed, 10, SIZE)
        for index in (9, 0, 4):
            frame = plan.frame(index)
            assert np.array_equal(frame.image, clip.frames[index])
            assert np.array_equal(frame.owner, clip.owner[index])
            assert np.array_equal(frame.whole, clip.whole[index])
    with pytest.raises(IndexError, match="from 0 to 9"):
        plan.frame(10)


def test_shapes_and_types_are_those_promised(clips: list[Clip]) -> None:
    for clip in clips[:10]:
        count = len(clip.objects)
        assert clip.frames.shape == (24, 120, 160, 3)
        assert clip.owner.shape == (24, 120, 160)
        assert clip.masks.shape == (24, count, 120, 160)
        assert clip.masks.dtype == np.bool_
        assert clip.frames.dtype == clip.owner.dtype == np.uint8
        assert clip.whole.shape == clip.areas.shape == (24, count)
        assert [thing.id for thing in clip.objects] == list(range(1, count + 1))
        assert all(len(thing.colors) == 24 and thing.noun in NOUNS for thing in clip.objects)
        assert all(thing.supercategory == SUPERCATEGORY[thing.noun] for thing in clip.objects)


def test_masks_never_overlap_and_are_never_larger_than_the_silhouette(clips: list[Clip]) -> None:
    for clip in clips:
        assert (clip.areas <= clip.whole).all()
        assert (clip.masks.sum(axis=1) <= 1).all()
        assert np.array_equal(clip.masks.sum(axis=(2, 3)), clip.areas)


def test_the_mask_is_what_is_painted() -> None:
    """Where the camera does nothing, all frames of a scene at rest differ from each other only in masked pixels."""
    still = ClipOptions(pans=0.0, cuts=0.0, recolors=0.0, twins=0.0, occlusions=0.0, spins=0.0, growths=0.0)
    checked = 0
    for seed in range(40):
        clip = draw_clip(seed, 6, SIZE, still)
        covered = (clip.owner[0] > 0) | (clip.owner[5] > 0)
        covered = _grown(covered, 6)
        outside = np.abs(clip.frames[0].astype(int) - clip.frames[5]).max(axis=-1)[~covered]
        if outside.size and plan_clip(seed, 6, SIZE, still).stage.finish is None:
            assert outside.max() == 0
            checked += 1
    assert checked >= 3


def _grown(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], by: int) -> np.ndarray:
    """`mask` with `by` pixels more on every side: what is painted fades out there."""
    wide = np.pad(mask, by)
    return np.lib.stride_tricks.sliding_window_view(wide, (2 * by + 1, 2 * by + 1)).any(axis=(2, 3))


def test_objects_leave_enter_return_and_hide(clips: list[Clip]) -> None:
    gone = entered = away = covered = 0
    for clip in clips:
        seen = clip.areas > 0
        gone += int((seen[0] & ~seen[-1]).sum())
        entered += int((~seen[0] & seen[-1]).sum())
        away += int((seen[0] & seen[-1] & ~seen.all(axis=0)).sum())
        in_view = (clip.whole > 0) & ~seen & seen[0]
        covered += int(in_view.any(axis=0).sum())
    assert gone >= 15
    assert entered >= 15
    assert away >= 8
    assert covered >= 12


def test_an_object_is_hidden_whole_behind_a_larger_one() -> None:
    hiding = ClipOptions(occlusions=1.0, pans=0.0, cuts=0.0, twins=0.0, growths=0.0)
    hidden = [
        thing
        for seed in range(30)
        for clip in [draw_clip(seed, 24, SIZE, hiding)]
        for thing in clip.objects
        if thing.role == "hide" and (clip.areas[:, thing.id - 1] == 0).any() and clip.areas[0, thing.id - 1] > 0
    ]
    assert len(hidden) >= 10


def test_twins_look_exactly_alike_and_are_two_objects() -> None:
    options = ClipOptions(twins=1.0, cuts=0.0)
    clip = next(clip for seed in range(10) for clip in [draw_clip(seed, 8, SIZE, options)] if _twin(clip))
    twin = _twin(clip)
    assert twin is not None
    model = clip.objects[twin.twin_of - 1 if twin.twin_of else 0]
    assert (twin.noun, twin.colors, twin.pattern) == (model.noun, model.colors, model.pattern)
    stage = plan_clip(clip.seed, 8, SIZE, options).stage
    assert stage.sprites[twin.id - 1] is stage.sprites[model.id - 1]


def _twin(clip: Clip):
    return next((thing for thing in clip.objects if thing.twin_of is not None), None)


def test_a_cut_changes_the_picture_at_once_and_no_twin_outlives_it() -> None:
    options = ClipOptions(cuts=1.0, twins=1.0, pans=0.0)
    for seed in range(12):
        clip = draw_clip(seed, 16, SIZE, options)
        (cut,) = clip.cuts
        steps = np.abs(np.diff(clip.frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
        assert int(np.argmax(steps)) == cut - 1
        models = {thing.twin_of for thing in clip.objects if thing.twin_of is not None}
        for thing in clip.objects:
            if thing.twin_of is not None or thing.id in models:
                assert not clip.areas[cut:, thing.id - 1].any()


def test_colors_change_in_words_when_they_change_in_the_picture() -> None:
    options = ClipOptions(recolors=1.0, twins=0.0, cuts=0.0, occlusions=0.0, plain_objects=1.0, pans=0.0)
    compared = 0
    for seed in range(20):
        clip = draw_clip(seed, 24, SIZE, options)
        for thing in clip.objects:
            before, after = clip.masks[0, thing.id - 1], clip.masks[-1, thing.id - 1]
            if min(before.sum(), after.sum()) < 100:
                continue
            assert thing.colors[0] != thing.colors[-1]
            shift = np.median(clip.frames[0][before], axis=0) - np.median(clip.frames[-1][after], axis=0)
            compared += int(np.abs(shift).max() > 20)
    assert compared >= 30


def test_gaps_take_objects_out_of_the_scene() -> None:
    clips = [draw_clip(seed, 16, SIZE, ClipOptions(gaps=1.0, cuts=0.0)) for seed in range(10)]
    away = [(clip.whole[:, k] == 0).any() for clip in clips for k in range(len(clip.objects))]
    assert np.mean(away) > 0.95


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_clips_are_parts_of_longer_scripts(frames: int) -> None:
    clips = [draw_clip(seed, frames, SIZE) for seed in range(30)]
    assert all(len(clip.frames) == frames for clip in clips)
    if frames > 1:
        ways = [np.abs(np.diff(clip.frames.astype(np.int16), axis=0)).mean() for clip in clips]
        assert 0.2 < float(np.median(ways)) < 20.0  # something moves, and nothing jumps about


def test_random_sizes_are_even_and_within_the_options() -> None:
    for seed in range(30):
        plan = plan_clip(seed, 2, options=ClipOptions(min_side=200, max_side=300, max_aspect=1.5))
        assert plan.width % 2 == plan.height % 2 == 0
        assert 198 <= max(plan.width, plan.height) <= 300


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 100000 frames"):
        draw_clip(0, 0)
    with pytest.raises(ValueError, match="a width and a height"):
        draw_clip(0, 4, (8, 4000))
    with pytest.raises(ValueError, match="twins from 0 to 1"):
        ClipOptions(twins=1.5)
    with pytest.raises(ValueError, match="min_objects"):
        ClipOptions(min_objects=9, max_objects=3)
    with pytest.raises(ValueError, match="at most 40"):
        ClipOptions(max_objects=64)


def test_seeds_of_evaluation_and_training_never_meet() -> None:
    assert evaluation_seed(MOST_EVALUATION_SEED, 999_999) < FIRST_TRAINING_SEED
    assert evaluation_seed(3, 7) == 3_000_007
    for seed, number in ((MOST_EVALUATION_SEED + 1, 0), (0, 1_000_000), (-1, 0)):
        with pytest.raises(ValueError, match="expected a seed from 0"):
            evaluation_seed(seed, number)


def test_the_truth_in_runs_is_that_of_the_masks(clips: list[Clip]) -> None:
    from sam3_agent import masks

    clip = clips[3]
    truth = truth_of(clip)
    assert np.array_equal(truth.areas, clip.areas)
    for k, masklet in enumerate(truth.masklets):
        for t, rle in enumerate(masklet):
            assert (rle is None) == (clip.areas[t, k] == 0)
            if rle is not None:
                assert np.array_equal(masks.decode(rle), clip.masks[t, k])
                rows, columns = np.nonzero(clip.masks[t, k])
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert tuple(truth.boxes[t, k]) == box
