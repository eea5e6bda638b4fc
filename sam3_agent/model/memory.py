"""Out of memory, as each device says it."""

import torch

_SAYINGS = ("can't allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: RuntimeError) -> bool:
    """Whether CUDA, the CPU or MPS says that memory has run out; only CUDA has a type of its own for it."""
    return isinstance(error, torch.OutOfMemoryError) or any(saying in str(error) for saying in _SAYINGS)
