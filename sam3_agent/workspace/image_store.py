"""Store of open images by id."""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import UnknownHandle
from sam3_agent.render import Picture


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image on the workspace."""

    id: str
    width: int
    height: int
    source: str


class Images:
    """Open images with their pixels; ids count up and are never used again. Safe to call from several threads."""

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._images: dict[str, OpenImage] = {}
        self._pixels: dict[str, NDArray[np.uint8]] = {}
        self._opened = 0
        self._lock = threading.Lock()

    def name(self, pixels: NDArray[np.uint8], source: str) -> OpenImage:
        """Give an image its id; it is not open before `add`."""
        with self._lock:
            self._opened += 1
            return OpenImage(f"img{self._opened}{self._suffix}", pixels.shape[1], pixels.shape[0], source)

    def add(self, image: OpenImage, pixels: NDArray[np.uint8]) -> None:
        """Open it."""
        with self._lock:
            self._images[image.id] = image
            self._pixels[image.id] = pixels

    def find(self, image_id: str) -> OpenImage | None:
        """An image if it is open."""
        with self._lock:
            return self._images.get(image_id)

    def get(self, image_id: str) -> OpenImage:
        """An open image.

        Raises:
            UnknownHandle: no such image.
        """
        with self._lock:
            if image_id not in self._images:
                raise UnknownHandle("image", image_id, self._images)
            return self._images[image_id]

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """The (H, W, 3) RGB pixels of an open image, read-only.

        Raises:
            UnknownHandle: no such image.
        """
        with self._lock:
            if image_id not in self._pixels:
                raise UnknownHandle("image", image_id, self._images)
            view = self._pixels[image_id].view()
        view.setflags(write=False)
        return view

    def all(self) -> list[OpenImage]:
        """All open images, oldest first."""
        with self._lock:
            return list(self._images.values())

    def forget(self, image_id: str) -> None:
        """Close it.

        Raises:
            UnknownHandle: no such image.
        """
        with self._lock:
            if image_id not in self._images:
                raise UnknownHandle("image", image_id, self._images)
            del self._images[image_id], self._pixels[image_id]


class WorkspaceView:
    """View of an open image. Its copies show the same image; a pickled one knows nothing but the size."""

    def __init__(self, size: tuple[int, int], draw: Callable[..., Picture] | None = None) -> None:
        self._size = size
        self._draw = draw

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._size

    def png(self, mask_ids: Sequence[str]) -> bytes | None:
        """Draw the image with these masks as a PNG file; None once it was forgotten."""
        try:
            picture = self._draw(mask_ids, style="marks" if mask_ids else "plain") if self._draw is not None else None
        except UnknownHandle:
            return None
        if picture is None:
            return None
        buffer = io.BytesIO()
        picture.image.save(buffer, "PNG")
        return buffer.getvalue()

    def __deepcopy__(self, _: object) -> "WorkspaceView":
        return self

    def __reduce__(self) -> tuple[type["WorkspaceView"], tuple[tuple[int, int]]]:
        return WorkspaceView, (self._size,)
