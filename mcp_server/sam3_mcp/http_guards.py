"""Guards in front of the SDK's HTTP application: times, sizes, names, request ids and places for each principal."""

import json
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pydantic_core
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam3_mcp.client_identity import (
    CLIENT_HEADER,
    COOKIE,
    OFFERED,
    SESSION_HEADER,
    Caller,
    principal_of,
    session_caller,
)

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 * 2**20
MAX_ITEMS = 1024
"""Of one list or object in a message; the schemas of the tools say less for theirs, so this is for what they forget."""
MAX_VALUES = 10_000
"""Of a whole message: as many as 1024 boxes have, and no more than the event loop walks through in a few ms."""
MAX_DEPTH = 32
"""Levels of lists and objects in a message; a call of a tool has 6."""
BODY_SECONDS = 15.0
BODY_BYTES_A_SECOND = 64 * 1024
"""With BODY_SECONDS the time of a body: slower than any line on which somebody would send an image."""
SEND_SECONDS = 60.0
"""For one part of an answer to be taken: a client that reads nothing keeps its answer in memory."""
PLACE_SECONDS = 20.0
"""A call waits so long for a place among those of its principal, then its account says whether it may run. A flood is
slowed down by this rather than answered at its own pace; some hosts give up after 60 seconds."""
CONTENDED_SECONDS = 10.0
"""After a call of another principal, the next one of which may come at any moment."""
FEWEST_PLACES = max(2, os.cpu_count() or 2)
"""Places of each principal while several call: more threads than cores only hold up the others'."""
MAX_REQUESTS = 128
"""Of one principal in process at a time, waiting ones included: a body of each is in memory."""
MAX_STREAMS = 128
"""Of one principal open at a time, for messages of the server: one a session."""
_PATH = "/mcp"
_HELD_BACK = frozenset({"tools/call", "resources/read"})
"""Methods that wait for a place; all others must get through, above all a cancellation."""
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://(?P<host>[^/]+)")


@dataclass(frozen=True, slots=True)
class HostNames:
    """Names by which a server may be addressed, in the headers Host and Origin."""

    names: frozenset[str]
    """"gpu-box" for any port, "gpu-box:8801" for this one alone."""

    @classmethod
    def of(cls, names: Sequence[str]) -> "HostNames":
        """Take these names in any case."""
        return cls(frozenset(name.lower() for name in names))

    def has(self, host: str) -> bool:
        """Whether a Host header names this server. The SDK compares beginnings alone ("localhost:x.evil.example")."""
        found = _HOST.fullmatch(host.lower())
        return found is not None and (found["name"] in self.names or host.lower() in self.names)

    def has_origin(self, origin: str) -> bool:
        """Whether an Origin header names a page of this server."""
        found = _ORIGIN.fullmatch(origin.lower())
        return found is not None and self.has(found["host"])


class RequestGuard:
    """Middleware that every request passes first.

    It refuses foreign names, drops what the SDK cannot deal with, gives a body and its answer a time, offers a key to
    who brings none (a cookie for this server alone), and lets go who hangs up.
    """

    def __init__(
        self, app: ASGIApp, names: HostNames, *, resumable: bool = False, send_seconds: float = SEND_SECONDS
    ) -> None:
        """`resumable` says that the SDK has a store of events, and so an answer to Last-Event-ID; `send_seconds` are
        for one part of an answer to be taken.
        """
        self._app = app
        self._send_seconds = send_seconds
        self._names = names
        self._resumable = resumable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refused = self._refused(Headers(scope=scope))
        if refused is not None:
            return await refused(scope, receive, send)
        if not self._resumable:  # the SDK answers it with status 500
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"last-event-id"]}
        try:
            with anyio.CancelScope() as answer:
                await self._offer(scope, receive, _timed(send, answer, self._send_seconds))
            if answer.cancelled_caught:
                logger.warning("a client did not read its answer for %g s and is let go", self._send_seconds)
        except (ClientDisconnect, anyio.ClosedResourceError):  # the latter: its session ended under a notification
            logger.debug("a client hung up in the middle of its request")

    def _refused(self, headers: Headers) -> Response | None:
        if not all(self._names.has(host) for host in headers.getlist("host") or [""]):
            return Response("Invalid Host header", status_code=421)
        if not all(self._names.has_origin(origin) for origin in headers.getlist("origin")):
            return Response("Invalid Origin header", status_code=403)
        return None

    async def _offer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        told = CLIENT_HEADER in headers or SESSION_HEADER in headers or COOKIE in Request(scope).cookies
        if told or scope["path"] != _PATH:
            return await self._app(scope, receive, send)
        key = secrets.token_urlsafe(24)

        async def offer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                cookie = f"{COOKIE}={key}; HttpOnly; SameSite=Strict; Path={_PATH}"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return await self._app({**scope, OFFERED: key}, receive, offer)


def _timed(send: Send, answer: anyio.CancelScope, seconds: float) -> Send:
    """`send`, with so many seconds for each message: a client that takes none has its answer cancelled.

    Nothing goes out after the end of an answer: the SDK sends an error then when a session ends under a notification.
    """
    ended = False

    async def timed(message: Message) -> None:
        nonlocal ended
        if ended:
            return
        ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        # Moving the deadline of the one scope costs a third of a scope for each message.
        answer.deadline = anyio.current_time() + seconds
        try:
            await send(message)
        finally:
            answer.deadline = math.inf

    return timed


class BodyTooLarge(Exception):
    """Body of a request over MAX_BODY_BYTES."""


@dataclass(eq=False, slots=True)
class _Principal:
    """Requests of one principal in process."""

    places: anyio.CapacityLimiter
    requests: int = 0
    streams: int = 0
    ids: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """(session, request id as JSON) of the requests in process."""


class Admission:
    """Middleware behind the authentication: how much of one principal is in process at a time.

    It reads the body, and refuses a request id that is in use in its session: the SDK would let all but one such
    request wait forever.
    """

    def __init__(
        self,
        app: ASGIApp,
        places: Callable[[str], int],
        *,
        asks_token: bool = False,
        refused: Callable[[str, str], None] = lambda _, __: None,
        ended: Callable[[Caller], None] = lambda _: None,
    ) -> None:
        """`places` gives the calls at a time of a principal; `refused` is told principal and reason of a refusal,
        `ended` whose session its client has ended.
        """
        self._app = app
        self._asks_token = asks_token
        self._places = places
        self._refused = refused
        self._ended = ended
        self._principals: dict[str, _Principal] = {}
        self._called: dict[str, float] = {}
        """Time of the last call of each principal, those of the last CONTENDED_SECONDS."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != _PATH:
            return await self._app(scope, receive, send)
        name = principal_of(scope)
        if self._asks_token and not name:  # it is refused before its body is read
            return await self._app(scope, receive, send)
        with self._known(name) as mine:
            if scope["method"] == "POST":
                return await self._post(scope, receive, send, name, mine)
            if scope["method"] == "DELETE":
                return await self._delete(scope, receive, send, name)
            if scope["method"] != "GET":
                return await self._app(scope, receive, send)
            if mine.streams >= MAX_STREAMS:
                return await self._refuse(name, "streams", _too_many())(scope, receive, send)
            mine.streams += 1
            try:
                return await self._app(scope, receive, send)
            finally:
                mine.streams -= 1

    async def _delete(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        """Let the SDK end a session of the 2025 protocols, then tell of it: nobody can reach what it holds any more."""

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._ended(session_caller(name, Headers(scope=scope).get(SESSION_HEADER, "")))
            await send(message)

        await self._app(scope, receive, watched)

    async def _post(self, scope: Scope, receive: Receive, send: Send, name: str, mine: _Principal) -> None:
        if mine.requests >= MAX_REQUESTS:
            return await self._refuse(name, "requests", _too_many())(scope, receive, send)
        mine.requests += 1
        try:
            body = await read_body(Headers(scope=scope), receive)
            message = _message(body)
            if words := oversized(message):
                return await self._refuse(name, "message size", _invalid(message, words))(scope, receive, send)
            session = Headers(scope=scope).get(SESSION_HEADER, "")
            with _id_of(message, session, mine) as is_free:
                if not is_free:
                    return await self._refuse(name, "repeated id", _invalid(message, _REPEATED))(scope, receive, send)
                if message.get("method") in _HELD_BACK:
                    self._share_out(name)
                    return await self._in_place(scope, _replay(body, receive), send, mine)
                return await self._app(scope, _replay(body, receive), send)
        except BodyTooLarge:
            await self._refuse(name, "body size", Response("Request body too large", status_code=413))(
                scope, receive, send
            )
        except TimeoutError:
            await self._refuse(name, "body time", _too_slow())(scope, receive, send)
        finally:
            mine.requests -= 1

    async def _in_place(self, scope: Scope, receive: Receive, send: Send, mine: _Principal) -> None:
        holder = object()
        placed = True
        try:
            mine.places.acquire_on_behalf_of_nowait(holder)
        except anyio.WouldBlock:
            placed = False
            with anyio.move_on_after(PLACE_SECONDS):
                await mine.places.acquire_on_behalf_of(holder)
                placed = True
        try:
            await self._app(scope, receive, send)
        finally:
            if placed:
                mine.places.release_on_behalf_of(holder)

    def _share_out(self, name: str) -> None:
        """Give every principal its places: all it may have while it calls alone."""
        now = time.monotonic()
        self._called[name] = now
        self._called = {each: then for each, then in self._called.items() if now - then < CONTENDED_SECONDS}
        for each, principal in self._principals.items():
            most = self._places(each)
            principal.places.total_tokens = min(most, FEWEST_PLACES) if len(self._called) > 1 else most

    @contextmanager
    def _known(self, name: str) -> Generator[_Principal]:
        if name not in self._principals:
            self._principals[name] = _Principal(anyio.CapacityLimiter(self._places(name)))
        mine = self._principals[name]
        try:
            yield mine
        finally:
            if not (mine.requests or mine.streams):
                self._principals.pop(name, None)

    def _refuse(self, name: str, reason: str, response: Response) -> Response:
        self._refused(name, reason)
        logger.info("refused a request of %r: %s", name or "anonymous", reason)
        return response


async def read_body(headers: Headers, receive: Receive, seconds: float = BODY_SECONDS) -> bytes:
    """The body of a request, which has these seconds and one more for each BODY_BYTES_A_SECOND that have come.

    Raises:
        BodyTooLarge: it has more than MAX_BODY_BYTES, or says so.
        TimeoutError: it comes too slowly.
        ClientDisconnect: the client hung up.
    """
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise BodyTooLarge
    body, began, more = bytearray(), time.monotonic(), True
    while more:
        left = began + seconds + len(body) / BODY_BYTES_A_SECOND - time.monotonic()
        with anyio.fail_after(max(0.0, left)):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives a body that was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _message(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; empty where it is none, which the SDK then says."""
    try:
        message = pydantic_core.from_json(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], message) if isinstance(message, dict) else {}


@contextmanager
def _id_of(message: dict[str, Any], session: str, mine: _Principal) -> Generator[bool]:
    """Hold the id of a request in a session; False where it is held already."""
    if not session or "method" not in message or "id" not in message:
        yield True
        return
    # The SDK takes 1 and "1" for the same.
    held = (session, str(message["id"]))
    if held in mine.ids:
        yield False
        return
    mine.ids.add(held)
    try:
        yield True
    finally:
        mine.ids.discard(held)


def oversized(message: dict[str, Any]) -> str:
    """Words about what in a message is too long or too deep; empty where nothing is."""
    level: list[Any] = [message]
    count = 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                items = cast(Sequence[Any], list(value.values()) if isinstance(value, dict) else value)
                if len(items) > MAX_ITEMS:
                    return f"a list in it has {len(items)} items; the limit is {MAX_ITEMS}"
                inner += items
        count += len(inner)
        if count > MAX_VALUES:
            return f"it has more than {MAX_VALUES} values"
        if not inner:
            return ""
        level = inner
    return f"it is nested more than {MAX_DEPTH} deep"


_REPEATED = "its request id is in use in this session; take another one"


def _invalid(message: dict[str, Any], words: str) -> Response:
    """JSON-RPC error for a message that is refused."""
    given = message.get("id")
    identity = given if isinstance(given, int | str) else None
    error = {"code": -32600, "message": f"the message is refused: {words}"}
    body = json.dumps({"jsonrpc": "2.0", "id": identity, "error": error})
    return Response(body, status_code=400, media_type="application/json")


def _too_many() -> Response:
    return Response("Too many requests at a time", status_code=429, headers={"retry-after": "1", "connection": "close"})


def _too_slow() -> Response:
    return Response("Request body too slow", status_code=408, headers={"connection": "close"})
