"""Guards in front of the SDK: names, request ids, event ids, times and places."""

import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.server.transport_security import TransportSecurityMiddleware
from sam3_mcp.__main__ import name_principal
from sam3_mcp.http_app import HttpOptions
from sam3_mcp.http_connections import BoundedConnection
from sam3_mcp.http_guards import (
    FEWEST_PLACES,
    MAX_BODY_BYTES,
    MAX_REQUESTS,
    Admission,
    BodyTooLarge,
    HostNames,
    RequestGuard,
    oversized,
    read_body,
)
from sam3_mcp.options import parser
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.server import build_server
from starlette.authentication import SimpleUser
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from sam3_agent.errors import InputError
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.model.request_context import Principal, calling
from tests.mcp_server.fixtures_server import make_backend
from tests.mcp_server.test_http import ACCEPT, serving, serving_app

pytestmark = pytest.mark.anyio
FOREIGN = [
    "localhost:1.evil.example",
    "localhost:evil.example",
    "127.0.0.1:80@evil.example",
    "localhost:",
    "evil.example",
]
OWN = ["localhost", "localhost:8801", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8801", "gpu-box:8801", "box.example"]
HEADERS = {**ACCEPT, "Content-Type": "application/json"}


def names() -> HostNames:
    return HttpOptions(names=("gpu-box:8801", "box.example")).host_names()


@pytest.mark.parametrize("host", FOREIGN)
def test_a_host_that_only_begins_like_this_server_is_foreign(host: str) -> None:
    assert not names().has(host)
    assert not names().has_origin(f"http://{host}")


@pytest.mark.parametrize("host", OWN)
def test_the_servers_own_names_are_taken_with_ports(host: str) -> None:
    assert names().has(host)
    assert names().has_origin(f"http://{host}")
    assert not names().has_origin(f"file://{host}")


def test_a_public_name_with_a_port_is_taken_with_no_other() -> None:
    assert not names().has("gpu-box:8802")
    assert not names().has_origin("null")


async def test_the_sdk_still_takes_names_that_only_begin_like_its_own() -> None:
    """Fails when the SDK compares whole names: then `HostNames` may go."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", FOREIGN[0].encode())],
    }
    assert await TransportSecurityMiddleware(HttpOptions().security()).validate_request(Request(scope)) is None


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[str]:
    with serving(make_backend(folder, shared=True), HttpOptions(**options)) as url:
        yield url


async def test_foreign_names_are_refused_on_every_path(folder: Path) -> None:
    with running(folder) as url:
        async with httpx2.AsyncClient() as plain:
            for path in ("/mcp", "/healthz", "/metrics", "/nothing"):
                for host in FOREIGN[:2]:
                    assert (await plain.get(f"{url}{path}", headers={"Host": host})).status_code == 421
                    assert (await plain.get(f"{url}{path}", headers={"Origin": f"http://{host}"})).status_code == 403


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


async def begin_session(plain: httpx2.AsyncClient, url: str) -> dict[str, str]:
    """The headers of a new session."""
    answer = await plain.post(f"{url}/mcp", json=INITIALIZE, headers=HEADERS)
    headers = {**HEADERS, "Mcp-Session-Id": answer.headers["mcp-session-id"], "Mcp-Protocol-Version": "2025-06-18"}
    await plain.post(f"{url}/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    return headers


async def test_a_stream_with_an_event_id_is_a_plain_stream(folder: Path) -> None:
    with running(folder) as url:
        async with httpx2.AsyncClient(timeout=30) as plain:
            headers = {**await begin_session(plain, url), "Last-Event-ID": "7"}
            async with plain.stream("GET", f"{url}/mcp", headers=headers) as answer:
                assert answer.status_code == 200


async def test_the_sdk_still_fails_over_an_event_id(folder: Path) -> None:
    """Fails when the SDK answers it: then `RequestGuard` need not drop the header."""
    with serving_app(build_server(make_backend(folder)).streamable_http_app(), log_level="critical") as url:
        async with httpx2.AsyncClient(timeout=30) as plain:
            headers = {**await begin_session(plain, url), "Last-Event-ID": "7"}
            assert (await plain.get(f"{url}/mcp", headers=headers)).status_code == 500


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its streams
async def test_the_sdk_still_lets_requests_with_one_id_wait_forever(folder: Path) -> None:
    """Fails when the SDK answers or refuses them: then `Admission` need not."""
    go_on = threading.Event()

    def load() -> Any:
        assert go_on.wait(60)
        return FakeSegmenter({})

    backend = make_backend(folder, make_segmenter=load)
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "list_images", "arguments": {}}}
    answers: list[int] = []
    with serving_app(build_server(backend).streamable_http_app(), log_level="critical") as url:
        async with httpx2.AsyncClient(timeout=3) as plain:
            headers = await begin_session(plain, url)

            async def ask() -> None:
                with suppress(httpx2.ReadTimeout):
                    answers.append((await plain.post(f"{url}/mcp", json=body, headers=headers)).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(ask)
                await until(lambda: backend.running == 4)
                go_on.set()
    assert len(answers) < 4


async def test_a_flood_has_as_many_places_as_there_are_cores_while_another_calls() -> None:
    app = Gated()
    admission = Admission(app, lambda _: FEWEST_PLACES + 3)
    answers: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_noted, answers, post(admission, call(0), user="bob"))
        await until(lambda: len(app.came) == 1)
        for number in range(FEWEST_PLACES + 3):
            tasks.start_soon(_noted, answers, post(admission, call(number), user="ann"))
        await until(lambda: len(app.came) == 1 + FEWEST_PLACES)
        for _ in range(20):
            await anyio.sleep(0)
        assert len(app.came) == 1 + FEWEST_PLACES
        app.opened.set()
    assert answers == [200] * (FEWEST_PLACES + 4)


async def post(app: Any, message: Any, headers: dict[str, str] | None = None, user: str = "") -> tuple[int, bytes]:
    """Status and body of the answer of an ASGI application to one message."""
    body = json.dumps(message).encode()
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/mcp", "headers": raw}
    if user:
        scope["user"] = SimpleUser(user)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(part: Message) -> None:
        sent.append(part)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent)


class Gated:
    """ASGI application whose answers wait until it is opened; it notes the methods that came."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.opened = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.came.append(json.loads((await receive())["body"])["method"])
        await self.opened.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def until(truth: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not truth():
            await anyio.sleep(0.001)


def call(number: int | str, method: str = "tools/call") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method}


async def _noted(answers: list[int], work: Awaitable[tuple[int, bytes]]) -> None:
    answers.append((await work)[0])


async def test_a_request_id_that_is_in_use_in_its_session_is_refused() -> None:
    app = Gated()
    admission = Admission(app, lambda _: 8)
    one, other = {"mcp-session-id": "one"}, {"mcp-session-id": "other"}
    answers: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_noted, answers, post(admission, call(1), one))
        tasks.start_soon(_noted, answers, post(admission, call(1), other))
        tasks.start_soon(_noted, answers, post(admission, call(1)))
        await until(lambda: len(app.came) == 3)
        for number in (1, "1"):
            status, body = await post(admission, call(number), one)
            assert (status, json.loads(body)["id"]) == (400, number)
        app.opened.set()
    assert answers == [200, 200, 200]
    assert (await post(admission, call(1), one))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": [[1, 2]] * 60_000}, "60000 items"),
        ({str(k): k for k in range(2000)}, "2000 items"),
        ({"boxes": [[[k] * 10 for k in range(100)]] * 100}, "more than 10000 values"),
        (json.loads("[" * 100 + "]" * 100), "more than 32 deep"),
    ],
    ids=["points", "keys", "values", "depth"],
)
async def test_messages_that_are_too_long_or_deep_are_refused(arguments: Any, words: str) -> None:
    app = Gated()
    status, body = await post(Admission(app, lambda _: 8), {**call(1), "params": {"arguments": arguments}})
    assert (status, app.came) == (400, [])
    assert words in json.loads(body)["error"]["message"]


def test_messages_of_usual_size_are_none() -> None:
    boxes = [[0.5, 0.5, 20.0, 20.0]] * 1000
    assert oversized({**call(1), "params": {"arguments": {"boxes": boxes, "source": "data:," + "x" * 10**6}}}) == ""


async def test_calls_wait_for_a_place_and_what_cancels_them_does_not() -> None:
    app = Gated()
    admission = Admission(app, lambda _: 1)
    answers: list[int] = []
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(_noted, answers, post(admission, call(number)))
        await until(lambda: len(app.came) == 1)
        tasks.start_soon(_noted, answers, post(admission, call(9, "notifications/cancelled")))
        await until(lambda: len(app.came) == 2)
        assert app.came == ["tools/call", "notifications/cancelled"]
        app.opened.set()
    assert answers == [200] * 4


async def test_more_requests_than_a_principal_may_have_are_refused_unread() -> None:
    app = Gated()
    refused: list[tuple[str, str]] = []
    admission = Admission(app, lambda _: 1, refused=lambda *why: refused.append(why))
    answers: list[int] = []
    async with anyio.create_task_group() as tasks:
        for number in range(MAX_REQUESTS):
            tasks.start_soon(_noted, answers, post(admission, call(number, "ping")))
        await until(lambda: len(app.came) == MAX_REQUESTS)
        assert (await post(admission, call(0, "ping")))[0] == 429
        app.opened.set()
    assert refused == [("", "requests")]
    assert answers == [200] * MAX_REQUESTS


def chunks(*parts: bytes, then: Message | None = None) -> Receive:
    """`receive` of a body in parts, after which it ends with `then`, or nothing ever comes."""
    left = [{"type": "http.request", "body": part, "more_body": True} for part in parts] + ([then] if then else [])

    async def receive() -> Message:
        if not left:
            await anyio.sleep_forever()
        return left.pop(0)

    return receive


async def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    end: Message = {"type": "http.request", "body": b"", "more_body": False}
    assert await read_body(Headers(), chunks(b"a", b"b", then=end)) == b"ab"
    with pytest.raises(TimeoutError):
        await read_body(Headers(), chunks(b"a", b"b"), seconds=0.01)
    with pytest.raises(ClientDisconnect):
        await read_body(Headers(), chunks(b"a", then={"type": "http.disconnect"}))
    with pytest.raises(BodyTooLarge):
        await read_body(Headers({"content-length": "99999999"}), chunks())
    with pytest.raises(BodyTooLarge):
        await read_body(Headers(), chunks(*[bytes(MAX_BODY_BYTES // 2)] * 3))


async def parts(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application with an answer in two parts, between which it takes its time."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await anyio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"{}"})


async def test_a_client_that_takes_none_of_its_answer_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async def send(_: Message) -> None:
        await anyio.sleep_forever()

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/healthz", "headers": [(b"host", b"localhost")]}
    with anyio.fail_after(30):
        await RequestGuard(parts, names(), send_seconds=0.01)(scope, chunks(), send)
    assert "did not read its answer" in caplog.text


async def test_an_answer_may_take_longer_than_a_part_of_it_takes_to_be_read() -> None:
    guard = RequestGuard(parts, names(), send_seconds=0.01)
    assert await post(guard, call(1), {"host": "localhost"}) == (200, b"{}")


class Hasty(BoundedConnection):
    """Connection with little time, of which few may be open."""

    head_seconds = 0.05
    max_connections = 3


class Patient(Hasty):
    """The same with all the time."""

    head_seconds = 600.0


@contextmanager
def listening(folder: Path, connection: type[BoundedConnection]) -> Iterator[tuple[str, int]]:
    with serving(make_backend(folder, shared=True), HttpOptions(), http=connection) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


@pytest.mark.integration
@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_half_a_head_is_not_waited_for(folder: Path, begun: bytes) -> None:
    with listening(folder, Hasty) as address, socket.create_connection(address, timeout=30) as client:
        client.sendall(begun)
        assert client.recv(100) == b""


@pytest.mark.integration
async def test_half_a_second_head_is_not_waited_for_either(folder: Path) -> None:
    with listening(folder, Hasty) as address, socket.create_connection(address, timeout=30) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea")
        received = b""
        while part := client.recv(1000):
            received += part
        assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.integration
async def test_one_connection_too_many_takes_the_place_of_the_oldest_idle_one(folder: Path) -> None:
    with listening(folder, Patient) as address, ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(3)]
        with socket.create_connection(address, timeout=30) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert _is_closed(idle[0])
        idle[2].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle[2].recv(100).startswith(b"HTTP/1.1 200")


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("text", ["nan", "-5", "inf", "-inf", "1e9", "", "ten"])
def test_times_on_the_command_line_are_numbers_above_0(text: str) -> None:
    for option in ("--grace", "--max-seconds"):
        with pytest.raises(SystemExit):
            parser().parse_args([f"{option}={text}"])
    assert parser().parse_args(["--grace", "0"]).grace == 0


def test_the_log_names_the_principal_of_a_call() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "words", None, None)
    with calling(principal=Principal("ann")):
        assert name_principal(record)
    assert logging.Formatter("%(principal)s%(message)s").format(record) == "[ann] words"
    assert name_principal(record)
    assert logging.Formatter("%(principal)s%(message)s").format(record) == "words"


def test_what_lies_outside_is_told_apart_by_nothing(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "closed").mkdir(mode=0)
    files = PathAllowlist.of([folder])
    long = "x" * 300

    def refusal(source: str) -> str:
        with pytest.raises(InputError) as caught:
            files.check(source)
        return str(caught.value).replace(repr(source if len(source) <= 200 else source[:200] + "..."), "PATH")

    for pair in (
        (f"{tmp_path}/there/x.png", f"{tmp_path}/missing/x.png"),
        (f"{tmp_path}/there/{long}", f"{tmp_path}/missing/{long}"),
        (f"{tmp_path}/there", f"{tmp_path}/missing"),
        (f"{tmp_path}/closed/x.png", f"{tmp_path}/missing/x.png"),
        ("~root/x.png", "~no-such-user/x.png"),
        ("~root", "~no-such-user"),
    ):
        first, second = map(refusal, pair)
        assert first == second
    (tmp_path / "closed").chmod(0o700)
