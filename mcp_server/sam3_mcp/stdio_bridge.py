"""Bridge of `sam3-mcp --connect URL`: a host's stdio on one side, a running HTTP server on the other."""

import logging
import os
import secrets
from collections.abc import Mapping
from typing import Any, cast

import anyio
import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
)

from sam3_mcp.client_identity import CLIENT_HEADER
from sam3_mcp.stdio_server import leave_on_signal

logger = logging.getLogger(__name__)

_MOST_EVENT_BYTES = 8 * 2**20
_FLUSH_SECONDS = 0.2
_UNREACHABLE = 1
_SECONDS = httpx2.Timeout(30.0, read=None)


async def serve_bridge(url: str, token: str | None) -> None:
    """Pass every message on as it is until the host closes stdin.

    The bridge has a key of its own, by which the server knows it. When the server cannot be reached, every request that
    still waits gets an error, and the process ends with status 1 and one line.
    """
    headers = {CLIENT_HEADER: secrets.token_urlsafe(24)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(leave_on_signal)
        async with stdio_server() as (from_host, to_host):
            bridge = _Bridge(url, from_host, to_host)
            try:
                await bridge.run(client)
            except* httpx2.TransportError:
                await bridge.give_up()
        tasks.cancel_scope.cancel()


class _Bridge:
    """Both directions at once, and which requests of the host have no answer yet."""

    def __init__(self, url: str, from_host: Any, to_host: Any) -> None:
        self._url = url
        self._from_host = from_host
        self._to_host = to_host
        self._open: dict[str | int, None] = {}

    async def run(self, client: httpx2.AsyncClient) -> None:
        """Ends when the host has closed its side."""
        transport = streamable_http_client(self._url, http_client=client, max_sse_event_size=_MOST_EVENT_BYTES)
        async with transport as (from_server, to_server), anyio.create_task_group() as tasks:
            tasks.start_soon(self._back, from_server)
            await self._forth(to_server)
            tasks.cancel_scope.cancel()

    async def give_up(self) -> None:
        """Answer what is open with an error, and end the process: the thread that reads stdin would hold it."""
        words = f"cannot reach {self._url}: is the server running there?"
        for request_id in self._open:
            error = ErrorData(code=CONNECTION_CLOSED, message=words)
            await self._to_host.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error)))
        await anyio.sleep(_FLUSH_SECONDS)
        logger.error("%s", words)
        logging.shutdown()
        os._exit(_UNREACHABLE)

    async def _forth(self, to_server: Any) -> None:
        async for item in self._from_host:
            if not isinstance(item, SessionMessage):
                logger.warning("the host sent a line that is no message: %s", str(item)[:200])
                continue
            message = item.message
            if isinstance(message, JSONRPCRequest):
                self._open[message.id] = None
            await to_server.send(SessionMessage(message, metadata=ClientMessageMetadata(headers=headers_of(message))))

    async def _back(self, from_server: Any) -> None:
        async for item in from_server:
            if not isinstance(item, SessionMessage):
                logger.warning("from %s: %s", self._url, str(item)[:200])
                continue
            if isinstance(item.message, JSONRPCResponse | JSONRPCError) and item.message.id is not None:
                self._open.pop(item.message.id, None)
            await self._to_host.send(item)


def headers_of(message: Any) -> dict[str, str]:
    """The headers that repeat parts of a message of the 2026 protocol; none for a message of an earlier one."""
    params = cast(Mapping[str, Any], getattr(message, "params", None) or {})
    meta = params.get("_meta")
    version = cast(Mapping[str, Any], meta).get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, Mapping) else None
    if not isinstance(version, str):
        return {}
    method = str(message.method)
    headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
    name = params.get(NAME_BEARING_METHODS.get(method, ""))
    return headers | ({MCP_NAME_HEADER: encode_header_value(name)} if isinstance(name, str) else {})
