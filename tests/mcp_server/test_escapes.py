"""Attempts to reach files, hosts and folders that nobody allowed: all fail, and no connection is even tried."""

import base64
import io
import os
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mcp_server.access import Access
from mcp_server.fetch import Fetcher, is_public
from mcp_server.pictures import Pictures
from sam3_agent.errors import InputError
from sam3_agent.workspace import OutputFolder

PUBLIC = "93.184.216.34"
_reached: list[tuple[str, int]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every connection and lookup of this process that leaves this machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not str(arguments[1][0]).startswith("127."):
        _reached.append((event, 0))
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", "::1", None):
        _reached.append((event, 0))


sys.addaudithook(_watch)


class House:
    """Stands in for the network: names resolve as told, and every connection is noted and goes to one local server."""

    def __init__(self, names: dict[str, list[str]], port: int = 0) -> None:
        self.names = names
        self.port = port
        self.tried: list[str] = []

    def resolve(self, host: str, port: int) -> Sequence[str]:
        if host not in self.names:
            raise socket.gaierror(f"no such name: {host}")
        return self.names[host]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.tried.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def pictures(self, *hosts: str, folders: Sequence[Path] = (), **limits: Any) -> Pictures:
        fetcher = Fetcher(hosts, resolve=self.resolve, connect=self.connect, **limits)
        return Pictures(Access(tuple(f.resolve() for f in folders)), fetcher)


def refused(pictures: Pictures, source: str) -> str:
    with pytest.raises(InputError) as caught:
        pictures.read(source, lambda _: None)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path, folder: Path) -> Path:
    """The allowed folder beside a secret, with links of all kinds that lead out of it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes((folder / "square.png").read_bytes())
    (tmp_path / "allowed-too").mkdir()
    (tmp_path / "allowed-too" / "near.png").write_bytes(secret.read_bytes())
    (folder / "link.png").symlink_to(secret)
    (folder / "relative.png").symlink_to("../secret.png")
    (folder / "stairs").symlink_to(tmp_path)
    (folder / "chain.png").symlink_to(folder / "link.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "proc").symlink_to("/proc/self")
    os.link(secret, folder / "hard.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "inner").mkdir()
    return folder


FILES = [
    "{up}/secret.png",
    "{folder}/../secret.png",
    "{folder}/inner/../../secret.png",
    "{folder}/./../secret.png",
    "{folder}//..//secret.png",
    "{folder}/link.png",
    "{folder}/relative.png",
    "{folder}/chain.png",
    "{folder}/loop.png",
    "{folder}/stairs/secret.png",
    "{folder}/stairs/allowed-too/near.png",
    "{folder}/stairs/../secret.png",
    "{folder}/hard.png",
    "{folder}/pipe.png",
    "{folder}/inner",
    "{folder}",
    "{up}/allowed-too/near.png",
    "{folder}-too/near.png",
    "{folder}/proc/environ",
    "{folder}/proc/fd/0",
    "/proc/self/environ",
    "/proc/self/root{up}/secret.png",
    "/proc/self/cwd/../../../../../..{up}/secret.png",
    "/dev/zero",
    "/dev/stdin",
    "/dev/fd/0",
    "/etc/passwd",
    "~/secret.png",
    "~root/.ssh/id_rsa",
    "~nobody-such/secret.png",
    "file://{up}/secret.png",
    "FILE://{up}/secret.png",
    "file://localhost{folder}/%2e%2e/secret.png",
    "file://{folder}/..%2Fsecret.png",
    "file://evil.example{up}/secret.png",
    "file:///proc/self/environ",
    "  {up}/secret.png  ",
    "{folder}/\x00/../../secret.png",
    "{folder}/square.png\x00/../secret.png",
    "DATA:/../../../../../../..{up}/secret.png",
    "\\\\host\\share\\cat.png",
    "//host/share/cat.png",
    "\\\\?\\C:\\secret.png",
    "C:\\secret.png",
    "ftp://example.com/cat.png",
    "gopher://127.0.0.1:70/cat.png",
    "smb://host/share/cat.png",
    "jar:file://{up}/secret.png",
    "{folder}/" + "a/" * 3000 + "b.png",
    "",
]


@pytest.mark.parametrize("attempt", FILES)
def test_no_file_outside_the_allowed_folder_is_opened(tree: Path, tmp_path: Path, attempt: str) -> None:
    refused(House({}).pictures(folders=[tree]), attempt.format(folder=tree, up=tmp_path))


def test_a_file_inside_is_opened_by_any_of_its_paths(tree: Path) -> None:
    pictures = House({}).pictures(folders=[tree])
    for source in (f"{tree}/square.png", f"{tree}/stairs/allowed/../allowed/square.png", f"file://{tree}/square.png"):
        pixels, name = pictures.read(source, lambda _: None)
        assert pixels.shape == (240, 320, 3)
        assert name == str(tree.resolve() / "square.png")


def test_a_folder_that_turns_into_a_link_after_the_check_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tree / "inner" / "secret.png").write_bytes(b"not yet")

    class Racing(Access):
        """Swaps the folder between check and use."""

        def check(self, source: str) -> Path:
            real = super().check(source)
            (tree / "inner").rename(tree / "gone")
            (tree / "inner").symlink_to(tmp_path)
            return real

    with pytest.raises(InputError, match="cannot open"):
        Racing((tree.resolve(),)).read(f"{tree}/inner/secret.png")


NAMES = {
    "pictures.example": [PUBLIC],
    "private.example": ["10.0.0.7"],
    "loopback.example": ["127.0.0.1"],
    "both.example": [PUBLIC, "192.168.1.1"],
    "metadata.example": ["169.254.169.254"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "six.example": ["::1"],
    "local.example": ["fe80::1%eth0"],
    "unique.example": ["fd00::1"],
    "nat.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "zero.example": ["0.0.0.0"],
    "carrier.example": ["100.64.0.1"],
    "multicast.example": ["224.0.0.1"],
    "reserved.example": ["240.0.0.1"],
    "broadcast.example": ["255.255.255.255"],
    "strange.example": ["0177.0.0.1"],
    "nothing.example": [],
    "2130706433": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
}


@pytest.mark.parametrize("host", [name for name in NAMES if name != "pictures.example"])
def test_a_host_whose_address_is_not_public_is_never_contacted_even_when_it_is_allowed(host: str) -> None:
    house = House(NAMES)
    words = refused(house.pictures(host), f"http://{host}/cat.png")
    assert "not public" in words or "no address" in words
    assert house.tried == []


URLS = [
    "http://other.example/cat.png",
    "http://pictures.example.evil.example/cat.png",
    "http://evil.example/pictures.example",
    "http://evil.example#pictures.example",
    "http://evil.example?pictures.example",
    "http://pictures.example@evil.example/cat.png",
    "http://user:secret@pictures.example/cat.png",
    "http://evil.example\\@pictures.example/cat.png",
    "http://pictures.example:8080/cat.png",
    "http://pictures.example:22/cat.png",
    "http://pictures.example:99999/cat.png",
    "http://2130706433/cat.png",
    "http://0x7f.1/cat.png",
    "http://[::1]/cat.png",
    "http://[::ffff:127.0.0.1]/cat.png",
    "http://127.0.0.1/cat.png",
    "http://169.254.169.254/latest/meta-data",
    "http:///cat.png",
    "http://",
    "https://ｐictures.example.evil.example/",
    "http://pictures.example /cat.png",
    "http://pictures.example\r\nHost: evil.example/cat.png",
    "http://pictures.example/\x00",
    "http://" + "a" * 300 + ".example/",
]


@pytest.mark.parametrize("url", URLS)
def test_no_url_talks_its_way_to_a_host_that_is_not_allowed(url: str) -> None:
    house = House(NAMES)
    words = refused(house.pictures("pictures.example"), url)
    assert "secret" not in words
    assert house.tried == []


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


Serve = Callable[..., House]


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Serve:
    """Start a server on this machine that answers each connection by a function of its own."""

    def begin(*answers: Callable[[socket.socket], None]) -> House:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)

        def work() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(20)
                    try:
                        connection.recv(65536)
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        port = listener.getsockname()[1]

        def end() -> None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone would not
            thread.join(20)
            listener.close()

        request.addfinalizer(end)
        return House(NAMES, port)

    return begin


def reply(body: bytes, status: str = "200 OK", **headers: str) -> Callable[[socket.socket], None]:
    lines = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def test_an_allowed_host_with_a_public_address_is_fetched_from_the_address_that_was_checked(serve: Serve) -> None:
    house = serve(reply(png(8, 6)))
    pixels, name = house.pictures("pictures.example").read("http://pictures.example/cat.png?key=secret", lambda _: None)
    assert pixels.shape == (6, 8, 3)
    assert name == "http://pictures.example/cat.png"
    assert house.tried == [PUBLIC]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/cat.png",
        "http://loopback.example/cat.png",
        "http://private.example/cat.png",
        "http://[::1]:8801/mcp",
        "//metadata.example/cat.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "http://pictures.example:8080/",
        "",
    ],
)
def test_a_redirect_is_checked_like_the_first_url(serve: Serve, target: str) -> None:
    house = serve(*[reply(b"", "302 Found", Location=target)] * 4)
    refused(
        house.pictures("pictures.example", "loopback.example", "private.example", "metadata.example"),
        "http://pictures.example/",
    )
    assert set(house.tried) == {PUBLIC}


def test_redirects_come_to_an_end(serve: Serve) -> None:
    house = serve(*[reply(b"", "302 Found", Location="/again")] * 6)
    assert "redirects more than 3 times" in refused(house.pictures("pictures.example"), "http://pictures.example/")
    assert len(house.tried) == 4


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(serve: Serve) -> None:
    house = serve(reply(png()))
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    fetcher = Fetcher(("pictures.example",), resolve=lambda *_: next(answers), connect=house.connect)
    fetcher.fetch("http://pictures.example/")
    assert house.tried == [PUBLIC]
    with pytest.raises(InputError, match="not public"):
        fetcher.fetch("http://pictures.example/")


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_header(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 200:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("answer", [drip, drip_header, lambda c: time.sleep(2)], ids=["body", "header", "silence"])
def test_a_slow_answer_is_cut_off(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    pictures = serve(answer).pictures("pictures.example", seconds=0.5)
    began = time.monotonic()
    assert "longer than 0.5 s" in refused(pictures, "http://pictures.example/")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(b"x", Content_Length="99999999999"), "larger than 1 MiB"),
        (endless, "larger than 1 MiB"),
        (reply(b"x", Content_Length="50"), "broke off|cannot fetch"),
        (reply(zlib.compress(b"0" * 1000), Content_Encoding="gzip"), "compressed form"),
        (reply(b"no", "404 Not Found"), "status 404"),
        (reply(b"", "302 Found"), "redirects more|not a usable|not allowed"),
        (lambda c: c.sendall(b"garbage\r\n\r\n"), "cannot fetch"),
        (reply(b"not a picture"), "not a picture"),
    ],
    ids=["huge-length", "endless", "cut-short", "compressed", "status", "no-location", "garbage", "no-picture"],
)
def test_an_answer_that_is_too_large_or_no_picture_is_refused(
    serve: Serve, answer: Callable[[socket.socket], None], words: str
) -> None:
    house = serve(*[answer] * 4)
    pictures = house.pictures("pictures.example", max_bytes=2**20)
    with pytest.raises(InputError, match=words):
        pictures.read("http://pictures.example/", lambda _: None)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    plain = png()
    data = b"Comment\0\0" + zlib.compress(b"0" * 200_000_000)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize(
    "data",
    [bomb(60_000, 60_000), bomb(2**31 - 1, 2**31 - 1), bomb(20_000, 6_000), text_bomb(), b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    ids=["3.6-gigapixel", "largest", "120-megapixel", "text", "eps"],
)
def test_a_picture_that_would_burst_memory_or_start_a_program_is_refused(tree: Path, data: bytes) -> None:
    pictures = House({}).pictures(folders=[tree])
    (tree / "bomb.png").write_bytes(data)
    refused(pictures, str(tree / "bomb.png"))
    refused(pictures, f"data:image/png;base64,{base64.b64encode(data).decode()}")


def test_files_and_data_uris_have_a_largest_size(tree: Path) -> None:
    (tree / "large.png").write_bytes(png() + b"\0" * 2_000_000)
    small = Pictures(Access((tree.resolve(),), max_bytes=1_000_000), max_data_uri=1000)
    assert "larger than" in refused(small, str(tree / "large.png"))
    assert "longer than" in refused(small, "data:image/png;base64," + "A" * 1001)


WRITES = [
    "../out.png",
    "a/../../out.png",
    "..",
    "/etc/cron.d/out",
    "/tmp/out.png",
    "~/out.png",
    ".bashrc",
    "a/.ssh/authorized_keys",
    "link/out.png",
    "link/inner/out.png",
    "\\\\host\\share\\out.png",
    "C:out.png",
    "a\x00b.png",
    "a\nb.png",
    "",
    ".",
    "a" * 300,
    "a/" * 600 + "b",
]


@pytest.mark.parametrize("path", WRITES)
def test_nothing_is_written_outside_the_output_folder(tmp_path: Path, path: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    (outside / "inner").mkdir(parents=True)
    (out / "link").symlink_to(outside)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(InputError):
        OutputFolder(out).write({path: b"x"}, overwrite=True)
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_a_file_is_replaced_only_when_asked_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    folder, outside = OutputFolder(tmp_path / "out"), tmp_path / "outside.txt"
    outside.write_text("mine")
    assert folder.write({"a/b.txt": b"one"}) == [tmp_path / "out" / "a" / "b.txt"]
    with pytest.raises(InputError, match=r"'b.txt' is there already; .* set overwrite"):
        folder.write({"a/b.txt": b"two"})
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "one"
    folder.write({"a/b.txt": b"two"}, overwrite=True)
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "two"
    (tmp_path / "out" / "link.txt").symlink_to(outside)
    folder.write({"link.txt": b"three"}, overwrite=True)
    assert outside.read_text() == "mine"
    assert [p.name for p in (tmp_path / "out").rglob(".writing*")] == []
    with pytest.raises(InputError, match="--out-dir"):
        OutputFolder().write({"a.txt": b""})


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_told_from_others(address: str) -> None:
    assert is_public(address)


def test_there_were_sixty_attempts_and_nothing_left_this_machine() -> None:
    assert len(FILES) + len(NAMES) - 1 + len(URLS) + len(WRITES) >= 60
    assert _reached == []
