"""Remote folders: files behind s3://, gs://, hf://, https://, ... copied to a local folder, within limits.

A listing is a stranger's: what it names must lie inside the folder that was asked for, here and there, and count, sizes
and silence are bounded. Credentials are those of fsspec's own packages (s3fs, gcsfs, huggingface_hub), which read their
usual files and environment. HTTP redirects may go to other paths of the host, and from http to https; a host is what
the user named, and no page sends the reader to another one.
"""

import hashlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.reading import read_json

logger = logging.getLogger(__name__)

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "hf", "http", "https", "memory")
"""Those that are taken; others of fsspec's read local disks (file, zip) or start programs (ssh)."""
_URL = re.compile(rf"(?:{'|'.join(SCHEMES)})://[^/:@,\s]+(?::\d+)?(?:/[^:@,\s]*)?")
FILE = ".remote.json"
"""In the local folder: where its files are from, and as they were."""
_WEB = ("http", "https")
_DEPTH = 32
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one copy."""

    files: int = 1_000_000
    file_bytes: int = 4 * 2**30
    total_bytes: int = 200 * 2**30
    stall_seconds: float = 90.0
    """Without a byte or a page of the listing."""
    at_once: int = 8


LIMITS = Limits()


@dataclass(slots=True)
class Copied:
    """Outcome of a copy."""

    folder: Path
    files: int = 0
    fetched: int = 0
    bytes: int = 0
    outside: int = 0
    """Names that the listing had from outside the folder; they were passed over."""


@dataclass(frozen=True, slots=True)
class _Entry:
    remote: str
    name: str
    """Path below the local folder."""
    size: int | None
    tag: str
    """Whatever tells a new version: ETag, or a time."""


Told = Callable[[int, int, int], None]
"""Called with files done, files in all, bytes fetched."""


def is_remote(text: str) -> bool:
    """Whether a text is the URL of a remote file or folder."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def remote_urls(text: str) -> list[str]:
    """List the URLs of remote folders in a longer text, such as "coco:s3://b/a.json@s3://b/images"."""
    return _URL.findall(text)


def shown(url: str) -> str:
    """A URL for a message: without user, password and query, which may be secrets."""
    scheme, mark, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2] if scheme in _WEB else rest}"[:200]


def copy_remote(
    url: str,
    into: Path,
    wanted: Callable[[str], bool] = lambda name: True,
    limits: Limits = LIMITS,
    told: Told = lambda done, total, size: None,
) -> Copied:
    """Bring the files of a remote folder into a local one; those that are there unchanged stay.

    `wanted` is asked with each file's name below the folder. A file's URL gives a folder with this one file.

    Raises:
        InputError: the package for the scheme is missing, nothing can be listed or read, or a limit is passed.
    """
    system, root = _open(url)
    kept = _kept(into, url)
    copied = Copied(into)
    entries = _entries(_listed(system, root, limits, copied), url, wanted, limits)
    copied.files = len(entries)
    transfer = _Transfer(system, into, limits, [e for e in entries.values() if not _is_there(into, e, kept)], told)
    try:
        transfer.run(shown(url))
    finally:
        kept |= {entry.name: [entry.size, entry.tag] for entry in transfer.done}
        write_json(into / FILE, {"url": url, "files": {name: kept[name] for name in entries if name in kept}})
    copied.fetched, copied.bytes = len(transfer.done), transfer.bytes
    if copied.outside:
        logger.info("%s: %d names lie outside the folder and were passed over", shown(url), copied.outside)
    return copied


def _entries(listed: Iterator[_Entry], url: str, wanted: Callable[[str], bool], limits: Limits) -> dict[str, _Entry]:
    """The wanted files by name; raises InputError where there are none or too many."""
    entries: dict[str, _Entry] = {}
    for entry in _within(limits.stall_seconds, shown(url), listed):
        if not wanted(entry.name):
            continue
        if entry.name in entries:
            raise InputError(f"{shown(url)}: two files would both be {entry.name!r}")
        entries[entry.name] = entry
        if len(entries) > limits.files:
            raise InputError(f"{shown(url)}: more than {limits.files} files; give a smaller folder")
    if not entries:
        raise InputError(f"{shown(url)}: no file that is wanted in it (or there is no such folder)")
    if (known := sum(entry.size or 0 for entry in entries.values())) > limits.total_bytes:
        raise InputError(f"{shown(url)}: {known / 2**30:.1f} GiB; at most {limits.total_bytes / 2**30:g} are copied")
    return entries


def upload(folder: Path, url: str) -> int:
    """Copy a local folder (or file) to a remote one, file by file; gives their number.

    Raises:
        InputError: the package for the scheme is missing, or something cannot be written.
    """
    system, root = _open(url)
    if urlsplit(url).scheme in _WEB:
        raise InputError(f"{shown(url)}: nothing can be written there; give s3://, gs://, hf://, ...")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else [folder]
    base = folder if folder.is_dir() else folder.parent
    for path in files:
        target = f"{root.rstrip('/')}/{path.relative_to(base).as_posix()}"
        try:
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(path), target)
        except (OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"cannot write {shown(url)}: {_reason(error)}") from error
    return len(files)


def cache_folder(url: str) -> Path:
    """The folder of this user's cache for a URL: its last name, and a hash that keeps it apart."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(url.rstrip("/").rpartition("/")[2]))[:60].lstrip(".")
    return home / "sam3-agent" / "remote" / f"{name or 'folder'}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def copy_to_cache(url: str, limits: Limits = LIMITS, told: Told = lambda done, total, size: None) -> Path:
    """Copy a remote file or folder into the cache; gives the local file or folder.

    Raises:
        InputError: as `copy_remote`.
    """
    folder = copy_remote(url, cache_folder(url), limits=limits, told=told).folder
    files = [path for path in folder.iterdir() if path.name != FILE]
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    return files[0] if len(files) == 1 and files[0].is_file() and files[0].name == last else folder


def _open(url: str) -> tuple[Any, str]:
    """Open the file system of a URL, and give the path in it."""
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES or "::" in url or not url.isprintable():
        raise InputError(f"{shown(url)}: give one of {', '.join(f'{name}://' for name in SCHEMES)}")
    try:
        core = import_module("fsspec.core")
        options = _web_options() if scheme in _WEB else {}
        system, root = core.url_to_fs(url, skip_instance_cache=scheme in _WEB, **options)
    except ImportError as error:
        raise InputError(f"{scheme}:// needs a package: pip install 'sam3-agent[remote]' ({error})") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{shown(url)}: {_reason(error)}") from error
    return system, str(root)


def _web_options() -> dict[str, Any]:
    aiohttp: Any = import_module("aiohttp")

    async def client(**options: Any) -> Any:
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_check_redirect)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0)
        return aiohttp.ClientSession(trace_configs=[trace], timeout=timeout, **options)

    return {"get_client": client}


async def _check_redirect(session: Any, context: Any, parameters: Any) -> None:
    """Stop a redirect to another host, or from https to http."""
    del session, context
    here = parameters.response.url
    there = here.join(type(here)(parameters.response.headers.get("Location", "")))
    if there.host != here.host or (here.scheme == "https" and there.scheme != "https"):
        raise OSError(f"{here.host} redirects to {there.scheme}://{there.host}; that is not followed")


def _listed(system: Any, root: str, limits: Limits, copied: Copied) -> Iterator[_Entry]:
    """Walk folder by folder; what lies outside the root is counted and passed over."""
    base = root.rstrip("/") + "/"
    if not root.endswith("/") and system.isfile(root) and not _is_page(system, root):
        yield _entry(system.info(root), PurePosixPath(unquote(root)).name)
        return
    open_folders, pages, seen = [(root, 0)], 0, {base}
    while open_folders:
        folder, depth = open_folders.pop()
        pages += 1
        if depth > _DEPTH or pages > limits.files:
            raise InputError(f"{folder}: more than {limits.files} folders, or nested more than {_DEPTH} deep")
        for info in cast(list[dict[str, Any]], system.ls(folder, detail=True)):
            remote = str(info["name"])
            name = _inside(remote, base)
            if name is None:
                copied.outside += remote.rstrip("/") + "/" != base
            elif info.get("type") == "directory":
                if remote.rstrip("/") + "/" not in seen:  # a page may name itself
                    seen.add(remote.rstrip("/") + "/")
                    open_folders.append((remote, depth + 1))
            elif info.get("type") == "file" and not remote.endswith("/"):
                yield _entry(info, name)


def _is_page(system: Any, root: str) -> bool:
    """Whether an HTTP address without a suffix answers with a page: the listing of a folder."""
    return "http" in system.protocol and "." not in PurePosixPath(urlsplit(root).path).name


def _inside(remote: str, base: str) -> str | None:
    """The path below the folder; None where a name does not lie in it, or could not be one here."""
    if not remote.startswith(base):
        return None
    name = remote.removeprefix(base)
    if base.startswith(("http://", "https://")):
        name = unquote(name.partition("?")[0].partition("#")[0])
    parts = name.rstrip("/").split("/")
    fine = all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts)
    return name.rstrip("/") if fine and name != FILE else None


def _entry(info: dict[str, Any], name: str) -> _Entry:
    size = info.get("size")
    tags = (info.get(key) for key in ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "mtime", "created"))
    return _Entry(
        str(info["name"]), name, size if isinstance(size, int) else None, str(next((t for t in tags if t), ""))
    )


def _within(seconds: float, where: str, entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """Hand on what a thread lists; a listing that falls silent ends in an error, and not in a hang."""
    lines: queue.Queue[_Entry | BaseException | None] = queue.Queue(maxsize=10_000)

    def work() -> None:
        try:
            for entry in entries:
                lines.put(entry)
            lines.put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            lines.put(error)

    threading.Thread(target=work, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            raise InputError(f"{where}: no answer for {seconds:g} s") from None
        if line is None:
            return
        if isinstance(line, InputError):
            raise line
        if isinstance(line, BaseException):
            raise InputError(f"cannot list {where}: {_reason(line)}") from line
        yield line


def _kept(into: Path, url: str) -> dict[str, Any]:
    """Files of an earlier copy as they were; raises InputError where the folder holds another one's."""
    if not (into / FILE).exists():
        return {}
    document = cast(dict[str, Any], read_json(into / FILE))
    if document.get("url") != url:
        raise InputError(f"{into} holds files of {shown(str(document.get('url')))}; give another folder")
    return dict(document.get("files", {}))


def _is_there(into: Path, entry: _Entry, kept: dict[str, Any]) -> bool:
    path = into / entry.name
    if kept.get(entry.name) != [entry.size, entry.tag] or not path.is_file():
        return False
    return entry.size is None or path.stat().st_size == entry.size


@dataclass
class _Transfer:
    """Copy of files by threads; the caller watches for errors and silence."""

    system: Any
    into: Path
    limits: Limits
    entries: list[_Entry]
    told: Told
    done: list[_Entry] = field(default_factory=list[_Entry])
    bytes: int = 0
    error: BaseException | None = None

    def run(self, where: str) -> None:
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._open, self._stopped, self._moved = list(reversed(self.entries)), False, time.monotonic()
        self._working = min(self.limits.at_once, len(self.entries))
        for _ in range(self._working):
            threading.Thread(target=self._work, daemon=True).start()
        try:
            while self._working and not self._ended.wait(0.2):
                self.told(len(self.done), len(self.entries), self.bytes)
                if time.monotonic() - self._moved > self.limits.stall_seconds:
                    raise InputError(f"{where}: no byte for {self.limits.stall_seconds:g} s; the same command goes on")
        finally:
            self._stopped = True
        if isinstance(self.error, InputError):
            raise self.error
        if self.error is not None:
            raise InputError(f"cannot read {where}: {_reason(self.error)}") from self.error

    def _work(self) -> None:
        try:
            while (entry := self._next()) is not None:
                self._fetch(entry)
                with self._lock:
                    self.done.append(entry)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self.error = self.error or error
            self._stopped = True
        finally:
            with self._lock:
                self._working -= 1
                if not self._working:
                    self._ended.set()

    def _next(self) -> _Entry | None:
        with self._lock:
            return self._open.pop() if self._open and not self._stopped else None

    def _fetch(self, entry: _Entry) -> None:
        path = self.into / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(self.into.resolve()):
            raise InputError(f"{path.parent} leads out of {self.into}; remove that link")
        for attempt in range(_ATTEMPTS):
            try:
                with replacing(path) as temporary:
                    self.system.get_file(entry.remote, str(temporary), callback=self._callback(entry))
                return
            except FileNotFoundError:
                raise
            except (OSError, TimeoutError):
                if attempt + 1 == _ATTEMPTS or self._stopped:
                    raise
                time.sleep(0.5 * 2**attempt)

    def _callback(self, entry: _Entry) -> Any:
        """Make fsspec's observer of a file, which counts bytes and ends what is too large."""
        transfer, base = self, cast(Any, import_module("fsspec.callbacks")).Callback
        got = 0

        class Watched(base):
            def relative_update(self, inc: int = 1) -> None:
                nonlocal got
                got += inc
                transfer.take(entry, got, inc)

        return Watched()

    def take(self, entry: _Entry, got: int, more: int) -> None:
        """Count bytes; raises InputError past a limit."""
        with self._lock:
            self.bytes, self._moved = self.bytes + more, time.monotonic()
        if self._stopped:
            raise InputError("stopped")
        if got > self.limits.file_bytes:
            raise InputError(f"{entry.name} has more than {self.limits.file_bytes / 2**20:g} MiB")
        if self.bytes > self.limits.total_bytes:
            raise InputError(f"more than {self.limits.total_bytes / 2**30:g} GiB in all")


def _reason(error: BaseException) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.300}"


def local_copies(text: str, told: Callable[[str], None] = lambda url: None) -> str:
    """Put local paths in the place of remote URLs in a text, such as the spec of a dataset; copies them first.

    Raises:
        InputError: as `copy_remote`.
    """
    for url in remote_urls(text):
        told(url)
        text = text.replace(url, str(copy_to_cache(url)), 1)
    return text
