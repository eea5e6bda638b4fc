"""Start of the fast path: seconds, memory after each graph, and how near its results are to the plain network's."""

import time
from typing import Any

import torch
from transformers import Sam3Model

from sam3_agent.model.cuda.fast_path import FastPath
from sam3_agent.model.cuda.graphs import eager_recorder
from sam3_agent.model.cuda.mask_counts import in_torch
from sam3_agent.model.cuda.start import differences, recorded, start_fast_path
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.tracker import Tracker


def start(segmenter: Sam3, device: str) -> dict[str, Any]:
    """Start the fast path of a segmenter; on a CPU its double without graphs is put in."""
    runner: Any = segmenter._runner  # pyright: ignore[reportPrivateUsage]
    memory: dict[str, float | None] = {}

    def said(step: str) -> None:
        memory[step] = gigabytes(device)

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    fast = _started(runner._model, runner._tracker, device, said)
    seconds = time.perf_counter() - began
    runner.use(fast)
    if fast is None:
        return {"seconds": round(seconds, 1), "graphs": 0, "peak_gigabytes_after": memory}
    return {
        "seconds": round(seconds, 1),
        "graphs": len(fast.graphs.keys),
        "not_captured": [str(key) for key in fast.graphs.failed],
        "relative_differences": {name: round(off, 5) for name, off in differences(fast, runner._model).items()},
        "peak_gigabytes_after": memory,
        "reserved_gigabytes": gigabytes(device, reserved=True),
    }


def second_start(segmenter: Sam3, device: str) -> dict[str, Any]:
    """Start once more, as another process would: traced anew, its code found on disk. Frees what it has made."""
    torch.compiler.reset()
    runner: Any = segmenter._runner  # pyright: ignore[reportPrivateUsage]
    began = time.perf_counter()
    fast = _started(runner._model, runner._tracker, device, lambda _: None)
    return {"seconds": round(time.perf_counter() - began, 1), "graphs": len(fast.graphs.keys) if fast else 0}


def gigabytes(device: str, *, reserved: bool = False) -> float | None:
    """The most memory that tensors have taken at a time, or that torch has taken of the driver; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    most = torch.cuda.max_memory_reserved if reserved else torch.cuda.max_memory_allocated
    return round(most(device) / 1e9, 2)


def _started(model: Sam3Model, tracker: Tracker | None, device: str, said: Any) -> FastPath | None:
    if device.startswith("cuda"):
        return start_fast_path(model, tracker, said=said)
    return recorded(model, tracker, eager_recorder(), in_torch, compiled=False, said=said)
