"""Fetching of images from hosts that the operator has named, and from nowhere else."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from sam3_agent.errors import InputError

Resolve = Callable[[str, int], Sequence[str]]
"""Host name and port -> its addresses."""
Connect = Callable[[str, int, float], socket.socket]
"""Address, port, timeout in seconds -> a connected socket."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_CHUNK = 64 * 1024
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
"""Special-purpose networks (IANA's registries, RFC 6890), some of which `is_global` takes for public: 192.0.0.8."""


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect_to(address: str, port: int, timeout: float) -> socket.socket:
    """Open a TCP connection to an address."""
    return socket.create_connection((address, port), timeout=timeout)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetcher of http(s) URLs of the allowed hosts; each redirect is checked like the first URL.

    A name is resolved once for each request, and the connection goes to the very address that was checked. If any of
    its addresses is private, loopback, link-local or otherwise not public, nothing is contacted.
    """

    hosts: tuple[str, ...] = ()
    """"example.com", which allows the usual ports, or "example.com:8443"."""
    max_bytes: int = 32 * 2**20
    seconds: float = 20.0
    """For everything: resolving, redirects, the last byte of the body."""
    resolve: Resolve = resolve_name
    connect: Connect = connect_to

    @classmethod
    def of(cls, hosts: Sequence[str]) -> "Fetcher":
        """Allow these hosts.

        Raises:
            InputError: one of them is no plain host name.
        """
        for host in hosts:
            name, _, port = host.partition(":")
            if not name or set(name) & set("/*@[]\\ ") or (port and not port.isdigit()):
                raise InputError(f"--allow-host {host}: expected a plain name such as example.com or example.com:8443")
        return cls(tuple(host.lower().rstrip(".") for host in hosts))

    def fetch(self, url: str) -> bytes:
        """The body behind a URL.

        Raises:
            InputError: the host is not allowed, its address is not public, or the answer is no use; one line says why.
        """
        deadline = time.monotonic() + self.seconds
        for _ in range(_MOST_REDIRECTS + 1):
            parts, host, port = self._check(url)
            found = self._get(parts, host, port, deadline)
            if isinstance(found, bytes):
                return found
            if parts.scheme == "https" and urlsplit(found).scheme == "http":
                raise InputError(f"{host} redirects from https to http; that is not followed")
            url = found
        raise InputError(f"{_named(url)} redirects more than {_MOST_REDIRECTS} times")

    def _check(self, url: str) -> tuple[SplitResult, str, int]:
        """The URL in parts, its host and its port, if the host is allowed."""
        try:
            if not url.isprintable() or "\\" in url or " " in url:
                raise ValueError("it holds characters that no URL has")
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii").lower()
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError as error:  # UnicodeError is one of them
            raise InputError(f"{_named(url)} is not a usable URL: {error}") from error
        if parts.scheme not in _PORTS or not host:
            raise InputError(f"{_named(url)}: only http and https URLs are fetched")
        if "@" in parts.netloc:
            raise InputError(f"{_named(url)}: URLs with a user name or password are not fetched")
        allowed = f"{host}:{port}" in self.hosts or (host in self.hosts and port == _PORTS[parts.scheme])
        if not allowed:
            names = ", ".join(self.hosts) or "none"
            raise InputError(
                f"{_named(url)}: host {host!r} is not allowed (allowed: {names}); start the server with "
                f"--allow-host HOST, or download the image and give its path"
            )
        return parts, host, port

    def _get(self, parts: SplitResult, host: str, port: int, deadline: float) -> bytes | str:
        """The body, or where it redirects to."""
        address = self._address(host, port)
        shown = _named(parts.geturl())
        try:
            with closing(self.connect(address, port, _left(deadline))) as plain, _cut_off(plain, deadline):
                if parts.scheme == "https":
                    with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure:
                        return self._exchange(secure, parts, host, deadline)
                return self._exchange(plain, parts, host, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise InputError(f"{shown} took longer than {self.seconds:g} s; download it yourself") from error
            raise InputError(f"cannot fetch {shown}: {error or type(error).__name__}") from error

    def _address(self, host: str, port: int) -> str:
        try:
            addresses = list(self.resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise InputError(f"the host name {host!r} cannot be resolved") from error
        if not addresses:
            raise InputError(f"the host name {host!r} has no address")
        for address in addresses:
            if not is_public(address):
                raise InputError(f"{host!r} has an address that is not public; such hosts are never contacted")
        return addresses[0]

    def _exchange(self, sock: socket.socket, parts: SplitResult, host: str, deadline: float) -> bytes | str:
        connection = http.client.HTTPConnection(host)
        connection.sock = sock
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
        name = host if parts.port in (None, _PORTS[parts.scheme]) else f"{host}:{parts.port}"
        headers = {"Host": name, "Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close"}
        connection.request("GET", target, headers={**headers, "User-Agent": "sam3-mcp"})
        with connection.getresponse() as answer:
            return self._taken(answer, parts, deadline)

    def _taken(self, answer: http.client.HTTPResponse, parts: SplitResult, deadline: float) -> bytes | str:
        shown = _named(parts.geturl())
        if answer.status in _REDIRECTS:
            return urljoin(parts.geturl(), answer.getheader("Location") or "")
        if answer.status != 200:
            raise InputError(f"{shown} answered with status {answer.status}")
        if (answer.getheader("Content-Encoding") or "identity").lower() != "identity":
            raise InputError(f"{shown} answered in a compressed form that was not asked for")
        return self._body(answer, shown, deadline)

    def _body(self, answer: http.client.HTTPResponse, shown: str, deadline: float) -> bytes:
        too_large = InputError(f"{shown} is larger than {self.max_bytes / 2**20:g} MiB")
        if answer.length is not None and answer.length > self.max_bytes:
            raise too_large
        body = bytearray()
        while chunk := answer.read1(_CHUNK):
            _left(deadline)
            body += chunk
            if len(body) > self.max_bytes:
                raise too_large
        _left(deadline)
        if answer.length:
            raise InputError(f"{shown} broke off {answer.length} bytes before its end")
        return bytes(body)


NO_HOSTS = Fetcher()
"""Fetcher of nothing."""


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet; those that wrap another one are what they wrap."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found.sixtofour is not None or found.teredo is not None:
            return False
    if any(found in network for network in _SPECIAL if network.version == found.version):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _named(url: str) -> str:
    """A URL for a message: without its query and its user, which may be secrets."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = bare.partition("://")
    shown = f"{scheme}{mark}{rest.rpartition('@')[2]}"
    return repr(shown if len(shown) <= 200 else shown[:200] + "...")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


@contextmanager
def _cut_off(sock: socket.socket, deadline: float) -> Generator[None]:
    """Shut the socket at the deadline, however slowly the other side feeds it."""

    def shut() -> None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
