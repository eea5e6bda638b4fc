"""HTTP application: /mcp, /healthz and /metrics behind the same guards."""

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventStore
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sam3_agent.errors import InputError
from sam3_mcp.client_identity import Caller
from sam3_mcp.http_connections import BoundedConnection, raise_file_limit
from sam3_mcp.http_guards import MAX_BODY_BYTES, Admission, HostNames, RequestGuard
from sam3_mcp.metrics import Metrics
from sam3_mcp.model_loader import Loading
from sam3_mcp.quota import TOTAL, UNLIMITED, Limits
from sam3_mcp.tool_handler import Backend

_POLL_SECONDS = 0.05
_FLUSH_SECONDS = 0.3
_THREADS = 2 * (TOTAL.calls or 64)
"""For all calls that may run, and as much again for what is asked besides: nobody waits for a thread."""


class _Uvicorn(uvicorn.Server):
    """Server that leaves signals to us: by itself it would cut the streams on which answers are still to come."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing."""
        yield


async def serve_http(app: ASGIApp, backend: Backend, host: str, port: int, *, grace: float) -> int:
    """Serve until SIGINT or SIGTERM: new calls are then refused and running ones have `grace` seconds to finish.

    A second signal ends it at once. Returns the number of the signal.

    Raises:
        InputError: the port is taken or not to be had.
    """
    bound = _bind(host, port)
    raise_file_limit()
    logging.getLogger("mcp.server.streamable_http").addFilter(_is_no_hang_up)
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    server = _Uvicorn(http_config(app))
    shown = f"[{host}]" if ":" in host else host
    logger.warning("serving http://%s:%d/mcp", shown, bound.getsockname()[1])
    received: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, server, backend, grace, received)
        await server.serve(sockets=[bound])
        tasks.cancel_scope.cancel()
    return received[0] if received else 0


def _is_no_hang_up(record: logging.LogRecord) -> bool:
    """Whether a record of the SDK is about more than a client that left while its message was taken in."""
    return record.exc_info is None or not isinstance(record.exc_info[1], anyio.ClosedResourceError)


def http_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """Settings of uvicorn, whose connections have limits; `options` are further ones."""
    usual: dict[str, Any] = {
        "http": BoundedConnection,
        "ws": "none",
        "lifespan": "on",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": 1,
    }
    return uvicorn.Config(app, **{**usual, **options})


async def _end_on_signal(server: uvicorn.Server, backend: Backend, grace: float, received: list[int]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                received.append(number)
                if len(received) > 1:
                    server.force_exit = server.should_exit = True
                    continue
                logger.info("%s: finishing %d calls", signal.Signals(number).name, backend.running)
                backend.draining = True
                tasks.start_soon(_drain, server, backend, grace)


async def _drain(server: uvicorn.Server, backend: Backend, grace: float) -> None:
    with anyio.move_on_after(grace) as waiting:
        while backend.running:
            await anyio.sleep(_POLL_SECONDS)
    if waiting.cancelled_caught:
        logger.warning("%d calls did not finish in %g s and are cancelled", backend.running, grace)
        backend.cancel_calls()
    await anyio.sleep(_FLUSH_SECONDS)  # the last answers go out
    server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named asyncio turns off the wait for more to send, which costs 40 ms an answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise InputError(f"cannot serve on {host}:{port}: {error}") from error
    bound.set_inheritable(True)
    return bound


logger = logging.getLogger(__name__)

_RETRY_MS = 100
_LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Options of the HTTP server: its addresses, who may call, and how much at a time."""

    host: str = "127.0.0.1"
    port: int = 8801
    names: tuple[str, ...] = ()
    """Further names that clients may use for this server in Host and Origin, such as "gpu-box:8801"."""
    verifier: TokenVerifier | None = None
    issuer: str = ""
    """URL of the OAuth authorization server; empty for fixed tokens."""
    resource: str = ""
    """URL of this server as that one knows it."""
    scopes: tuple[str, ...] = ()
    stateless: bool = False
    limits: Limits = UNLIMITED
    """For each principal; without tokens, all are one, and only those in sum hold."""
    limits_of: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    """For principals that have others."""

    def check(self) -> None:
        """Refuse to be open to others without a token.

        Raises:
            InputError: the address is not this machine's own and no token is asked for.
        """
        if self.verifier is None and not _is_loopback(self.host):
            raise InputError(
                f"--host {self.host} is open to other machines: give --token-file FILE (or --oauth-issuer URL) with it"
            )

    def places(self, principal: str) -> int:
        """Calls of a principal that may be in process at a time."""
        limits = self.limits_of.get(principal, self.limits) if principal else TOTAL
        return limits.calls or TOTAL.calls or 64

    def host_names(self) -> HostNames:
        """Return the names that are taken in Host and Origin: a page in a browser cannot reach the server under
        another one.
        """
        return HostNames.of([*_LOCAL_NAMES, *([] if _is_loopback(self.host) else [_bracketed(self.host)]), *self.names])

    def security(self) -> TransportSecuritySettings:
        """Return the same for the SDK, which takes more (see `HostNames`)."""
        names = [*_LOCAL_NAMES, *([] if _is_loopback(self.host) else [_bracketed(self.host)])]
        hosts = [f"{name}:*" for name in names] + list(_LOCAL_NAMES)
        hosts += [each for name in self.names for each in (name, f"{name}:*")]
        origins = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
        return TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
        )

    def auth(self) -> AuthSettings | None:
        """Return the SDK's settings of a resource server; None without an authorization server."""
        if not self.issuer:
            return None
        return AuthSettings.model_validate(
            {
                "issuer_url": self.issuer,
                "resource_server_url": self.resource,
                "required_scopes": list(self.scopes),
                "validate_token_resource": True,
            }
        )


def build_app(
    server: Server[Any],
    options: HttpOptions,
    loading: Loading,
    metrics: Metrics | None = None,
    *,
    events: EventStore | None = None,
    ended: Callable[[Caller], None] = lambda _: None,
) -> ASGIApp:
    """Build the whole application; any MCP server can be put behind these guards.

    `ended` is told whose session its client has ended.
    `events` lets clients read on in a stream that broke off. The SDK tells streams of different clients apart by
    nothing but the ids of their requests, so it is only for servers that trust all of their clients.
    """
    security, verifier = options.security(), options.verifier
    guard = TransportSecurityMiddleware(security)
    routes = [_health_route(loading, guard)]
    if metrics is not None:
        server.middleware.append(metrics)
        routes.append(_metrics_route(metrics, guard, verifier, options.scopes))
    app = server.streamable_http_app(
        host=options.host,
        stateless_http=options.stateless,
        event_store=events,
        retry_interval=_RETRY_MS if events is not None else None,
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=security,
        auth=options.auth(),
        token_verifier=verifier,
        custom_starlette_routes=routes,
    )
    if verifier is not None and options.auth() is None:
        app.add_middleware(AuthenticationMiddleware, backend=BearerAuthBackend(verifier))
    refused = metrics.refuse if metrics is not None else _tell_nobody
    # The last one is the innermost: it knows whose token it is.
    app.user_middleware.append(
        Middleware(Admission, options.places, asks_token=verifier is not None, refused=refused, ended=ended)
    )
    return RequestGuard(app, options.host_names(), resumable=events is not None)


def _tell_nobody(_: str, __: str) -> None:
    """Do nothing."""


def _health_route(loading: Loading, guard: TransportSecurityMiddleware) -> Route:
    async def health(request: Request) -> Response:
        """{"status", "model"}: 200 while the server can serve, 503 when its model cannot be loaded."""
        refused = await guard.validate_request(request)
        state = loading.state
        body = {"status": "failed" if state == "failed" else "ok", "model": state}
        return refused or JSONResponse(body, status_code=503 if state == "failed" else 200)

    return Route("/healthz", health)


def _metrics_route(
    metrics: Metrics, guard: TransportSecurityMiddleware, verifier: TokenVerifier | None, scopes: tuple[str, ...]
) -> Route:
    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await guard.validate_request(request)
        if answer is None:
            text = await anyio.to_thread.run_sync(metrics.text)
            answer = Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
        await answer(scope, receive, send)

    return Route(
        "/metrics", endpoint=_Endpoint(tell if verifier is None else RequireAuthMiddleware(tell, list(scopes)))
    )


class _Endpoint:
    """An ASGI application as the endpoint of a route: starlette takes plain functions for request handlers."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
