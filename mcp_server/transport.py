"""Carries a server: over this process's stdin and stdout, or over HTTP on this machine."""

import logging
import os
import signal

import anyio
from mcp.server.lowlevel import Server

logger = logging.getLogger(__name__)

HTTP_HOST = "127.0.0.1"
_INTERRUPTED = 130


async def serve_stdio(server: Server[None]) -> None:
    """Serve until the client closes stdin, or until Ctrl-C or SIGTERM ends the process."""
    from mcp.server.stdio import stdio_server

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_leave_on_signal)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        tasks.cancel_scope.cancel()


async def serve_http(server: Server[None], port: int) -> None:
    """Serve http://127.0.0.1:PORT/mcp; the SDK refuses foreign Host and Origin headers there (DNS rebinding)."""
    import uvicorn

    app = server.streamable_http_app(host=HTTP_HOST)
    logger.warning("serving http://%s:%d/mcp", HTTP_HOST, port)
    await uvicorn.Server(uvicorn.Config(app, host=HTTP_HOST, port=port, log_level="warning")).serve()


async def _leave_on_signal() -> None:
    """End the process at once: the thread that waits for stdin cannot be interrupted, and would hold a clean exit."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            logger.info("leaving on %s", signal.Signals(number).name)
            logging.shutdown()
            os._exit(_INTERRUPTED if number == signal.SIGINT else 0)
