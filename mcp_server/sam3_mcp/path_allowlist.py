"""Allowlist of folders whose files a client may have opened, and their reading."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sam3_agent.errors import InputError

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
MAX_FILE_BYTES = 128 * 2**20
_SHOWN = 200
_NAME_MAX, _PATH_MAX = 255, 4000
"""Bytes of a name and characters of a path, as the usual file systems have it."""
_THROUGH = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class PathAllowlist:
    """Folders whose files may be opened, with every symlink in their own path already resolved."""

    folders: tuple[Path, ...]
    max_bytes: int = MAX_FILE_BYTES

    @classmethod
    def of(cls, folders: Sequence[Path], *, default_here: bool = True) -> "PathAllowlist":
        """Allow these folders; with none given, the current one if `default_here`.

        Hosts may start a server in the root folder; there the default is nothing, since nobody asked for "everything".

        Raises:
            InputError: a folder does not exist or is a file.
        """
        for folder in folders:
            if not folder.expanduser().is_dir():
                raise InputError(f"--allow-dir {folder}: no such folder")
        here = Path.cwd().resolve()
        default = (here,) if default_here and here != Path(here.anchor) else ()
        return cls(tuple(f.expanduser().resolve() for f in folders) or default)

    def read(self, source: str) -> tuple[bytes, str]:
        """The bytes of a file, and its real path.

        What is opened is what was checked: the way from the allowed folder down is walked again without following any
        link. A file that has a second name (hard link) may lie outside by that one, and is refused.

        Raises:
            InputError: as `check`; or it is no plain file, too large, or cannot be read.
        """
        shown = repr(_short(source.strip()))
        handle, real = self.open(source, "give the path of one image")
        try:
            with os.fdopen(handle, "rb") as file:
                data = file.read(self.max_bytes + 1)
        except OSError as error:
            raise InputError(f"cannot open {shown}: {error.strerror or error}. {self.rule}") from error
        if len(data) > self.max_bytes:
            raise InputError(f"{shown} is larger than {self.max_bytes // 2**20} MiB; scale the image down first")
        return data, str(real)

    def open(self, source: str, otherwise: str) -> tuple[int, Path]:
        """A descriptor of a plain file, which the caller closes, and its real path; see `read`.

        Raises:
            InputError: as `read`; where it is no file, the message ends with `otherwise`.
        """
        real = self.check(source)
        shown = repr(_short(source.strip()))
        if not real.is_file():
            raise InputError(f"{shown} is not a file; {otherwise}")
        folder = next(folder for folder in self.folders if real.is_relative_to(folder))
        try:
            handle = _open_below(folder, real.relative_to(folder).parts)
        except OSError as error:
            raise InputError(f"cannot open {shown}: {error.strerror or error}. {self.rule}") from error
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return handle, real
        os.close(handle)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{shown} is not a file; {otherwise}")
        raise InputError(f"{shown} has several hard links, one of which may lie outside; open a copy of it")

    def check(self, source: str) -> Path:
        """The real path of a file or folder that may be opened.

        A relative path starts in the current folder. What lies outside is refused without saying whether it exists.

        Raises:
            InputError: a path outside the allowed folders, or no path at all; the message names these.
        """
        text = source.strip()
        shown = repr(_short(text))
        path = self._path(text, shown)
        if "\0" in path or len(path) > _PATH_MAX or any(len(os.fsencode(p)) > _NAME_MAX for p in path.split("/")):
            raise InputError(f"{shown} is not a usable path. {self.rule}")
        # Up to here nothing was looked up; from here on what lies outside is told apart by nothing.
        outside = InputError(f"{shown} is outside the allowed folders. {self.rule}")
        try:
            real = _expanded(path).resolve()
            if not any(real.is_relative_to(folder) for folder in self.folders):
                raise outside
            missing = not real.exists()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a folder that may not be read
            raise outside from error
        if missing:
            raise InputError(f"no such file: {shown}. {self.rule}")
        return real

    def _path(self, text: str, shown: str) -> str:
        if not text:
            raise InputError("the source is empty; give the path of an image or a data URI")
        if not SCHEME.match(text):
            return text
        parts = urlsplit(text)
        if parts.scheme.lower() == "file" and parts.netloc in ("", "localhost"):
            return unquote(parts.path)
        raise InputError(f"{shown} is not fetched: download it first, then give the file's path. {self.rule}")

    @property
    def rule(self) -> str:
        """One sentence that says what is allowed and how to allow more."""
        if not self.folders:
            return "No folder is allowed yet: start the server with --allow-dir FOLDER (data URIs always work)."
        names = ", ".join(str(folder) for folder in self.folders)
        return f"Allowed: files under {names}; start the server with --allow-dir FOLDER to allow others."


def _expanded(path: str) -> Path:
    """A path with "~" for the home folder; "~user" is a name like any other, or it would tell which users there are."""
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path.cwd() / path


def _open_below(folder: Path, parts: Sequence[str]) -> int:
    """Open `folder/parts...` for reading without following a symlink below the folder.

    Raises:
        OSError: there is a link, or nothing, on the way.
    """
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _THROUGH, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(parts[-1], _FILE, dir_fd=here)
    finally:
        os.close(here)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
