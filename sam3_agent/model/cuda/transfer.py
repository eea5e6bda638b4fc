"""Tensors between host and device that hold nobody up: through pinned memory, waiting for their own work alone."""

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a host's tensor on a device: on CUDA on its way in the current stream when this returns.

    A plain `to` would wait for all that the stream has to do before. torch keeps pinned blocks and knows when an upload
    from one has ended, so this allocates once a size.
    """
    if device.type != "cuda" or tensor.is_cuda or not tensor.numel():
        return tensor.to(device)
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor).to(device, non_blocking=True)


def fetch(tensor: Tensor) -> Tensor:
    """A copy on the host, of what is in the current stream by now; does not wait for what others queue meanwhile."""
    if not tensor.is_cuda:
        return tensor.cpu()
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(tensor.device))
    arrived.synchronize()
    return copy
