"""Names of devices on the command line: one, or several for a replica on each."""

import re
from typing import Literal

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

DEVICE_HELP = "auto, cuda, cuda:N, cpu or mps; cuda:0,cuda:1 for a replica on each"

Fast = Literal["auto", "off"]
"""Whether a model may be compiled and captured on a CUDA GPU when it is warmed up."""


def device_names(text: str) -> list[str]:
    """The names in a list such as "cuda:0,cuda:1"."""
    return [name.strip() for name in text.split(",")]


def names_devices(text: str) -> bool:
    """Whether a text is a device's name or a list of such."""
    return all(_DEVICE.fullmatch(name) for name in device_names(text))
