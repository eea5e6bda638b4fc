"""Handler of tools/list and tools/call, with the model and the sessions that it needs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

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

from sam3_agent.errors import Sam3AgentError, ToolError
from sam3_agent.model.request_context import calling
from sam3_mcp.client_identity import Caller, caller_of
from sam3_mcp.model_loader import Loading
from sam3_mcp.picture_size import ARGUMENT, LARGEST, with_max_side
from sam3_mcp.results import DEFAULTS, Settings, to_error, to_result, with_notice
from sam3_mcp.viewer import VIEWER_URI

if TYPE_CHECKING:
    from sam3_agent.llm.base import LLM
    from sam3_agent.tools import Presentation, ToolSpec
    from sam3_agent.workspace import Workspace
    from sam3_mcp.jobs import Job
    from sam3_mcp.sessions import Session, Sessions

logger = logging.getLogger(__name__)

Context = ServerRequestContext[None, Any]

_LAST_SECONDS = 0.5
"""For a job to end its current step when the server ends: hosts kill a server that takes longer than two seconds."""
_ENDING = "the server is shutting down; try again in a moment"


class Backend:
    """Answers calls of tools.

    `make_sessions` and `make_llm` are called at the first call, so that a handshake is fast.
    """

    def __init__(
        self,
        loading: Loading,
        make_sessions: Callable[[], "Sessions"],
        settings: Settings = DEFAULTS,
        make_llm: Callable[[], "LLM"] | None = None,
        more_tools: "Sequence[ToolSpec]" = (),
    ) -> None:
        """`more_tools` are served beside the project's own."""
        self.loading = loading
        self.settings = settings
        self._make_sessions = make_sessions
        self._make_llm = make_llm
        self._more_tools = more_tools
        self._lock = threading.Lock()
        self.draining = False
        """No new calls are taken: the server is about to end."""
        self._running: set[anyio.CancelScope] = set()

    @property
    def has_agent(self) -> bool:
        """Whether it has an LLM of its own, and with it tools that answer whole questions."""
        return self._make_llm is not None

    @cached_property
    def sessions(self) -> "Sessions":
        """All sessions; the first use imports much, so it belongs into a thread."""
        with self._lock:
            return self._make_sessions()

    @cached_property
    def tools(self) -> "dict[str, ToolSpec]":
        """The tools for hosts by name, those for jobs, and with an LLM those that ask it; imported at the first use."""
        from sam3_agent.tools import HOST_TOOLS
        from sam3_mcp.job_tools import JOB_TOOLS, as_job

        specs = (*HOST_TOOLS, *JOB_TOOLS)
        if self.has_agent:
            from sam3_mcp.ask_image import ASK_IMAGE
            from sam3_mcp.ask_video import ASK_VIDEO

            specs = (*HOST_TOOLS, ASK_IMAGE, ASK_VIDEO, *JOB_TOOLS)
        return {spec.name: with_max_side(as_job(spec)) for spec in (*specs, *self._more_tools)}

    @cached_property
    def llm(self) -> "LLM | None":
        """The server's own LLM, if it has one.

        Raises:
            LLMConfigError: its spec is wrong or its key is missing.
        """
        return self._make_llm() if self._make_llm is not None else None

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        """Answer tools/list; needs no model."""
        tools = await anyio.to_thread.run_sync(lambda: self.tools)
        return ListToolsResult(tools=[describe(spec, self.settings) for spec in tools.values()])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        """Answer tools/call; whatever goes wrong comes back as an error result in one line."""
        if self.draining:
            return to_error(_ENDING)
        result: CallToolResult | None = None
        with anyio.CancelScope() as scope:
            self._running.add(scope)
            try:
                result = await self._answer(context, params.name, params.arguments or {})
            except Sam3AgentError as error:
                result = to_error(str(error))
            except Exception:  # error boundary: a client gets one line, the log gets the rest
                logger.exception("tool %s failed", params.name[:100])
                result = to_error(f"internal error in {params.name[:100]!r}; the server's log has the details")
            finally:
                self._running.discard(scope)
        return result or to_error(_ENDING)

    @property
    def running(self) -> int:
        """Calls that are not answered yet."""
        return len(self._running)

    def close(self) -> None:
        """End jobs and delete temporary files before the process ends; the thread of a job may go on until then."""
        if "sessions" in self.__dict__:
            self.sessions.close(_LAST_SECONDS)

    def end_session(self, caller: Caller) -> None:
        """Free what a session held that its client has ended."""
        if "sessions" in self.__dict__:
            self.sessions.end(caller)

    def cancel_calls(self) -> None:
        """Let every running call go; each is answered with an error that says why."""
        for scope in list(self._running):
            scope.cancel()

    async def _answer(self, context: Context, name: str, raw: dict[str, Any]) -> CallToolResult:
        # What is made at its first use imports much, so that belongs into a thread; each change of threads costs a
        # call a good part of a millisecond.
        if "sessions" not in self.__dict__:
            await anyio.to_thread.run_sync(lambda: (self.tools, self.sessions))
        spec = self.tools.get(name)
        if spec is None:
            raise Sam3AgentError(f"unknown tool {name!r}; known: {', '.join(self.tools)}")
        arguments = spec.checked(raw)
        side: int = arguments.pop(ARGUMENT, LARGEST)
        caller = caller_of(context.request)
        with self.sessions.using(caller, arguments) as session, session.account.call(spec.makes) as ticket:
            began = time.monotonic()
            segmenter = await self.loading.segmenter(context.session.report_progress)
            notice = self.loading.notice(time.monotonic() - began)
            workspace = self.sessions.workspace(session, segmenter)
            arguments = session.complete(arguments)
            if spec.is_job:
                presentation = await self._job(context, spec, session, workspace, arguments)
                return with_notice(await anyio.to_thread.run_sync(to_result, presentation, self.settings, side), notice)
            if spec.is_long:
                presentation = await self._long(context, spec, session, workspace, arguments)
                return with_notice(await anyio.to_thread.run_sync(to_result, presentation, self.settings, side), notice)
            work = ticket.carry(lambda: to_result(spec.run(workspace, arguments), self.settings, side))
            # What a caller that gives up still waits for is taken out of the model's queue; its thread ends by
            # itself, and its result is dropped.
            with calling(seconds=self.settings.seconds):
                return with_notice(await anyio.to_thread.run_sync(work, abandon_on_cancel=True), notice)

    async def _job(
        self, context: Context, spec: "ToolSpec", session: "Session", workspace: "Workspace", arguments: dict[str, Any]
    ) -> "Presentation":
        """Run a tool about jobs, and wait for its job as long as the caller wants."""
        from sam3_mcp.job_tools import JobContext, wait_for

        llm = await anyio.to_thread.run_sync(lambda: self.llm)
        jobs = JobContext(workspace, session.jobs, llm, self._check_of(session))
        report = spec.function(jobs, **arguments)
        await wait_for(report, context.session.report_progress)
        return spec.present(jobs, report)

    async def _long(
        self, context: Context, spec: "ToolSpec", session: "Session", workspace: "Workspace", arguments: dict[str, Any]
    ) -> "Presentation":
        """Begin a tool's long work as a job, and wait for it as long as the caller wants.

        Raises:
            ToolError: it could not begin, or failed meanwhile.
        """
        from sam3_mcp.job_tools import WAIT, JobContext, JobReport, begin, present, wait_for

        wait_s: float = arguments.pop(WAIT)
        check = self._check_of(session)

        def start() -> "Job":
            check()
            return begin(session.jobs, spec, workspace, arguments, check)

        with calling(seconds=self.settings.seconds):
            job = await anyio.to_thread.run_sync(start)
        await wait_for(JobReport(job, wait_s), context.session.report_progress)
        if job.state == "failed":
            raise ToolError(f"{job.id}: {job.failure}")
        return present(JobContext(workspace, session.jobs, None, check), JobReport(job, 0.0))

    def _check_of(self, session: "Session") -> Callable[[], None]:
        """Make the check that refuses, by ToolError, where the tracks of a client take more than they may."""
        return lambda: session.account.check_tracks(self.sessions.track_bytes(session))


def describe(spec: "ToolSpec", settings: Settings) -> Tool:
    """A tool as tools/list tells of it."""
    hints = ToolAnnotations(
        title=spec.title,
        read_only_hint=not spec.removes,
        destructive_hint=spec.removes,
        idempotent_hint=spec.idempotent,
        open_world_hint=spec.fetches and settings.fetches,
    )
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=spec.json_schema,
        annotations=hints,
        _meta={"ui": {"resourceUri": VIEWER_URI}} if spec.shows_masks else None,
    )
