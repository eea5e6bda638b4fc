"""Images at hand, for readers of label files: found by name, and measured."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sam3_agent.formats.image_names import ImageNames
from sam3_agent.formats.orientation import upright_size


class KnownImages:
    """The images under a folder."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        """Take the folder, and the paths of images relative to it; no file is opened before it must be."""
        self.root = root
        self.paths = tuple(paths)
        self.names = ImageNames(root, self.paths, self._digest)
        self._sizes: dict[str, tuple[int, int] | None] = {}

    def size(self, path: str) -> tuple[int, int] | None:
        """Measure an image by its path: (height, width) upright, or None where it cannot be read."""
        if path not in self._sizes:
            try:
                self._sizes[path] = upright_size(self.root / path)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
                self._sizes[path] = None
        return self._sizes[path]

    def size_of(self, name: str) -> tuple[int, int] | None:
        """Measure the image that a name in a label file means; None where that is not sure."""
        path = self.names.find(name)
        return None if path is None else self.size(path)

    def _digest(self, path: str) -> str:
        """Hash the contents of a file; where it cannot be read, its path stands for them."""
        try:
            with (self.root / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return path
