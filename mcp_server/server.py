"""The MCP server: lists the tools and calls them; what a client reads about a tool comes from its ToolSpec."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
    ToolAnnotations,
)

import sam3_agent
from mcp_server.access import Access
from mcp_server.instructions import INSTRUCTIONS
from mcp_server.loading import Loading
from mcp_server.results import Images, to_error, to_result
from sam3_agent.errors import Sam3AgentError
from sam3_agent.model.caller import calling

if TYPE_CHECKING:
    from sam3_agent.tools import ToolSpec

logger = logging.getLogger(__name__)

_HEAD_START_SECONDS = 0.25
"""Importing torch holds the interpreter for moments at a time; the handshake goes first."""

Context = ServerRequestContext[None, Any]


def host_tools() -> Sequence["ToolSpec"]:
    """The tools for hosts, imported when first needed: the handshake does not wait for numpy and pydantic models."""
    from sam3_agent.tools import HOST_TOOLS

    return HOST_TOOLS


@dataclass(frozen=True, slots=True)
class Backend:
    """What a server serves: the workspace in the making, the files it may open, whether pictures are sent."""

    loading: Loading
    access: Access
    images: Images = "allow"
    tools: Callable[[], Sequence["ToolSpec"]] = host_tools

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """Answer tools/list; needs no model."""
        specs = await anyio.to_thread.run_sync(self.tools)
        return ListToolsResult(tools=[describe(spec) for spec in specs])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Answer tools/call; whatever goes wrong comes back as an error result in one line."""
        try:
            spec = await self._find(params.name)
            # A caller that gives up is let go at once; its thread ends by itself and its result is dropped.
            run = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
            arguments = await run(self._checked, spec, params.arguments or {})
            workspace = await self.loading.workspace(context.session.report_progress)
            with calling():  # and what it still waits for is taken out of the eye's queue
                presentation = await run(spec.call, workspace, arguments)
            return await run(to_result, presentation, self.images)
        except Sam3AgentError as error:
            return to_error(str(error))
        except Exception:  # the border: a client gets one line, the log gets the rest
            logger.exception("tool %s failed", params.name)
            return to_error(f"internal error in {params.name!r}; the server's log has the details")

    async def _find(self, name: str) -> "ToolSpec":
        specs = await anyio.to_thread.run_sync(self.tools)
        for spec in specs:
            if spec.name == name:
                return spec
        raise Sam3AgentError(f"unknown tool {name!r}; known: {', '.join(spec.name for spec in specs)}")

    def _checked(self, spec: "ToolSpec", arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the one argument that names a file by what may be opened."""
        source = arguments.get("source")
        if "source" not in spec.arguments.model_fields or not isinstance(source, str):
            return arguments
        return {**arguments, "source": self.access.check(source)}


def describe(spec: "ToolSpec") -> Tool:
    """What tools/list says about one tool."""
    hints = ToolAnnotations(
        title=spec.title,
        read_only_hint=spec.read_only,
        destructive_hint=not spec.read_only,
        open_world_hint=False,
    )
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=spec.json_schema,
        annotations=hints,
    )


def build_server(backend: Backend) -> Server[None]:
    """A server over `backend`; loading begins a moment after it starts to serve."""

    @asynccontextmanager
    async def lifespan(_: Server[None]) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_start_soon, backend.loading)
            yield
            tasks.cancel_scope.cancel()

    return Server(
        "sam3",
        version=sam3_agent.__version__,
        title="SAM 3 with reasoning",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=backend.list_tools,
        on_call_tool=backend.call_tool,
    )


async def _start_soon(loading: Loading) -> None:
    await anyio.sleep(_HEAD_START_SECONDS)
    loading.start()
