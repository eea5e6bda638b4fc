"""What stands behind a server: the model in the making, a session for each client, and the calls of tools."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
    ToolAnnotations,
)

from sam3_agent.errors import Sam3AgentError
from sam3_agent.model.scheduler.request_context import calling
from sam3_mcp.client_identity import caller_of
from sam3_mcp.model_loader import Loading
from sam3_mcp.picture_size import take, with_argument
from sam3_mcp.results import DEFAULTS, Settings, to_error, to_result
from sam3_mcp.viewer import SHOWN_BY_VIEWER, VIEWER_URI

if TYPE_CHECKING:
    from sam3_agent.llm.base import LLM
    from sam3_agent.tools import Presentation, ToolSpec
    from sam3_agent.workspace import Workspace
    from sam3_mcp.quota import Adds
    from sam3_mcp.sessions import Session, Sessions

logger = logging.getLogger(__name__)

Context = ServerRequestContext[None, Any]
P = ParamSpec("P")
T = TypeVar("T")

_ENDING = "the server is shutting down; try again in a moment"
_MAKES_MASKS = frozenset({"segment_concepts", "refine_with_exemplars", "segment_at", "combine_masks", "ask_image"})


class Backend:
    """Answers calls of tools. `make_desks` and `make_llm` are called at the first call, so that a handshake is fast."""

    def __init__(
        self,
        loading: Loading,
        make_sessions: Callable[[], "Sessions"],
        settings: Settings = DEFAULTS,
        make_llm: Callable[[], "LLM"] | None = None,
    ) -> None:
        self.loading = loading
        self.settings = settings
        self._make_sessions = make_sessions
        self._make_llm = make_llm
        self._lock = threading.Lock()
        self.draining = False
        """No new calls are taken: the server is about to end."""
        self._running: set[anyio.CancelScope] = set()

    @cached_property
    def sessions(self) -> "Sessions":
        """All sessions; the first use imports much, so it belongs into a thread."""
        with self._lock:
            return self._make_sessions()

    @cached_property
    def tools(self) -> "Sequence[ToolSpec]":
        """The tools for hosts, and with an LLM those for jobs; imported at the first use."""
        from sam3_agent.tools import HOST_TOOLS

        if self._make_llm is None:
            return HOST_TOOLS
        from sam3_mcp.job_tools import JOB_TOOLS

        return (*HOST_TOOLS, *JOB_TOOLS)

    @cached_property
    def _described(self) -> list[Tool]:
        return [describe(spec, self.settings) for spec in self.tools]

    @cached_property
    def llm(self) -> "LLM | None":
        """The server's own LLM, if it has one.

        Raises:
            LLMConfigError: its spec is wrong or its key is missing.
        """
        return self._make_llm() if self._make_llm is not None else None

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """Answer tools/list; needs no model."""
        return ListToolsResult(tools=await anyio.to_thread.run_sync(lambda: self._described))

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Answer tools/call; whatever goes wrong comes back as an error result in one line."""
        if self.draining:
            return to_error(_ENDING)
        result = to_error(_ENDING)
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                result = await self._answer(context, params)
            finally:
                self._running.discard(scope)
        return result

    @property
    def running(self) -> int:
        """Calls that are not answered yet."""
        return len(self._running)

    def cancel_calls(self) -> None:
        """Let every running call go; each is answered with an error that says why."""
        for scope in list(self._running):
            scope.cancel()

    async def _answer(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        try:
            spec = await self._find(params.name)
            arguments, side = take(spec.name, params.arguments or {})
            return await self._call(context, spec, arguments, side)
        except Sam3AgentError as error:
            return to_error(str(error))
        except Exception:  # the border: a client gets one line, the log gets the rest
            logger.exception("tool %s failed", params.name[:100])
            return to_error(f"internal error in {params.name[:100]!r}; the server's log has the details")

    async def _call(self, context: Context, spec: "ToolSpec", raw: dict[str, Any], side: int) -> CallToolResult:
        caller = caller_of(context.request)
        # Making the sessions belongs into a thread; each change of threads costs a call a good part of a millisecond.
        sessions = self.sessions if "desks" in self.__dict__ else await anyio.to_thread.run_sync(lambda: self.sessions)
        adds: Adds = "image" if spec.name == "open_image" else "masks" if spec.name in _MAKES_MASKS else "nothing"
        with sessions.using(caller, raw) as session, session.account.call(adds) as ticket:
            arguments = session.complete(raw)
            segmenter = await self.loading.segmenter(context.session.report_progress)
            workspace = sessions.workspace(session, segmenter)
            if spec.name in ("ask_image", "get_job", "cancel_job"):
                presentation = await self._run_errand(context, spec, session, arguments)
                return await _in_thread(to_result, presentation, self.settings, side)
            with calling(
                seconds=self.settings.seconds
            ):  # what a caller that gives up still waits for is taken out of the model's queue
                return await _in_thread(ticket.carry(self._run), spec, workspace, arguments, side)

    def _run(self, spec: "ToolSpec", workspace: "Workspace", arguments: dict[str, Any], side: int) -> CallToolResult:
        return to_result(spec.call(workspace, arguments), self.settings, side)

    async def _run_errand(
        self, context: Context, spec: "ToolSpec", session: "Session", arguments: dict[str, Any]
    ) -> "Presentation":
        from sam3_mcp.job_tools import Errand

        assert session.workspace is not None
        llm = await anyio.to_thread.run_sync(lambda: self.llm)
        errand = Errand(session, session.workspace, llm, context.session.report_progress)
        return await spec.function(errand, **spec.checked(arguments))

    async def _find(self, name: str) -> "ToolSpec":
        specs = self.tools if "tools" in self.__dict__ else await anyio.to_thread.run_sync(lambda: self.tools)
        for spec in specs:
            if spec.name == name:
                return spec
        raise Sam3AgentError(f"unknown tool {name!r}; known: {', '.join(spec.name for spec in specs)}")


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread; a caller that gives up is let go at once; its thread ends by itself, its result is dropped."""
    return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), abandon_on_cancel=True)


def describe(spec: "ToolSpec", settings: Settings) -> Tool:
    """What tools/list says about one tool."""
    hints = ToolAnnotations(
        title=spec.title,
        read_only_hint=spec.read_only,
        destructive_hint=not spec.read_only,
        idempotent_hint=spec.name not in ("open_image", "combine_masks", "ask_image", "export_masks"),
        open_world_hint=spec.name == "open_image" and settings.fetches,
    )
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=with_argument(spec.name, spec.json_schema),
        annotations=hints,
        _meta={"ui": {"resourceUri": VIEWER_URI}} if spec.name in SHOWN_BY_VIEWER else None,
    )
