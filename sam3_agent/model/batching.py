"""A call of the model in two parts: what each caller does alone, and the network's part, which callers can share.

Checking and preparing (tokens, boxes, resized pixels) and finishing (masks as run lengths) belong to the caller. In
between lies a list of items, which may go through the network in one batch with the items of other callers. A model
that
makes such plans is an `Engine`; a `Scheduler` merges the plans of many callers, and `Plan.run` serves a single one.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.oom import exhausted, free_memory, out_of_memory
from sam3_agent.model.segmenter import Features
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import (
    DETECT_DEFAULTS,
    ClickedMask,
    ClickPrompt,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
)

Item = TypeVar("Item")
Raw = TypeVar("Raw")
Answer_co = TypeVar("Answer_co", covariant=True)

IMAGE_COST = 8.0
"""Cost of an encode, in prompts; 8 to 13 were measured at full size."""
RECOVERY = 32
"""Full batches in a row after which a size that was halved is tried twice as large again."""


class Work(Generic[Item, Raw]):
    """One kind of batch: items of any callers in, one raw result an item out, in order.

    Where memory runs out, what is free is freed, the batch size is halved, and the work goes on; the smaller size is
    kept until RECOVERY batches of it have gone well. Items meet in one batch only if they are of the same Work object.
    Items of one `key` are computed once and share their result: callers who ask the same at the same time.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Raw]],
        most: int,
        doing: str,
        device: str,
        *,
        cost: float = 1.0,
        key: Callable[[Item], Hashable] = id,
    ) -> None:
        """See above.

        Args:
            run: the network's part; called by one thread at a time unless it can bear more.
            most: items in a batch at most.
            doing: for messages, such as "encoding an image".
            device: for messages.
            cost: of one item, in prompts; shares work out evenly between replicas.
            key: equal for items that have the same result, as long as they are alive.
        """
        self.cost = cost
        self.key = key
        self.halvings = 0
        self._run = run
        self._limit = self._most = most
        self._doing = doing
        self._device = device
        self._streak = 0

    @property
    def most(self) -> int:
        """Items in a batch at most, at present."""
        return self._most

    def answers(self, items: Sequence[Item]) -> Iterator[Raw]:
        """The raw result of every item in order, computed a batch at a time as they are taken.

        Raises:
            ModelUnavailable: a single item does not fit into memory.
        """
        keys = [self.key(item) for item in items]
        distinct = self._batches(list(dict(zip(keys, items, strict=True)).values()))
        left, shared = Counter(keys), dict[Hashable, Raw]()
        for key in keys:
            raw = shared.pop(key) if key in shared else next(distinct)
            left[key] -= 1
            if left[key]:
                shared[key] = raw
            yield raw

    def _batches(self, items: Sequence[Item]) -> Iterator[Raw]:
        done = 0
        while done < len(items):
            batch = items[done : done + self._most]
            found = self._attempt(batch)
            if found is None:
                self._halve(len(batch))
                continue
            self._recover(len(batch))
            yield from found
            done += len(batch)

    def _attempt(self, batch: Sequence[Item]) -> Sequence[Raw] | None:
        """None where memory ran out: were it raised, the error's traceback would keep the batch's tensors alive."""
        try:
            found = self._run(batch)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None
        if len(found) != len(batch):
            raise RuntimeError(f"{self._doing}: {len(found)} results for a batch of {len(batch)}")
        return found

    def _halve(self, size: int) -> None:
        free_memory()
        if size == 1:
            raise exhausted(self._device, self._doing)
        self._most = size // 2
        self._streak = 0
        self.halvings += 1

    def _recover(self, size: int) -> None:
        if size == self._most < self._limit:
            self._streak += 1
            if self._streak == RECOVERY:
                self._most = min(2 * self._most, self._limit)
                self._streak = 0


@dataclass(frozen=True, slots=True)
class Plan(Generic[Answer_co]):
    """A checked and prepared call: items of one kind of work, and what makes an answer of each item's raw result."""

    work: Work[Any, Any]
    items: Sequence[Any]
    finish: Callable[[Any], Answer_co]

    def run(self) -> list[Answer_co]:
        """The answers for a single caller: no batch is begun before the last one's results are finished."""
        return [self.finish(raw) for raw in self.work.answers(self.items)]


class Engine(Protocol):
    """A model whose calls can meet those of other callers in one batch.

    Its plans are made in the callers' threads, several at once, and fail there where a call is unusable; the work of
    one engine is run by one thread at a time.
    """

    @property
    def info(self) -> ModelInfo:
        """Name, device and number format of the model."""
        ...

    def plan_encode(self, image: NDArray[np.uint8]) -> Plan[Features]:
        """To encode an (H, W, 3) RGB image: one item."""
        ...

    def plan_detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> Plan[Detection]:
        """To answer prompts on one encoded image as `Segmenter.detect` does: one item a prompt."""
        ...

    def plan_read(self, features: Features, examples: Sequence[Exemplar]) -> Plan[ExemplarTokens]:
        """To read exemplars as `Segmenter.read_exemplars` does: one item."""
        ...

    def plan_click(self, features: Features, prompt: ClickPrompt) -> Plan[tuple[ClickedMask, ...]]:
        """To segment one object as `Segmenter.segment_at` does: one item."""
        ...

    def plan_track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> Plan[TrackedMask]:
        """To find objects on a frame as `VideoSegmenter.track` does: one item a request."""
        ...

    def plan_remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> Plan[TrackMemory]:
        """To remember objects as `VideoSegmenter.remember` does: one item a sighting."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """The memory that was written to a file; see `VideoSegmenter.restore`."""
        ...
