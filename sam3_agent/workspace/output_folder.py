"""The one folder that tools may write into."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sam3_agent.errors import InputError

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """Writes files under `root` and nowhere else; with no root it refuses.

    Folders on the way are opened one inside the other and never through a symlink, so that nobody who may write there
    can lead a file astray, not even between check and use.
    """

    root: Path | None = None

    def write(self, files: Mapping[str, bytes], *, overwrite: bool = False) -> list[Path]:
        """Write files by their paths relative to the root ('cats/m1.png'); each appears whole or not at all.

        Raises:
            InputError: there is no root, a path leaves it, a file is there already and `overwrite` is not set, or the
                disk refuses.
        """
        if self.root is None:
            raise InputError("there is no output folder: start the server with --out-dir FOLDER to have files written")
        paths = {name: _parts(name) for name in files}
        try:
            for name, parts in paths.items():
                self._write(parts, files[name], overwrite=overwrite)
        except FileExistsError as error:
            raise InputError(f"{error.filename!r} is there already; take another path, or set overwrite") from error
        except OSError as error:
            raise InputError(f"cannot write {error.filename!r} in the output folder: {error.strerror}") from error
        return [self.root.joinpath(*parts) for parts in paths.values()]

    def _write(self, parts: tuple[str, ...], data: bytes, *, overwrite: bool) -> None:
        assert self.root is not None
        self.root.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = inner
            _place(folder, parts[-1], data, overwrite=overwrite)
        finally:
            os.close(folder)


NO_OUTPUT = OutputFolder()
"""Nothing may be written."""


def _place(folder: int, name: str, data: bytes, *, overwrite: bool) -> None:
    """Write beside the name, then link or rename, which replaces a symlink instead of following it."""
    draft = f".writing-{secrets.token_hex(8)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if overwrite:
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        try:
            os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError as error:
            raise FileExistsError(error.errno, error.strerror, name) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)


def _parts(name: str) -> tuple[str, ...]:
    shown = repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise InputError(f"{shown} is no path inside the output folder: give a relative one such as 'cats/m1.png'")
    if any(part.startswith((".", "~")) or len(os.fsencode(part)) > _SHOWN for part in path.parts) or len(name) > 1000:
        raise InputError(f"{shown} is not a usable path: no part may begin with '.' or '~' or be very long")
    if not name.isprintable():
        raise InputError(f"{shown} is not a usable path: it holds characters that cannot be printed")
    return path.parts
