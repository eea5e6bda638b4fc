"""Devices that torch sees on this machine, with their memory; for reports, without loading a model."""

from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a machine."""

    name: str
    """As --device takes it: "cuda:0", "mps" or "cpu"."""
    words: str
    """Such as "NVIDIA H100 80GB HBM3, compute capability 9.0"."""
    free_bytes: int | None
    """Memory that nobody uses now; None where the device does not say."""


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """Versions of torch and torchvision, and the devices that they see."""

    torch: str
    torchvision: str
    cuda_build: str
    """CUDA version that torch was built for; empty in a build without CUDA."""
    devices: tuple[Device, ...]


def report_devices() -> DeviceReport:
    """Import torch and torchvision and ask them; the CPU comes last.

    Raises:
        ImportError, OSError, RuntimeError: torch or torchvision is missing, or the two do not belong together.
    """
    import torch
    import torchvision  # pyright: ignore[reportMissingTypeStubs]
    from torchvision.ops import nms  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    # The first thing that fails beside a torch of another build; a box overlapping itself is kept.
    cast(Any, nms)(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    devices = [_gpu(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", None))
    devices.append(Device("cpu", f"{torch.get_num_threads()} threads", None))
    return DeviceReport(
        str(torch.__version__), str(torchvision.__version__), str(torch.version.cuda or ""), tuple(devices)
    )


def _gpu(index: int) -> Device:
    import torch

    facts = cast(Any, torch.cuda).get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    words = f"{facts.name}, {total / 2**30:.0f} GiB, compute capability {facts.major}.{facts.minor}"
    return Device(f"cuda:{index}", words, free)
