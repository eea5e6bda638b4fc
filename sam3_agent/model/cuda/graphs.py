"""Functions of tensors recorded once for each shape, then replayed: on CUDA as graphs, which cost one launch.

A recording reads its own input tensors and writes its own output tensors, in one memory pool with all others: what one
of them wrote may be overwritten when any other is replayed. `Graphs.run` therefore copies inputs in and outputs out.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch.nn.functional import pad

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

Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]


@dataclass(frozen=True, slots=True)
class Recording:
    """A function bound to its own inputs and outputs."""

    replay: Callable[[], None]
    outputs: Tensors


class Recorder(Protocol):
    """Binds a function to tensors: `cuda_recorder`, and `eager_recorder` as its double."""

    def __call__(self, function: Function, inputs: Tensors) -> Recording:
        """Record `function(*inputs)`; raises RuntimeError where it cannot be recorded."""
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
        function runs as it is from then on.
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
        except RuntimeError as error:
            if not self._failed:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                _log.warning("%s cannot be captured as a CUDA graph (%s); it runs uncaptured", key, reason)
            self._failed.add(key)
            return None
        self._held[key] = _Held(own, recording)
        return self._held[key]


def cuda_recorder(device: torch.device) -> Recorder:
    """Capture CUDA graphs on a device, all in one memory pool."""
    pool = torch.cuda.graph_pool_handle()
    stream = cast(Any, torch.cuda.Stream)(device)

    def record(function: Function, inputs: Tensors) -> Recording:
        with torch.cuda.device(device):
            current = torch.cuda.current_stream(device)
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    function(*inputs)
            current.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads upload images meanwhile, which must not spoil the capture: "thread_local".
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                outputs = function(*inputs)
        return Recording(graph.replay, outputs)

    return record


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
