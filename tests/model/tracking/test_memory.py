"""What is remembered of an object: bounded without a difference, equal alone and in company, the same out of a file."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.tracking.bank import Entry, Reach, TrackMemory
from sam3_agent.model.tracking.video_tracker import lost_pixels
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackRequest, VideoSegmenter
from sam3_agent.types import ClickPrompt

ALIKE = 1e-5
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def frames(picture: Pixels) -> list[Pixels]:
    return [np.roll(picture, (2 * t, 3 * t), axis=(0, 1)) for t in range(24)]


def square(left: int, top: int, side: int = 40) -> masks.Rle:
    mask = np.zeros((120, 180), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return masks.encode(mask)


def follow(
    segmenter: Sam3, frames: list[Pixels], starts: list[TrackRequest], *, bounded: bool = True, given_every: int = 0
) -> tuple[list[list[TrackedMask]], list[TrackMemory]]:
    """Masks of every frame and the memories at the end; every so often a mask of its own is remembered as given."""
    features = [segmenter.encode(frame) for frame in frames]
    memories: list[TrackMemory] = [TrackMemory(bounded=bounded) for _ in starts]
    said: list[list[TrackedMask]] = []
    for index, seen in enumerate(features):
        requests = starts if index == 0 else [TrackRequest(memory) for memory in memories]
        found = segmenter.track(seen, index, requests)
        given = index == 0 or (given_every > 0 and index % given_every == 0)
        kept = segmenter.remember(
            seen, index, [Sighting(m, old, given) for m, old in zip(found, memories, strict=True)]
        )
        memories = [memory for memory in kept if isinstance(memory, TrackMemory)]
        said.append(found)
    return said, memories


def furthest(one: list[list[TrackedMask]], other: list[list[TrackedMask]]) -> float:
    pairs = [(a, b) for row, other_row in zip(one, other, strict=True) for a, b in zip(row, other_row, strict=True)]
    return max(max(float(np.abs(a.logits - b.logits).max()), abs(a.score - b.score)) for a, b in pairs)


STARTS = [TrackRequest(mask=square(20, 30)), TrackRequest(mask=square(100, 50)), TrackRequest(mask=square(60, 10, 60))]


@pytest.mark.parametrize("given_every", [0, 2, 5])
def test_a_bounded_memory_gives_the_very_numbers_of_an_endless_one(
    tracking_segmenter: Sam3, frames: list[Pixels], given_every: int
) -> None:
    bounded, few = follow(tracking_segmenter, frames, STARTS[:1], given_every=given_every)
    endless, many = follow(tracking_segmenter, frames, STARTS[:1], bounded=False, given_every=given_every)
    assert furthest(bounded, endless) == 0.0
    assert few[0].nbytes < many[0].nbytes


def test_the_size_of_a_memory_does_not_grow_with_the_video(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    _, after_20 = follow(tracking_segmenter, frames[:20], STARTS[:1])
    _, after_24 = follow(tracking_segmenter, frames, STARTS[:1])
    assert after_20[0].nbytes == after_24[0].nbytes


def test_objects_in_one_batch_are_what_each_is_alone(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    together, _ = follow(tracking_segmenter, frames[:9], STARTS)
    for number, start in enumerate(STARTS):
        alone, _ = follow(tracking_segmenter, frames[:9], [start])
        assert furthest([[row[number]] for row in together], alone) <= ALIKE


def test_objects_of_different_ages_in_one_call_are_what_each_is_alone(
    tracking_segmenter: Sam3, frames: list[Pixels]
) -> None:
    _, old = follow(tracking_segmenter, frames[:9], STARTS[:1])
    _, young = follow(tracking_segmenter, frames[6:9], STARTS[1:2])
    young = [replace(young[0], entries=tuple(replace(e, frame=e.frame + 6) for e in young[0].entries))]
    seen = tracking_segmenter.encode(frames[9])
    click = TrackRequest(clicks=ClickPrompt(((30, 30),)))
    both = tracking_segmenter.track(seen, 9, [TrackRequest(old[0]), click, TrackRequest(young[0])])
    alone = [
        tracking_segmenter.track(seen, 9, [ask])[0] for ask in (TrackRequest(old[0]), click, TrackRequest(young[0]))
    ]
    assert furthest([both], [alone]) <= ALIKE


def test_objects_with_equally_many_memories_of_different_ages_are_what_each_is_alone(
    tracking_segmenter: Sam3, frames: list[Pixels]
) -> None:
    _, once = follow(tracking_segmenter, frames[:10], STARTS[:1])
    _, twice = follow(tracking_segmenter, frames[:10], STARTS[1:2], given_every=7)
    shapes = {memory.recall(10, Reach()).shape for memory in (*once, *twice)}
    ages = {memory.recall(10, Reach()).ages for memory in (*once, *twice)}
    assert (len(shapes), len(ages)) == (1, 2)  # one batch, though one was given again at frame 7
    seen = tracking_segmenter.encode(frames[10])
    asked = [TrackRequest(once[0]), TrackRequest(twice[0])]
    alone = [tracking_segmenter.track(seen, 10, [one])[0] for one in asked]
    assert furthest([tracking_segmenter.track(seen, 10, asked)], [alone]) <= ALIKE


def test_a_memory_out_of_arrays_says_what_the_one_that_was_written_says(
    tracking_segmenter: Sam3, frames: list[Pixels]
) -> None:
    _, memories = follow(tracking_segmenter, frames[:9], STARTS)
    seen = tracking_segmenter.encode(frames[9])
    again = [tracking_segmenter.restore(memory.to_arrays()) for memory in memories]
    requests = [[TrackRequest(memory) for memory in held] for held in (memories, again)]
    one, other = (tracking_segmenter.track(seen, 9, asked) for asked in requests)
    assert furthest([one], [other]) == 0.0


def test_backwards_is_forwards_on_the_frames_turned_round(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    forwards, _ = follow(tracking_segmenter, frames[:9], STARTS[:1])
    features = [tracking_segmenter.encode(frame) for frame in frames[:9]]
    memory, said = None, []
    for index, seen in zip(range(8, -1, -1), features, strict=True):
        request = STARTS[0] if memory is None else TrackRequest(memory)
        found = tracking_segmenter.track(seen, index, [request], reverse=True)
        (memory,) = tracking_segmenter.remember(seen, index, [Sighting(found[0], memory, index == 8)], reverse=True)
        said.append(found)
    assert furthest(forwards, said) == 0.0
    with pytest.raises(InputError, match="forwards"):
        tracking_segmenter.track(features[0], 0, [TrackRequest(memory)])


def test_what_one_object_wins_the_other_does_not_remember(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    seen = tracking_segmenter.encode(frames[0])
    found = tracking_segmenter.track(seen, 0, [TrackRequest(mask=square(20, 30)), TrackRequest(mask=square(40, 30))])
    rivals, strangers = (
        tracking_segmenter.remember(seen, 0, [Sighting(mask, None, True, group) for mask in found])
        for group in ("cat", None)
    )
    alone = tracking_segmenter.remember(seen, 0, [Sighting(found[0], None, True, "cat")])

    def map_of(memory: object) -> torch.Tensor:
        assert isinstance(memory, TrackMemory)
        kept = memory.entries[0].map
        assert kept is not None
        return kept.float()

    assert torch.equal(map_of(strangers[0]), map_of(alone[0]))
    assert not torch.equal(map_of(rivals[1]), map_of(strangers[1]))


def test_each_pixel_has_one_winner_and_of_equals_it_is_the_first() -> None:
    one, two = torch.full((4, 4), -1.0), torch.full((4, 4), -1.0)
    one[:2], two[1:] = 5.0, 3.0
    lost = lost_pixels([one, two], 4)
    assert (lost[0] ^ lost[1]).all()
    assert lost[1][:2].all()
    assert lost[0][2:].all()
    assert not lost_pixels([one, one], 4)[0].any()


def test_an_empty_mask_is_remembered_as_absence(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    seen = tracking_segmenter.encode(frames[0])
    (found,) = tracking_segmenter.track(
        seen, 0, [TrackRequest(mask=masks.encode(np.zeros((120, 180), dtype=np.bool_)))]
    )
    assert not found.present
    (memory,) = tracking_segmenter.remember(seen, 0, [Sighting(found, None, True)])
    assert isinstance(memory, TrackMemory)
    tracking = tracking_segmenter._tracking
    assert tracking is not None
    assert torch.equal(memory.entries[0].pointer, tracking._runner.tracker.parts.no_object_pointer[0])


def test_clicks_on_a_frame_that_is_remembered_use_the_memory(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    _, memories = follow(tracking_segmenter, frames[:4], STARTS[:1])
    seen = tracking_segmenter.encode(frames[4])
    click = ClickPrompt(((40, 50), (90, 90)), (True, False))
    requests = [TrackRequest(memories[0], click), TrackRequest(clicks=click)]
    with_memory, without = (tracking_segmenter.track(seen, 4, [request])[0] for request in requests)
    assert not np.array_equal(with_memory.logits, without.logits)


def test_a_request_says_one_thing(tracking_segmenter: Sam3, frames: list[Pixels]) -> None:
    with pytest.raises(InputError, match="which object"):
        TrackRequest()
    with pytest.raises(InputError, match="not both"):
        TrackRequest(clicks=ClickPrompt(((1, 1),)), mask=square(1, 1))
    seen = tracking_segmenter.encode(frames[0])
    with pytest.raises(InputError, match="of a 20x10 image, not of this frame"):
        tracking_segmenter.track(seen, 0, [TrackRequest(mask=masks.encode(np.ones((10, 20), dtype=np.bool_)))])


def test_a_model_without_memory_parts_says_so(clicking_segmenter: Sam3, frames: list[Pixels]) -> None:
    seen = clicking_segmenter.encode(frames[0])
    with pytest.raises(ToolError, match="cannot follow objects"):
        clicking_segmenter.track(seen, 0, STARTS[:1])


def test_a_model_is_a_video_segmenter(tracking_segmenter: Sam3) -> None:
    assert isinstance(tracking_segmenter, VideoSegmenter)


def entry(frame: int, *, given: bool = False) -> Entry:
    return Entry(frame, torch.zeros(4), torch.zeros(2, 2), given)


def test_a_frame_looks_at_its_four_nearest_given_frames_and_six_before_it() -> None:
    memory = TrackMemory()
    for frame in range(30):
        memory = memory.with_entry(entry(frame, given=frame % 3 == 0), Reach())
    recalled = memory.recall(30, Reach())
    assert recalled.ages == (0, 0, 0, 0, 5, 4, 2, 1)  # 27, 24, 21, 18 are given; 25, 26, 28, 29 are not
    assert sorted(recalled.pointer_ages) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    assert [kept.frame for kept in memory.entries if kept.map is not None] == [18, 21, 24, 25, 26, 27, 28, 29]


def test_a_given_frame_that_lies_ahead_is_kept_and_looked_at_without_its_pointer() -> None:
    memory = TrackMemory().with_entry(entry(40, given=True), Reach())
    for frame in range(12):
        memory = memory.with_entry(entry(frame, given=frame == 0), Reach())
    recalled = memory.recall(12, Reach())
    assert recalled.ages[:2] == (0, 0)
    assert -28 not in recalled.pointer_ages
    assert 40 in [kept.frame for kept in memory.entries]


def _looked_at(memory: TrackMemory, frame: int) -> tuple[object, ...]:
    recalled = memory.recall(frame, Reach())
    tensors = [id(each) for each in (*recalled.maps, *recalled.pointers)]
    return recalled.ages, recalled.pointer_ages, tensors


@pytest.mark.parametrize("reverse", [False, True])
def test_a_bank_that_rests_keeps_what_a_later_frame_can_look_at_and_no_more(reverse: bool) -> None:
    frames = range(30) if not reverse else range(99, 69, -1)
    kept = TrackMemory(reverse=reverse, bounded=False)
    for frame in frames:
        kept = kept.with_entry(entry(frame, given=frame % 7 == 0), Reach())
    bounded, last = replace(kept, bounded=True), frames[-1]
    for pause in (0, 1, 3, 8, 20):
        step = -pause if reverse else pause
        resting = bounded.after(last + step)
        for later in range(1, 6):
            asked = last + step + (-later if reverse else later)
            assert _looked_at(resting, asked) == _looked_at(kept, asked)
        assert resting.after(last + step) is resting
    assert sum(each.map is not None for each in resting.entries) == Reach().conditioning
    assert len(resting.entries) == Reach().conditioning


def test_entries_are_in_the_order_of_time_and_one_a_frame() -> None:
    for reverse in (False, True):
        memory = TrackMemory(reverse=reverse)
        for frame in (3, 1, 2, 2):
            memory = memory.with_entry(entry(frame, given=True), Reach())
        order = [kept.frame for kept in memory.entries]
        assert all((a > b) == reverse for a, b in pairwise(order))
        assert sorted(order) == [1, 2, 3]
