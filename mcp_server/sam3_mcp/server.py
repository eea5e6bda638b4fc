"""The MCP server: which request is answered by what."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources

import anyio
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

import sam3_agent
from sam3_mcp.model_loader import Loading
from sam3_mcp.resources import Resources
from sam3_mcp.tool_handler import Backend, Context
from sam3_mcp.viewer import UI_EXTENSION, VIEWER_MIME

GROUND_EXPRESSION = Prompt(
    name="ground_expression",
    title="Find what an expression means",
    description="Step by step from a referring expression ('the child furthest to the right') to masks in an image.",
    arguments=[
        PromptArgument(name="query", description="What to find, in words.", required=True),
        PromptArgument(name="image", description="Path, URL or data URI of an image, or an image_id.", required=True),
    ],
)
_LONGEST = 4000
_EXAMPLES = (
    "the person furthest to the right",
    "all cups except the red one",
    "the largest dog",
    "what is used to cut paper",
)


async def list_prompts(_: Context, __: PaginatedRequestParams | None) -> ListPromptsResult:
    """Answer prompts/list."""
    return ListPromptsResult(prompts=[GROUND_EXPRESSION])


async def get_prompt(_: Context, params: GetPromptRequestParams) -> GetPromptResult:
    """Answer prompts/get.

    Raises:
        MCPError: there is no such prompt, or an argument is missing.
    """
    if params.name != GROUND_EXPRESSION.name:
        raise MCPError(INVALID_PARAMS, f"unknown prompt {params.name[:100]!r}; known: {GROUND_EXPRESSION.name}")
    given = {name: value.strip() for name, value in (params.arguments or {}).items()}
    for name in ("query", "image"):
        if not given.get(name):
            raise MCPError(INVALID_PARAMS, f"the prompt {params.name!r} needs the argument {name!r}")
        if len(given[name]) > _LONGEST and not given[name].startswith("data:"):
            raise MCPError(INVALID_PARAMS, f"the argument {name!r} is longer than {_LONGEST} characters")
    text = resources.files("sam3_mcp").joinpath("playbooks/ground_expression.md").read_text(encoding="utf-8")
    text = re.sub(r"\{(query|image)\}", lambda found: given[found[1]], text)
    message = PromptMessage(role="user", content=TextContent(type="text", text=text))
    return GetPromptResult(description=GROUND_EXPRESSION.description, messages=[message])


async def complete(_: Context, params: CompleteRequestParams) -> CompleteResult:
    """Answer completion/complete: example queries; an image's name is not guessed."""
    values: list[str] = []
    if params.argument.name == "query":
        values = [example for example in _EXAMPLES if example.startswith(params.argument.value.lower())]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


INSTRUCTIONS = """\
Find, outline and measure things in images with SAM 3: use it when a task needs exact regions, counts or positions.

1. open_image(source) -> image_id such as "img1". It is encoded once; every later question about it is cheap.
2. segment_concepts(image_id, concepts) finds EVERY instance of short noun phrases: "red car", "person", "cup".
   Give several phrases in one call. It cannot follow relations, order or reasons ("the child furthest to the right",
   "what would spoil in a hot car"): break these into plain concepts, then decide by step 4.
3. Read the scores: score = presence x object_score. Presence ("is it in the image at all?") is a belief, not proof.
   near_misses lie under the threshold, yet their mask ids are as good as any other. Nothing found? Try a more general
   noun, a lower threshold, a region, or refine_with_exemplars ("more like m3, not like m7").
   read_presence is the cheapest question: is it there, without masks.
   segment_at outlines ONE thing that you can point at: a click, a box, or a mask to mend with further clicks.
4. measure_masks ranks masks (left to right, largest first) and tells what contains what, and the nearest neighbors:
   use it for "leftmost", "second largest", "inside"; never judge such things by model. combine_masks adds and
   subtracts.
5. look shows masks, or zooms into a region at full resolution: do it before you trust small or doubtful masks.
6. Videos: open_video -> "v1"; track_concepts follows every instance under an id "t1" (a job: get_job, cancel_job);
   measure_tracks tells order, speed, meetings; look_frames shows; track_at, edit_tracks correct. "v1@120" is an image.

Ids ("img1", "m7") stay valid and are never renumbered. Boxes are [x0, y0, x1, y1] in pixels of the original image;
where a mask reaches out of the box that the model drew, its line says so ("outside its box").
An error message says how to repair the call.
"""
TINY_INSTRUCTIONS = """
The loaded model is the embedded "tiny": it knows only drawings such as its own demo (flat shapes, houses, cats, lamps;
open_image lists its words). Of a photograph it can tell nothing: never report from it that something is not there, say
"the tiny model knows only drawings"; for photographs the server needs --model facebook/sam3.
"""


AGENT_INSTRUCTIONS = """
This server has an agent of its own: ask_image and ask_video answer one whole question ("the child furthest to the
right", "the car that leaves first") as a job, with masks and tracks that all other tools take.
"""


def instructions_for(model: str, *, has_agent: bool = False) -> str:
    """Give what a host's LLM reads before it sees a tool; `model` is the name that the server was started with."""
    agent = AGENT_INSTRUCTIONS if has_agent else ""
    return INSTRUCTIONS + agent + (TINY_INSTRUCTIONS if model.partition("+")[0] == "tiny" else "")


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
        instructions=instructions_for(backend.loading.what, has_agent=backend.has_agent),
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
