"""A model on several devices: a replica on each."""

from pathlib import Path

from sam3_agent.model.devices import Fast, device_names
from sam3_agent.model.loading import TINY
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler


def load_replicas(
    name_or_path: str | Path = TINY, device: str = "auto", dtype: str = "auto", *, fast: Fast = "auto"
) -> list[Sam3]:
    """A `Sam3.load` for each device in a list such as "cuda:0,cuda:1".

    Raises:
        ModelUnavailable: as `Sam3.load`.
    """
    return [Sam3.load(name_or_path, name, dtype, fast=fast) for name in device_names(device)]


def load_segmenter(
    name_or_path: str | Path = TINY, device: str = "auto", dtype: str = "auto", *, fast: Fast = "auto"
) -> Sam3 | Scheduler:
    """A Sam3 on one device, a `Scheduler` over its replicas on several ("cuda:0,cuda:1").

    Its threads end with the process, or when it is closed. For many callers at once put a `Scheduler` over
    `load_replicas`, also on one device.

    Raises:
        ModelUnavailable: as `Sam3.load`.
    """
    replicas = load_replicas(name_or_path, device, dtype, fast=fast)
    return replicas[0] if len(replicas) == 1 else Scheduler(replicas)
