"""Transport of a server over the stdin and stdout of this process."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import anyio
from mcp.server.lowlevel import Server

logger = logging.getLogger(__name__)

_INTERRUPTED = 130


async def serve_stdio(server: Server[None], close: Callable[[], object]) -> None:
    """Serve until the client closes stdin, or until Ctrl-C or SIGTERM ends the process, after a call of `close`."""
    from mcp.server.stdio import stdio_server

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave_on_signal, close)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        tasks.cancel_scope.cancel()


async def leave_on_signal(close: Callable[[], object] = lambda: None) -> None:
    """End the process at once: the thread that waits for stdin cannot be interrupted, and would hold a clean exit."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            logger.info("leaving on %s", signal.Signals(number).name)
            close()
            leave(_INTERRUPTED if number == signal.SIGINT else 0)


def leave(status: int) -> NoReturn:
    """End the process now: a thread within the model may go on for long; a usual exit would wait for it, or abort."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
