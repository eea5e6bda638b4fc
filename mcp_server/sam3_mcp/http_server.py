"""Runs the HTTP application until a signal, and lets running calls finish."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn

import anyio
import uvicorn
from starlette.types import ASGIApp

from sam3_agent.errors import InputError
from sam3_mcp.tool_handler import Backend

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_FLUSH_SECONDS = 0.3


class _Uvicorn(uvicorn.Server):
    """uvicorn, which leaves signals to us: by itself it would cut the streams on which answers are still to come."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing."""
        yield


async def serve_http(app: ASGIApp, backend: Backend, host: str, port: int, *, grace: float) -> int:
    """Serve until SIGINT or SIGTERM: new calls are then refused and running ones have `grace` seconds to finish.

    A second signal ends it at once. Returns the number of the signal.

    Raises:
        InputError: the port is taken or not to be had.
    """
    bound = _bind(host, port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="on")
    server = _Uvicorn(config)
    shown = f"[{host}]" if ":" in host else host
    logger.warning("serving http://%s:%d/mcp", shown, bound.getsockname()[1])
    received: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, server, backend, grace, received)
        await server.serve(sockets=[bound])
        tasks.cancel_scope.cancel()
    return received[0] if received else 0


def leave(status: int) -> NoReturn:
    """End the process now: the thread of a call that was cancelled may go on for long, and would hold a usual exit."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


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
