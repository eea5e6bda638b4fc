"""Attempts to reach hosts that nobody allowed: all fail, and no connection is even tried."""

import socket
import threading
import time
import zlib
from collections.abc import Callable

import pytest
from sam3_mcp.url_fetcher import Fetcher, is_public

from sam3_agent.errors import InputError
from tests.mcp_server.fixtures_network import NAMES, PUBLIC, REACHED, FakeNetwork, png, refused


@pytest.mark.parametrize("host", [name for name in NAMES if name != "pictures.example"])
def test_a_host_whose_address_is_not_public_is_never_contacted_even_when_it_is_allowed(host: str) -> None:
    network = FakeNetwork(NAMES)
    words = refused(network.pictures(host), f"http://{host}/cat.png")
    assert "not public" in words or "no address" in words
    assert network.tried == []


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
    network = FakeNetwork(NAMES)
    words = refused(network.pictures("pictures.example"), url)
    assert "secret" not in words
    assert network.tried == []


Serve = Callable[..., FakeNetwork]


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Serve:
    """Start a server on this machine that answers each connection by a function of its own."""

    def begin(*answers: Callable[[socket.socket], None]) -> FakeNetwork:
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
        return FakeNetwork(NAMES, port)

    return begin


def reply(body: bytes, status: str = "200 OK", **headers: str) -> Callable[[socket.socket], None]:
    lines = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def test_an_allowed_host_with_a_public_address_is_fetched_from_the_address_that_was_checked(serve: Serve) -> None:
    network = serve(reply(png(8, 6)))
    pixels, name = network.pictures("pictures.example").read(
        "http://pictures.example/cat.png?key=secret", lambda _: None
    )
    assert pixels.shape == (6, 8, 3)
    assert name == "http://pictures.example/cat.png"
    assert network.tried == [PUBLIC]


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
    network = serve(*[reply(b"", "302 Found", Location=target)] * 4)
    refused(
        network.pictures("pictures.example", "loopback.example", "private.example", "metadata.example"),
        "http://pictures.example/",
    )
    assert set(network.tried) == {PUBLIC}


def test_redirects_come_to_an_end(serve: Serve) -> None:
    network = serve(*[reply(b"", "302 Found", Location="/again")] * 6)
    assert "redirects more than 3 times" in refused(network.pictures("pictures.example"), "http://pictures.example/")
    assert len(network.tried) == 4


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(serve: Serve) -> None:
    network = serve(reply(png()))
    answers = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    fetcher = Fetcher(("pictures.example",), resolve=lambda *_: next(answers), connect=network.connect)
    fetcher.fetch("http://pictures.example/")
    assert network.tried == [PUBLIC]
    with pytest.raises(InputError, match="not public"):
        fetcher.fetch("http://pictures.example/")


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:  # until the client hangs up, which is what is tested
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"y")
        time.sleep(0.05)


def silence(connection: socket.socket) -> None:
    connection.settimeout(None)
    connection.recv(1)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("answer", [drip, drip_header, silence], ids=["body", "header", "silence"])
def test_a_slow_answer_is_cut_off(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    pictures = serve(answer).pictures("pictures.example", seconds=0.5)
    assert "longer than 0.5 s" in refused(pictures, "http://pictures.example/")


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
        (reply(b"not a picture"), "not an image"),
    ],
    ids=["huge-length", "endless", "cut-short", "compressed", "status", "no-location", "garbage", "no-picture"],
)
def test_an_answer_that_is_too_large_or_no_picture_is_refused(
    serve: Serve, answer: Callable[[socket.socket], None], words: str
) -> None:
    network = serve(*[answer] * 4)
    pictures = network.pictures("pictures.example", max_bytes=2**20)
    with pytest.raises(InputError, match=words):
        pictures.read("http://pictures.example/", lambda _: None)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_told_from_others(address: str) -> None:
    assert is_public(address)


def test_nothing_left_this_machine() -> None:
    assert REACHED == []
