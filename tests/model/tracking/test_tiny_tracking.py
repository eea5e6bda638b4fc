"""The embedded model follows what it was trained to follow; its figures come from `benchmarks.video`."""

import numpy as np

from sam3_agent import masks
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.video_segmenter import Sighting, TrackRequest
from sam3_agent.scenes.video import ClipOptions, draw_clip

STEADY = ClipOptions(
    min_objects=3, max_objects=3, twins=0.0, occlusions=0.0, spins=0.0, growths=0.0, roles=(("stay", 1.0),)
)


def test_it_keeps_objects_that_stay_for_three_frames() -> None:
    tiny = Sam3.load("tiny", device="cpu")
    clip = draw_clip(11, 4, (224, 224), STEADY)
    ids = [thing.id for thing in clip.objects if int((clip.owner[0] == thing.id).sum()) > 300]
    assert ids
    seen = tiny.encode(clip.frames[0])
    found = tiny.track(seen, 0, [TrackRequest(mask=masks.encode(clip.owner[0] == one)) for one in ids])
    memories = tiny.remember(seen, 0, [Sighting(mask, None, given=True) for mask in found])
    for index in range(1, 4):
        seen = tiny.encode(clip.frames[index])
        found = tiny.track(seen, index, [TrackRequest(memory) for memory in memories])
        pairs = zip(found, memories, strict=True)
        memories = tiny.remember(seen, index, [Sighting(mask, memory) for mask, memory in pairs])
    overlaps = []
    for one, mask in zip(ids, found, strict=True):
        truth = clip.owner[-1] == one
        side = mask.logits.shape[0]
        rows = ((np.arange(side) + 0.5) * 224 / side).astype(int)
        drawn, true = mask.logits > 0, truth[np.ix_(rows, rows)]
        overlaps.append((drawn & true).sum() / max((drawn | true).sum(), 1))
    assert all(mask.present for mask in found)
    assert np.mean(overlaps) > 0.5
