"""The playbook for a host's own model, as an MCP prompt."""

import re
from importlib import resources

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

from sam3_mcp.tool_handler import Context

GROUND_EXPRESSION = Prompt(
    name="ground_expression",
    title="Find what an expression means",
    description="Step by step from a referring expression ('the child furthest to the right') to masks in a picture.",
    arguments=[
        PromptArgument(name="query", description="What to find, in words.", required=True),
        PromptArgument(name="image", description="Path, URL or data URI of a picture, or an image_id.", required=True),
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
    """Answer completion/complete: example queries; a picture's name is not guessed."""
    values: list[str] = []
    if params.argument.name == "query":
        values = [example for example in _EXAMPLES if example.startswith(params.argument.value.lower())]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))
