"""Tools for programs that have a loop of their own around an SDK: definitions, calls, results."""

from collections.abc import Iterable, Sequence
from typing import Any

from sam3_agent.errors import ToolError
from sam3_agent.llm.anthropic import result_block
from sam3_agent.llm.anthropic import tools_of as anthropic_tools
from sam3_agent.llm.base import ToolCall, ToolResult
from sam3_agent.llm.openai import result_item
from sam3_agent.llm.openai import tools_of as openai_tools
from sam3_agent.llm.tool_calls import read_call
from sam3_agent.tools import HOST_TOOLS, ToolSpec
from sam3_agent.workspace import Workspace

_FILES = ("open_image", "open_video", "export_masks", "export_tracks")
WITHOUT_FILES = tuple(tool for tool in HOST_TOOLS if tool.name not in _FILES)
"""The tools that touch no file: what a model says then never decides which file is read or written."""


class Toolkit:
    """Tools over a workspace, as the SDKs of Anthropic and OpenAI take them; safe to call from several threads.

    The program opens images and tells the model their ids. `HOST_TOOLS` lets the model open and export by itself, any
    file that the program may read: for models and images that are trusted.
    """

    def __init__(self, workspace: Workspace, tools: Sequence[ToolSpec] = WITHOUT_FILES) -> None:
        self._workspace = workspace
        self._tools = {tool.name: tool for tool in tools}

    def as_anthropic_tools(self) -> list[dict[str, Any]]:
        """The tools for `client.messages.create(tools=...)`."""
        return anthropic_tools(tuple(self._tools.values()))

    def as_openai_tools(self) -> list[dict[str, Any]]:
        """The tools for `client.responses.create(tools=...)`."""
        return openai_tools(tuple(self._tools.values()))

    def answer_anthropic(self, content: Iterable[Any]) -> list[dict[str, Any]]:
        """Run the calls in the content of a Message; gives the content of the user's next turn, empty without calls.

        A call that the model can repair becomes a result that says how; anything else is raised.

        Raises:
            Sam3AgentError: the model of the workspace is unusable.
        """
        calls = [block for block in content if block.type == "tool_use"]
        return [result_block(self.run(read_call(call.id, call.name, call.input))) for call in calls]

    def answer_openai(self, output: Iterable[Any]) -> list[dict[str, Any]]:
        """Run the calls in the output of a Response; gives the items to append to its input, empty without calls.

        Raises:
            Sam3AgentError: the model of the workspace is unusable.
        """
        calls = [item for item in output if item.type == "function_call"]
        return [result_item(self.run(read_call(call.call_id, call.name, call.arguments))) for call in calls]

    def run(self, call: ToolCall) -> ToolResult:
        """Run one call; one that the model can repair becomes a result that says how.

        Raises:
            Sam3AgentError: the model of the workspace is unusable.
        """
        tool = self._tools.get(call.name)
        if call.problem or tool is None:
            unknown = f"unknown tool {call.name!r}; the tools are: {', '.join(self._tools)}"
            return ToolResult(call.id, call.name, call.problem or unknown, is_error=True)
        try:
            shown = tool.call(self._workspace, call.arguments)
        except ToolError as error:
            return ToolResult(call.id, call.name, str(error), is_error=True)
        return ToolResult(call.id, call.name, shown.text, shown.data, shown.pictures, result=shown.result)
