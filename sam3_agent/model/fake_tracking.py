"""The deterministic double of `VideoSegmenter`: objects are followed from mask to mask, or by a name that tells all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import Detection

OBJECT = "#"
"""A registered phrase that begins so names one object, which is then followed by its name wherever it goes."""
SAME = 0.1
"""IoU from one frame to the next at which a mask is taken for the same object."""
NAMED = 0.5
"""IoU with a named object at which a mask is that object's."""
SURE = 10.0


@dataclass(frozen=True, slots=True)
class FakeMemory:
    """Where an object was last, and its name if it has one."""

    last: Rle
    name: str = ""
    reverse: bool = False

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return len(self.last.counts)

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """One array of bytes."""
        document = {"last": self.last.to_json(), "name": self.name, "reverse": self.reverse}
        return {"fake": np.frombuffer(json.dumps(document).encode(), dtype=np.uint8).copy()}


def track_one(answers: Mapping[str, Detection], size: tuple[int, int], request: TrackRequest) -> TrackedMask:
    """Where an object is on a frame of (height, width), by what is registered for that frame."""
    if request.mask is not None:
        if request.mask.size != size:
            raise InputError(f"the mask is of size {request.mask.size}, the frame of {size}")
        return _seen(request.mask, 1.0)
    memory = request.memory
    if not isinstance(memory, FakeMemory):
        raise TypeError(f"this memory is not of this model but {type(memory).__name__}")
    if memory.name:
        named = answers.get(memory.name)
        return _seen(named.kept[0].rle, named.kept[0].object_score) if named and named.kept else _absent(size)
    known = {c.rle: c for answer in answers.values() for c in answer.kept}
    if not known or memory.last.size != size or not masks.area(memory.last):
        return _absent(size)
    overlap = masks.iou([memory.last], list(known))[0]
    best = int(np.argmax(overlap))
    found = list(known.values())[best]
    return _seen(found.rle, found.object_score) if overlap[best] >= SAME else _absent(size)


def clicked_mask(found: Sequence[tuple[Rle, float]], size: tuple[int, int]) -> TrackedMask:
    """The best of the masks that fit some clicks."""
    return _seen(*found[0]) if found else _absent(size)


def remember_one(answers: Mapping[str, Detection], sighting: Sighting, *, reverse: bool) -> TrackMemory:
    """The memory after a frame: the last mask that was seen, and the name of the object that it fits."""
    rle = masks.encode(np.asarray(sighting.mask.logits > 0))
    before = sighting.memory
    if isinstance(before, FakeMemory) and not sighting.given:
        return FakeMemory(rle if sighting.mask.present else before.last, before.name, reverse)
    named = [(name, answer.kept) for name, answer in answers.items() if name.startswith(OBJECT) and answer.kept]
    fitting = [name for name, kept in named if masks.iou([rle], [kept[0].rle])[0, 0] >= NAMED]
    return FakeMemory(rle, fitting[0] if fitting else "", reverse)


def restore_memory(arrays: Mapping[str, NDArray[Any]]) -> FakeMemory:
    """The memory that `FakeMemory.to_arrays` wrote."""
    document = json.loads(arrays["fake"].tobytes())
    return FakeMemory(masks.from_json(document["last"]), document["name"], document["reverse"])


def _seen(rle: Rle, quality: float) -> TrackedMask:
    inside = masks.decode(rle)
    there = bool(inside.any())
    logits = np.where(inside, np.float32(SURE), np.float32(-SURE))
    return TrackedMask(logits, SURE if there else -SURE, quality, np.zeros(1, dtype=np.float32), logits)


def _absent(size: tuple[int, int]) -> TrackedMask:
    return TrackedMask(np.full(size, -SURE, dtype=np.float32), -SURE, 0.0, np.zeros(1, dtype=np.float32))
