"""Functions of tensors recorded once for each shape, then replayed: on CUDA as graphs, which cost one launch.

A recording reads its own input tensors and writes its own output tensors, in one memory pool with all others: what one
of them wrote may be overwritten when any other is replayed. `Graphs.run` therefore copies inputs in and outputs out.
"""

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch.nn.functional import pad

from sam3_agent.model.loading import first_line
from sam3_agent.model.oom import out_of_memory

_log = logging.getLogger(__name__)

WARM_UPS = 3
"""Runs before a capture, in which libraries choose kernels and take their workspaces; torch's own number."""

PROMPTS = (1, 2, 4, 8, 16)
"""Rows of a batch of prompts."""
TEXTS = (1, 4, 16)
"""Phrases that are encoded together; each is remembered, so few are."""
QUERIES = (8, 32, 100, 200)
"""Masks of one prompt."""
TOKENS = (40, 48, 64, 128)
"""Prompt tokens: 32 of text, one CLS, then boxes and learnt ones; multiples of 8, which attention kernels read
without a copy of the mask."""
BOXES = (1, 7, 15)
"""Exemplar boxes of a prompt: with 7 of them all tokens still fit into the first of TOKENS, with 15 into the second."""

_capturing = threading.Lock()
"""Lock of the one capture at a time that torch allows in a process; replicas on other GPUs may want one too."""
Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]


@dataclass(frozen=True, slots=True)
class Recording:
    """A function bound to its own inputs and outputs."""

    replay: Callable[[], None]
    outputs: Tensors


class NotRecorded(RuntimeError):
    """A function that runs but cannot be recorded: it waits for the device, or makes tensors on the host."""


class Recorder(Protocol):
    """Binds a function to tensors: `CudaRecorder`, and `eager_recorder` as its double."""

    def __call__(self, function: Function, inputs: Tensors) -> Recording:
        """Record `function(*inputs)`.

        Raises:
            NotRecorded: it cannot be recorded.
            RuntimeError: it does not run at all, as where it does not compile or memory runs out.
        """
        ...


@dataclass(slots=True)
class _Held:
    inputs: Tensors
    recording: Recording


class Graphs:
    """Recordings by key. For one thread at a time."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._held: dict[Hashable, _Held] = {}
        self._failed: set[Hashable] = set()

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """Keys of all recordings, oldest first."""
        return tuple(self._held)

    @property
    def failed(self) -> tuple[Hashable, ...]:
        """Keys of functions that could not be recorded and run as they are."""
        return tuple(self._failed)

    def run(self, key: Hashable, function: Function, *inputs: torch.Tensor) -> Tensors:
        """`function(*inputs)` by the recording of `key`, made at the first call; the outputs are the caller's own.

        Inputs of one key must always have the same shapes. Where recording fails, one warning is logged and the
        function runs as it is from then on. What the function itself raises, out of memory above all, comes through
        and is no reason not to record it another time.
        """
        if key in self._failed:
            return function(*inputs)
        held = self._held.get(key)
        if held is None:
            held = self._recorded(key, function, inputs)
            if held is None:
                return function(*inputs)
        for own, given in zip(held.inputs, inputs, strict=True):
            own.copy_(given)
        held.recording.replay()
        return tuple(output.clone() for output in held.recording.outputs)

    def _recorded(self, key: Hashable, function: Function, inputs: Tensors) -> _Held | None:
        own = tuple(given.clone() for given in inputs)  # strides kept: channels-last stays channels-last
        try:
            recording = self._record(function, own)
        except NotRecorded as error:
            if not self._failed:
                _log.warning("%s cannot be captured as a CUDA graph (%s); it runs uncaptured", key, error)
            self._failed.add(key)
            return None
        self._held[key] = _Held(own, recording)
        return self._held[key]


class CudaRecorder:
    """Captures CUDA graphs on a device, all in one memory pool; a failed capture leaves torch as it was before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = cast(Any, torch.cuda.Stream)(device)
        self._spoilt: list[torch.cuda.CUDAGraph] = []
        """Graphs whose capture failed; torch's allocators may still look at them."""

    def __call__(self, function: Function, inputs: Tensors) -> Recording:
        """Run the function WARM_UPS times, then capture it; see `Recorder`."""
        current = torch.cuda.current_stream(self._device)
        # Where a capture fails, torch leaves its stream the current one of this thread: `current` is brought back here.
        with torch.cuda.device(self._device), torch.cuda.stream(current):
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    function(*inputs)
            current.wait_stream(self._stream)
            return self._captured(function, inputs)

    def _captured(self, function: Function, inputs: Tensors) -> Recording:
        graph = torch.cuda.CUDAGraph()
        # Other threads upload images meanwhile, which must not spoil the capture: "thread_local".
        how: Any = {"pool": self._pool, "stream": self._stream, "capture_error_mode": "thread_local"}
        try:
            with _capturing, torch.cuda.graph(graph, **how):
                outputs = function(*inputs)
        except RuntimeError as error:
            self._give_up(graph)
            # Ending a spoilt capture raises too; what spoilt it is what is worth telling.
            cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            if out_of_memory(cause):
                raise cause from None
            raise NotRecorded(first_line(cause)) from error
        return Recording(graph.replay, outputs)

    def _give_up(self, graph: torch.cuda.CUDAGraph) -> None:
        """Take back what a broken capture leaves behind.

        torch's allocator goes on believing that the pool is being captured into (`CUDAGraph::capture_end` raises before
        it says otherwise): the next capture into it would be refused, and blocks that two streams have used would never
        be free again.
        """
        core = cast(Any, torch)._C
        with suppress(RuntimeError, AttributeError):  # it was ended properly after all; an older torch lacks the name
            core._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
            core._cuda_releasePool(torch.cuda.current_device(), self._pool)
            self._spoilt.append(graph)
        self._pool = torch.cuda.graph_pool_handle()


def eager_recorder() -> Recorder:
    """Behave as captured graphs do, on any device, without capturing: for tests.

    A replay overwrites the outputs of all other recordings with NaN (with zeros where they are no floats), as a shared
    pool may do.
    """
    made: list[Recording] = []

    def record(function: Function, inputs: Tensors) -> Recording:
        outputs = tuple(output.clone() for output in function(*inputs))

        def replay() -> None:
            for other in made:
                for output in other.outputs:
                    output.fill_(float("nan") if output.is_floating_point() else 0)
            for held, output in zip(outputs, function(*inputs), strict=True):
                held.copy_(output)

        made.append(Recording(replay, outputs))
        return made[-1]

    return record


def next_size(count: int, sizes: Sequence[int]) -> int | None:
    """The smallest of the ascending sizes that holds `count`; None where none does."""
    return next((size for size in sizes if size >= count), None)


def pad_rows(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """The tensor with `size` rows, the last one repeated: a real row, so that nothing in it can become NaN."""
    count = len(tensor)
    if count == size:
        return tensor
    return tensor[torch.arange(size, device=tensor.device).clamp(max=count - 1)]


def pad_tokens(tokens: torch.Tensor, mask: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, L, C) tokens and their (P, L) mask with `size` tokens; the new ones are zeros that nothing may look at."""
    more = size - tokens.shape[1]
    return pad(tokens, (0, 0, 0, more)), pad(mask, (0, more))
