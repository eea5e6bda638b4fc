"""PathAllowlist to the images that a client names, where the operator allows it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.workspace.image_loading import Source, data_uri_bytes
from sam3_mcp.decoding import Decoder, decode_here
from sam3_mcp.path_allowlist import SCHEME, PathAllowlist
from sam3_mcp.url_fetcher import NO_HOSTS, Fetcher

MAX_PIXELS = 100_000_000
_WEB = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class ImageAccess:
    """Reader of files of the allowed folders, URLs of the allowed hosts, and data URIs; bounded in bytes and pixels."""

    files: PathAllowlist
    fetcher: Fetcher = NO_HOSTS
    max_pixels: int = MAX_PIXELS
    max_data_uri: int = 24 * 2**20
    """Characters."""
    decode: Decoder = decode_here

    def read(self, source: Source, weigh: Callable[[int], None], client: str = "") -> tuple[NDArray[np.uint8], str]:
        """(H, W, 3) RGB pixels with a name for them.

        `weigh` is told their bytes before they are decoded, and may refuse; the decoder serves clients in turn.

        Raises:
            InputError: it is not allowed, too large, or no image; one line says what to do.
            ToolError: `weigh` refused.
        """
        if not isinstance(source, str):
            raise InputError("the source must be text: the path of an image, a URL or a data URI")
        data, name = self._load(source.strip())
        if not data:
            raise InputError("the source is empty (0 bytes)")
        return self.decode(data, self.max_pixels, weigh, client), name

    def _load(self, text: str) -> tuple[bytes, str]:
        """The bytes of an image file with a name for them."""
        if text.startswith("data:"):  # in lower case only; all else is a path
            if len(text) > self.max_data_uri:
                raise InputError(f"the data URI is longer than {self.max_data_uri // 2**20} MiB; scale the image down")
            return data_uri_bytes(text), "data URI"
        if SCHEME.match(text) and text.lower().startswith(_WEB):
            return self.fetcher.fetch(text), text.partition("?")[0].partition("#")[0]
        return self.files.read(text)
