"""`sam3-mcp --connect URL`: a host's stdio on one side, a running HTTP server on the other, nothing in between."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any, cast

import anyio
import httpx2
from anyio.abc import TaskGroup
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
from mcp_types import CONNECTION_CLOSED, PROTOCOL_VERSION_META_KEY, ErrorData, JSONRPCError, JSONRPCRequest

from mcp_server.caller import CLIENT_HEADER
from mcp_server.transport import leave_on_signal

logger = logging.getLogger(__name__)

_MOST_EVENT_BYTES = 8 * 2**20
_SECONDS = httpx2.Timeout(30.0, read=None)


async def serve_bridge(url: str, token: str | None) -> None:
    """Pass every message on as it is until the host closes stdin.

    The bridge has a key of its own, by which the server knows it over reconnects. A server that does not answer is an
    error for each request, never a silence.
    """
    headers = {CLIENT_HEADER: secrets.token_urlsafe(24)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(leave_on_signal)
        async with (
            stdio_server() as (from_host, to_host),
            streamable_http_client(url, http_client=client, max_sse_event_size=_MOST_EVENT_BYTES) as ends,
        ):
            from_server, to_server = ends
            await _pass_on(from_host, to_host, from_server, to_server, tasks, url)
        tasks.cancel_scope.cancel()


async def _pass_on(from_host: Any, to_host: Any, from_server: Any, to_server: Any, tasks: TaskGroup, url: str) -> None:
    """Both directions at once; ends with the host's."""

    async def back() -> None:
        async for item in from_server:
            if isinstance(item, SessionMessage):
                await to_host.send(item)
            else:
                logger.warning("from %s: %s", url, item)

    tasks.start_soon(back)
    async for item in from_host:
        if not isinstance(item, SessionMessage):
            logger.warning("the host sent a line that is no message: %s", str(item)[:200])
            continue
        message = item.message
        try:
            await to_server.send(SessionMessage(message, metadata=ClientMessageMetadata(headers=headers_of(message))))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            if isinstance(message, JSONRPCRequest):
                error = ErrorData(code=CONNECTION_CLOSED, message=f"the connection to {url} is lost")
                await to_host.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=message.id, error=error)))


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
