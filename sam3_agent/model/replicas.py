"""A model by its name: on one device, a replica on each of several, or served by Ray."""

from pathlib import Path
from typing import TYPE_CHECKING

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.model.devices import Fast, device_names
from sam3_agent.model.ray_cluster import ServedAddress, served_address

if TYPE_CHECKING:
    from sam3_agent.model.sam3 import Sam3
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.model.served_segmenter import ServedSegmenter


def load_replicas(
    name_or_path: "str | Path" = "tiny", device: str = "auto", dtype: str = "auto", *, fast: Fast = "auto"
) -> "list[Sam3]":
    """A `Sam3.load` for each device in a list such as "cuda:0,cuda:1".

    Raises:
        ModelUnavailable: as `Sam3.load`, and for the address of a served model.
    """
    from sam3_agent.model.sam3 import Sam3  # imports torch, which a client of a served model does without

    if served_address(str(name_or_path)) is not None:
        raise ModelUnavailable(
            f"{name_or_path} is served elsewhere; this needs the model itself: give its name or path"
        )
    return [Sam3.load(name_or_path, name, dtype, fast=fast) for name in device_names(device)]


def load_segmenter(
    name_or_path: "str | Path" = "tiny", device: str = "auto", dtype: str = "auto", *, fast: Fast = "auto"
) -> "Sam3 | Scheduler | ServedSegmenter":
    """A Sam3 on one device, a `Scheduler` over its replicas on several ("cuda:0,cuda:1"), or a model served by Ray.

    The served one is named by its address, "serve:APP" or "ray://HOST:PORT/APP". A scheduler's threads end with the
    process, or when it is closed. For many callers at once put a `Scheduler` over `load_replicas`, also on one device.

    Raises:
        ModelUnavailable: as `Sam3.load`; nothing is served under that address.
        InputError: the address is none, or comes with a device or number format.
    """
    address = served_address(str(name_or_path))
    if address is not None:
        from sam3_agent.model.served_segmenter import open_served

        check_served(address, device, dtype)
        return open_served(address)
    replicas = load_replicas(name_or_path, device, dtype, fast=fast)
    if len(replicas) == 1:
        return replicas[0]
    from sam3_agent.model.scheduler import Scheduler

    return Scheduler(replicas)


def check_served(address: ServedAddress, device: str, dtype: str) -> None:
    """Raise InputError where a device or number format is asked of a model that has them already."""
    if (device, dtype) != ("auto", "auto"):
        raise InputError(f"{address} has its device and dtype already: give them to 'sam3-agent serve model'")
