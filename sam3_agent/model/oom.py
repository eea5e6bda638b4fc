"""Out of memory: how each device says it, and what is left to do about it.

torch is imported only when memory has run out, so that a model without torch can use this file too.
"""

from sam3_agent.errors import ModelUnavailable

_SAYINGS = ("can't allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: RuntimeError) -> bool:
    """Whether CUDA, the CPU or MPS says that memory has run out; only CUDA has a type of its own for it."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(saying in str(error) for saying in _SAYINGS)


def free_memory() -> None:
    """Give back what torch keeps of the GPUs' memory without using it."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def exhausted(device: str, doing: str) -> ModelUnavailable:
    """The error for who cannot be served: one line that says what to do."""
    return ModelUnavailable(
        f"out of memory on {device} while {doing}: ask for fewer concepts at a time, close other programs that use it,"
        " or use a smaller model or another --device"
    )


def gpu_memory() -> dict[str, int]:
    """Bytes that this process holds on each GPU, by device name; empty while CUDA is not in use."""
    import sys

    # Another thread may be in the middle of importing torch: then it is known, but has no `cuda` yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not hasattr(cuda, "is_initialized") or not cuda.is_initialized():
        return {}
    return {f"cuda:{index}": int(cuda.memory_allocated(index)) for index in range(cuda.device_count())}
