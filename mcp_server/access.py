"""Decides which files a client may have opened."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sam3_agent.errors import InputError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Access:
    """The folders whose files may be opened, with every symlink in their own path already resolved."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> "Access":
        """Allow these folders; with none given, the current one.

        Hosts may start a server in the root folder; there the default is nothing, since nobody asked for "everything".

        Raises:
            InputError: a folder does not exist or is a file.
        """
        for folder in folders:
            if not folder.expanduser().is_dir():
                raise InputError(f"--allow-dir {folder}: no such folder")
        here = Path.cwd().resolve()
        default = () if here == Path(here.anchor) else (here,)
        return cls(tuple(f.expanduser().resolve() for f in folders) or default)

    def check(self, source: str) -> str:
        """Return what may be opened in place of `source`: the file's real path, or the data URI itself.

        A relative path starts in the current folder. What lies outside is refused without saying whether it exists.

        Raises:
            InputError: a URL, or a path outside the allowed folders; the message names these.
        """
        text = source.strip()
        if text.startswith("data:"):  # in lower case only, exactly as the workspace reads it; all else is a path
            return text
        shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
        try:
            real = Path(self._path(text, shown)).expanduser().resolve()
            strange = real.exists() and not real.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown ~user, a NUL byte
            raise InputError(f"{shown} is not a usable path. {self.rule}") from error
        if not any(real.is_relative_to(folder) for folder in self.folders):
            raise InputError(f"{shown} is outside the allowed folders. {self.rule}")
        if strange:
            raise InputError(f"{shown} is not a file; give the path of one picture")
        return str(real)

    def _path(self, text: str, shown: str) -> str:
        if not text:
            raise InputError("the source is empty; give the path of a picture or a data URI")
        if not _SCHEME.match(text):
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
