"""The MCP server: which request is answered by what."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from mcp.server.lowlevel import Server

import sam3_agent
from sam3_mcp.instructions import INSTRUCTIONS
from sam3_mcp.model_loader import Loading
from sam3_mcp.prompts import complete, get_prompt, list_prompts
from sam3_mcp.resources import Resources
from sam3_mcp.tool_handler import Backend
from sam3_mcp.viewer import UI_EXTENSION, VIEWER_MIME

_HEAD_START_SECONDS = 0.25
"""Importing torch holds the interpreter for moments at a time; the handshake goes first."""


def build_server(backend: Backend) -> Server[None]:
    """A server over `backend`; loading begins a moment after it starts to serve."""

    @asynccontextmanager
    async def lifespan(_: Server[None]) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_start_soon, backend.loading)
            yield
            tasks.cancel_scope.cancel()

    resources = Resources(backend)
    server = Server(
        "sam3",
        version=sam3_agent.__version__,
        title="SAM 3 with reasoning",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        get_tool_input_schema=_repeated_in_headers,
        on_list_tools=backend.list_tools,
        on_call_tool=backend.call_tool,
        on_list_resources=resources.list_all,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
    )
    server.extensions[UI_EXTENSION] = {"mimeTypes": [VIEWER_MIME]}
    return server


def _repeated_in_headers(_: str) -> None:
    """Headers repeat no arguments. Without this answer the SDK would list all tools at each call to find that out."""


async def _start_soon(loading: Loading) -> None:
    await anyio.sleep(_HEAD_START_SECONDS)
    loading.start()
