"""Bounds of the tracker's card: the figures that a perfect tracker, or a perfect association, would reach.

The card's videos show objects that the detector does not find in every frame (behind others, cut off by the border,
small); a tracker has to carry them. Two ways bracket it: "true ids" gives every detection the id of the object that it
is at, which is all that association without a tracker can reach; "perfect tracker" follows every object without error
from the frame in which the detector finds it first, which no tracker surpasses that does not look back in time.
"""

import sys
from collections.abc import Iterator, Sequence

from benchmarks.video.card import at_objects
from benchmarks.video.readings import FIRST_SEED, Masklets, Reading, truth_of
from sam3_agent.masks import Rle
from sam3_agent.model.sam3 import Sam3
from sam3_agent.scenes.video import draw_clip
from sam3_agent.types import ConceptPrompt, Detection, DetectOptions
from sam3_agent.workspace.tracking.profiles import TINY

Found = list[tuple[Rle, float]]
"""Masks and scores of one noun in one frame, best first."""


def bounds(segmenter: Sam3, videos: int, frames: int) -> Iterator[Reading]:
    """One reading a video, with the two ways."""
    for number in range(videos):
        clip = draw_clip(FIRST_SEED + number, frames)
        if sys.stderr.isatty():
            print(f"\rvideo {number + 1} of {videos}", end="", file=sys.stderr, flush=True)
        nouns = sorted({thing.noun for thing in clip.objects})
        options = DetectOptions(threshold=TINY.detection_score, near_misses=0)
        prompts = [ConceptPrompt(noun) for noun in nouns]
        told = [segmenter.detect(segmenter.encode(frame), prompts, options) for frame in clip.frames]
        truth = truth_of(clip)
        found = {noun: [_found(answers[place]) for answers in told] for place, noun in enumerate(nouns)}
        said: dict[str, dict[str, Masklets]] = {
            "true ids": {noun: with_true_ids(truth.get(noun, {}), found[noun]) for noun in nouns},
            "perfect tracker": {noun: followed_perfectly(truth.get(noun, {}), found[noun]) for noun in nouns},
        }
        yield Reading(len(clip.frames), truth, said, [])


def with_true_ids(truth: Masklets, found: Sequence[Found]) -> Masklets:
    """Detections as tracks: those at an object have its id, each other one an id of its own."""
    said: Masklets = {}
    for index, line in enumerate(found):
        at = _at(truth, line, index)
        for place, (rle, _) in enumerate(line):
            said.setdefault(at.get(place, f"none-{index}-{place}"), {})[index] = rle
    return said


def followed_perfectly(truth: Masklets, found: Sequence[Found]) -> Masklets:
    """The true masks of every object, from the frame in which a detection that may begin a track is at it."""
    begun: dict[str, int] = {}
    for index, line in enumerate(found):
        for place, name in _at(truth, line, index).items():
            if line[place][1] >= TINY.new_score:
                begun.setdefault(name, index)
    return {name: {i: rle for i, rle in truth[name].items() if i >= first} for name, first in begun.items()}


def _at(truth: Masklets, line: Found, index: int) -> dict[int, str]:
    """Place in the line -> the object that this detection is at."""
    told = {str(place): {index: rle} for place, (rle, _) in enumerate(line)}
    return {int(place): name for name, place in at_objects(truth, told, index).items()}


def _found(answer: Detection) -> Found:
    return [(candidate.rle, answer.presence * candidate.object_score) for candidate in answer.kept]
