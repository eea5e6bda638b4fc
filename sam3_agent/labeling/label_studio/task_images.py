"""Images of Label Studio's tasks: from an allowed folder, from Label Studio itself, or from hosts that are allowed."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

from sam3_agent.errors import InputError
from sam3_agent.workspace.image_loading import data_uri_bytes

MOST_BYTES = 200_000_000
"""Of one image: more than a JPEG of the most pixels that are decoded has."""
_MOST_REDIRECTS = 3
"""Label Studio sends to a signed address of a cloud storage, which may send on once."""
_SECONDS = 30.0
_CLOUD = ("s3", "gs", "azure-blob")
_LOCAL = "/data/local-files/"


@dataclass(frozen=True, slots=True)
class TaskImages:
    """Reader of the images that tasks name.

    Nothing is read from outside `folder`, and nothing fetched but from `host` and `allowed`, also after a redirect;
    the token goes to `host` alone.
    """

    folder: Path | None = None
    """Folder that Label Studio serves as local files (LOCAL_FILES_DOCUMENT_ROOT)."""
    host: str = ""
    """Address of Label Studio, such as http://localhost:8080."""
    token: str = ""
    """Access token of Label Studio: a legacy token, or a personal one (a JWT that is exchanged first)."""
    allowed: tuple[str, ...] = ()
    """Further hosts, as "name" or "name:port"."""

    def read(self, source: str, task_id: object = None) -> bytes:
        """Give the bytes of an image file.

        Raises:
            InputError: it is not allowed, not there, or too large.
        """
        parts = _split(source)
        if parts.scheme == "data":
            return data_uri_bytes(source)
        local = self._local(source)
        if local is not None:
            return self._read_file(local)
        if parts.scheme in _CLOUD:
            coded = base64.urlsafe_b64encode(source.encode()).decode()
            return self._fetch(f"{self._origin()}/tasks/{quote(str(task_id), safe='')}/presign/?fileuri={coded}")
        if parts.scheme in ("http", "https"):
            return self._fetch(source)
        if not parts.scheme and source.startswith("/"):
            return self._fetch(urljoin(f"{self._origin()}/", source))
        raise InputError(
            f"cannot read {source!r:.120}: give --images DIR for files of this machine, or --label-studio URL"
        )

    def _local(self, source: str) -> str | None:
        """The path below `folder` that a source means; None where it means something else."""
        if self.folder is None:
            return None
        parts = _split(source)
        if parts.path.startswith(_LOCAL) and self._is_own(source):
            return (parse_qs(parts.query).get("d") or [""])[0].lstrip("/")
        return unquote(source) if not parts.scheme and not source.startswith("/") else None

    def _is_own(self, source: str) -> bool:
        """Whether an address has no host, or that of Label Studio."""
        parts = _split(source)
        return not parts.netloc or (bool(self.host) and _origin(source) == _origin(self.host))

    def _read_file(self, name: str) -> bytes:
        assert self.folder is not None
        root = self.folder.resolve()
        try:
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise InputError(f"{name!r:.120} lies outside of the allowed folder")
            if not path.is_file():
                raise InputError(f"there is no file {name!r:.120} in the allowed folder")
            if path.stat().st_size > MOST_BYTES:
                raise InputError(f"{name!r:.120} has more than {MOST_BYTES // 1_000_000} MB")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {name!r:.120}: {error}") from error

    def _origin(self) -> str:
        if not self.host:
            raise InputError("the image is one of Label Studio: give its address by --label-studio URL")
        return self.host.rstrip("/")

    def _fetch(self, url: str) -> bytes:
        import httpx2

        try:
            # Proxies of the environment would be asked for addresses that only this machine may reach.
            with httpx2.Client(timeout=_SECONDS, trust_env=False) as client:
                for _ in range(_MOST_REDIRECTS + 1):
                    self._check(url)
                    with client.stream("GET", url, headers=self._headers(client, url)) as reply:
                        if not reply.is_redirect:
                            reply.raise_for_status()
                            return _bounded(reply.iter_bytes(), url)
                        url = urljoin(url, reply.headers.get("location", ""))
        except httpx2.HTTPStatusError as error:
            raise InputError(f"{_shown(url)} answers {error.response.status_code}{_advice(error.response)}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise InputError(f"cannot fetch {_shown(url)}: {error or type(error).__name__}") from error
        raise InputError(f"{_shown(url)} redirects more than {_MOST_REDIRECTS} times")

    def _check(self, url: str) -> None:
        parts = _split(url)
        if self.host and _origin(url) == _origin(self.host):
            return
        if parts.scheme in ("http", "https") and (parts.hostname in self.allowed or parts.netloc in self.allowed):
            return
        raise InputError(f"images of the host {parts.netloc!r:.80} are not allowed; allow it by --allow-host")

    def _headers(self, client: Any, url: str) -> dict[str, str]:
        if not self.token or not self.host or _origin(url) != _origin(self.host):
            return {}
        if self.token.count(".") != 2:
            return {"Authorization": f"Token {self.token}"}
        reply = client.post(f"{self._origin()}/api/token/refresh", json={"refresh": self.token})
        reply.raise_for_status()
        given: object = reply.json()
        access = given.get("access") if isinstance(given, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return {"Authorization": f"Bearer {access}"}


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise InputError(f"not a usable address: {url!r:.120} ({error})") from error
    return parts


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = _split(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _bounded(chunks: Iterable[bytes], url: str) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            raise InputError(f"{_shown(url)} has more than {MOST_BYTES // 1_000_000} MB")
    return bytes(data)


def _shown(url: str) -> str:
    """The address without its query, which may be signed."""
    return repr(url.partition("?")[0][:120])


def _advice(reply: Any) -> str:
    return ": give a token in LABEL_STUDIO_API_KEY" if reply.status_code in (401, 403) else ""
