"""A network of stand-ins: names resolve as told, connections are noted, and what leaves this machine is seen."""

import io
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.url_fetcher import Fetcher

from sam3_agent.errors import InputError

PUBLIC = "93.184.216.34"
REACHED: list[tuple[str, int]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every connection and lookup of this process that leaves this machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not str(arguments[1][0]).startswith("127."):
        REACHED.append((event, 0))
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", "::1", None):
        REACHED.append((event, 0))


sys.addaudithook(_watch)


class FakeNetwork:
    """Stands in for the network: names resolve as told, and every connection is noted and goes to one local server."""

    def __init__(self, names: dict[str, list[str]], port: int = 0) -> None:
        self.names = names
        self.port = port
        self.tried: list[str] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        if host not in self.names:
            raise socket.gaierror(f"no such name: {host}")
        return self.names[host]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.tried.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def pictures(self, *hosts: str, folders: Sequence[Path] = (), **limits: Any) -> ImageAccess:
        fetcher = Fetcher(hosts, resolve=self.resolve, connect=self.connect, **limits)
        return ImageAccess(PathAllowlist(tuple(f.resolve() for f in folders)), fetcher)


def refused(pictures: ImageAccess, source: str) -> str:
    with pytest.raises(InputError) as caught:
        pictures.read(source, lambda _: None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


NAMES = {
    "pictures.example": [PUBLIC],
    "private.example": ["10.0.0.7"],
    "loopback.example": ["127.0.0.1"],
    "both.example": [PUBLIC, "192.168.1.1"],
    "metadata.example": ["169.254.169.254"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "six.example": ["::1"],
    "local.example": ["fe80::1%eth0"],
    "unique.example": ["fd00::1"],
    "nat.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "zero.example": ["0.0.0.0"],
    "carrier.example": ["100.64.0.1"],
    "multicast.example": ["224.0.0.1"],
    "reserved.example": ["240.0.0.1"],
    "dummy.example": ["192.0.0.8"],
    "relay.example": ["192.88.99.1"],
    "benchmark.example": ["198.18.0.1"],
    "site.example": ["fec0::1"],
    "local-nat.example": ["64:ff9b:1::7f00:1"],
    "broadcast.example": ["255.255.255.255"],
    "strange.example": ["0177.0.0.1"],
    "nothing.example": [],
    "2130706433": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
}


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()
