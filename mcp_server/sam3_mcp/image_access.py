"""Access to the images that a client names, where the operator allows it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.workspace.image_loading import Source, read_source
from sam3_mcp.path_allowlist import SCHEME, Access
from sam3_mcp.url_fetcher import NO_HOSTS, Fetcher

MAX_PIXELS = 100_000_000
_WEB = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Reads files of the allowed folders, URLs of the allowed hosts, and data URIs; bounded in bytes and pixels."""

    access: Access
    fetcher: Fetcher = NO_HOSTS
    max_pixels: int = MAX_PIXELS
    max_data_uri: int = 24 * 2**20
    """Characters."""

    def read(self, source: Source, weigh: Callable[[int], None]) -> tuple[NDArray[np.uint8], str]:
        """(H, W, 3) RGB pixels with a name for them; `weigh` is told their bytes, and may refuse.

        Raises:
            InputError: it is not allowed, too large, or no picture; one line says what to do.
            ToolError: `weigh` refused.
        """
        if not isinstance(source, str):
            raise InputError("the source must be text: the path of a picture, a URL or a data URI")
        text = source.strip()
        if text.startswith("data:"):  # in lower case only; all else is a path
            if len(text) > self.max_data_uri:
                raise InputError(
                    f"the data URI is longer than {self.max_data_uri // 2**20} MiB; scale the picture down"
                )
            pixels, name = read_source(text, max_pixels=self.max_pixels)
        elif SCHEME.match(text) and text.lower().startswith(_WEB):
            data = self.fetcher.fetch(text)
            name = text.partition("?")[0].partition("#")[0]
            pixels, _ = read_source(data, max_pixels=self.max_pixels)
        else:
            data, name = self.access.read(text)
            pixels, _ = read_source(data, max_pixels=self.max_pixels)
        weigh(pixels.nbytes)
        return pixels, name
