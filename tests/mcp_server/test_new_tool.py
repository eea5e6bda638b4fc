"""A tool is one file and one line: everything that a host needs to know of it stands in its spec."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from mcp import Client
from pydantic import Field
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.model_loader import Loading
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.quota import UNLIMITED, Limits
from sam3_mcp.server import build_server
from sam3_mcp.sessions import Sessions
from sam3_mcp.tool_handler import Backend

from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.arguments import ImageId
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace
from tests.mcp_server.fixtures_server import answers, images_of, text_of

pytestmark = pytest.mark.anyio


# ---- the one file


@dataclass(frozen=True, slots=True)
class Largest:
    """Largest mask of a concept."""

    image_id: str
    instance: Instance


def largest_of(
    workspace: Workspace, image_id: ImageId, concept: Annotated[str, Field(description="One noun phrase.")]
) -> Largest:
    """Find the one instance of a concept that covers the most pixels, and show it alone."""
    found = workspace.segment(image_id, [concept])[0].instances
    return Largest(image_id, max(found, key=lambda instance: instance.area))


def present(workspace: Workspace, result: Largest) -> Presentation:
    """Name it and show it."""
    picture = workspace.look(result.image_id, [result.instance.id])
    text = f"the largest is {result.instance.id}"
    return Presentation(text, {"mask_id": result.instance.id, "area": result.instance.area}, (picture,))


LARGEST_OF = ToolSpec.of(largest_of, present, makes="masks", idempotent=False, has_picture=True, shows_masks=True)

# ---- the one line

MORE_TOOLS = (LARGEST_OF,)


def backend(folder: Path, limits: Limits = UNLIMITED) -> Backend:
    pictures = ImageAccess(PathAllowlist.of([folder]))
    loading = Loading(lambda: FakeSegmenter(answers), "fake")
    return Backend(loading, lambda: Sessions(pictures, limits=limits), more_tools=MORE_TOOLS)


async def test_it_is_listed_with_its_schema_its_hints_a_picture_size_and_the_viewer(folder: Path) -> None:
    async with Client(build_server(backend(folder))) as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "largest_of")
    assert list(tool.input_schema["properties"]) == ["image_id", "concept", "max_side"]
    assert tool.input_schema["required"] == ["image_id", "concept"]
    assert (tool.title, tool.description) == ("Largest of", LARGEST_OF.description)
    hints = tool.annotations
    assert hints is not None
    assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) == (True, False, False)
    assert tool.meta == {"ui": {"resourceUri": "ui://sam3/viewer.html"}}


async def test_it_is_called_with_the_same_care_as_every_other_tool(folder: Path) -> None:
    async with Client(build_server(backend(folder))) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        asked = {"imageId": '"IMG1"', "concept": "square", "max_side": 128.0, "toolCallId": "x"}
        result = await client.call_tool("largest_of", asked)
        refused = await client.call_tool("largest_of", {"image_id": "img1"})
    assert text_of(result).startswith("the largest is m2")
    assert result.structured_content["area"] == 6400
    assert len(images_of(result)) == 1
    assert text_of(refused) == "largest_of: the argument 'concept' is missing: One noun phrase."


async def test_what_it_makes_counts_against_the_clients_quota(folder: Path) -> None:
    async with Client(build_server(backend(folder, Limits(masks=1)))) as client:
        await client.call_tool("open_image", {"source": str(folder / "square.png")})
        await client.call_tool("largest_of", {"image_id": "img1", "concept": "square"})
        refused = await client.call_tool("largest_of", {"image_id": "img1", "concept": "square"})
    assert "you hold 2 masks" in text_of(refused)


async def test_the_result_of_a_call_is_the_value_that_the_tool_returned() -> None:
    workspace = Workspace(FakeSegmenter(answers))
    assert LARGEST_OF.function is largest_of
    with pytest.raises(TypeError, match="has_pictures"):
        ToolSpec.of(largest_of, present, has_pictures=True)  # a wrong name is an error
    assert workspace.images() == []
