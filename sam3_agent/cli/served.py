"""Workspace of a running `sam3-mcp --transport http`, asked over MCP instead of loading a model here."""

import base64
import json
import mimetypes
import os
import secrets
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from sam3_agent import masks
from sam3_agent.cli.loading import LONGEST, PAGE, write_picture
from sam3_agent.cli.output import say
from sam3_agent.errors import InputError, Sam3AgentError, ToolError
from sam3_agent.formats.files import write_text
from sam3_agent.masks import Box
from sam3_agent.render import Mark, draw_picture, viewer_page
from sam3_agent.types import ConceptPrompt, Instance, ModelInfo, Segmentation
from sam3_agent.workspace import OpenImage, TileMode
from sam3_agent.workspace.image_loading import read_source

TOKEN_VARIABLE = "SAM3_MCP_TOKEN"
_CLIENT_HEADER = "sam3-client"
"""Header with a key by which the server knows one client's images over several connections."""
_SECONDS = httpx2.Timeout(30.0, read=600.0)
_AT_ONCE = 8
"""Masks that are fetched at the same time."""


@contextmanager
def connected(url: str) -> "Generator[ServedWorkspace]":
    """Connect to a server; its token comes from SAM3_MCP_TOKEN.

    Raises:
        InputError: this is no URL.
        Sam3AgentError: the server does not answer, or wants another token.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--connect {url}: expected the URL of a server, such as http://127.0.0.1:8801/mcp")
    address = url if url.rstrip("/").endswith("/mcp") else f"{url.rstrip('/')}/mcp"
    try:
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(_client(address)) as client:
            yield ServedWorkspace(portal, client)
    except* (httpx2.HTTPError, MCPError, OSError) as group:
        raise Sam3AgentError(f"{address} does not answer as sam3-mcp: {_complaint(_first(group))}") from group
    except* Sam3AgentError as group:
        raise _first(group) from None


@asynccontextmanager
async def _client(url: str) -> AsyncGenerator[Client]:
    headers = {_CLIENT_HEADER: secrets.token_urlsafe(24)}
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first exception that is no group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseExceptionGroup[BaseException], error).exceptions[0]
    return error


def _complaint(error: BaseException) -> str:
    """Say what went wrong; the SDK hides the status of a refused token."""
    hint = f" (is the token in {TOKEN_VARIABLE} the server's?)" if isinstance(error, MCPError) else ""
    return f"{str(error) or type(error).__name__}{hint}"


class ServedWorkspace:
    """Images and masks on the server, with as much of `Workspace` as `segment` needs."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self._client = client
        self._info = ModelInfo("the server's model", "unknown", "unknown")
        self._sources: dict[str, str] = {}

    @property
    def info(self) -> ModelInfo:
        """Model of the server; known from the first opened image on."""
        return self._info

    def open(self, source: str) -> OpenImage:
        """Send an image to the server.

        Raises:
            ToolError: it cannot be read here, or the server does not take it.
        """
        found = self._call("open_image", {"source": _data_uri(source)})
        self._info = ModelInfo(**found["model"])
        self._sources[found["image_id"]] = source
        return OpenImage(found["image_id"], found["width"], found["height"], source)

    def segment(
        self,
        image_id: str,
        concepts: Sequence[ConceptPrompt],
        *,
        threshold: float,
        region: Box | None,
        tiles: TileMode,
        assume_present: bool,
        max_iou: float,
        max_containment: float,
    ) -> list[Segmentation]:
        """Ask for phrases, then fetch the masks.

        Raises:
            ToolError: the server refuses, or something is asked that its tools do not do.
        """
        if not all(prompt.words_alone for prompt in concepts) or (max_iou, max_containment) != (1.0, 1.0):
            raise InputError(
                "--connect takes phrases: --like, @NAME, --max-iou and --max-containment need a model here"
            )
        arguments: dict[str, Any] = {
            "image_id": image_id,
            "concepts": [prompt.phrase for prompt in concepts],
            "threshold": threshold,
            "tiles": tiles,
            "assume_present": assume_present,
        }
        found = self._call("segment_concepts", arguments | ({"region": list(region)} if region is not None else {}))
        if "left_out" in found:
            say(f"note: {found['left_out']}")
        return [self._segmentation(image_id, entry, threshold, assume_present) for entry in found["results"]]

    def forget(self, image_id: str) -> None:
        """Free an image on the server."""
        self._call("forget_image", {"image_id": image_id})
        self._sources.pop(image_id, None)

    def write_marked(self, image_id: str, instances: Sequence[Instance], path: Path) -> None:
        """Draw the marked picture here, and write it."""
        pixels, _ = read_source(self._sources[image_id])
        marks = [Mark(instance.id, instance.rle, instance.box) for instance in instances]
        longest = min(LONGEST, max(pixels.shape[:2]))
        if path.suffix.lower() == PAGE:
            plain = draw_picture(pixels, style="plain", longest=longest)
            return write_text(path, viewer_page(plain, [instance.to_json() for instance in instances]))
        return write_picture(draw_picture(pixels, marks, style="marks", longest=longest).image, path)

    def _segmentation(
        self, image_id: str, entry: dict[str, Any], threshold: float, assume_present: bool
    ) -> Segmentation:
        ids = [each["id"] for kind in ("instances", "near_misses") for each in entry[kind]]
        rles: dict[str, masks.Rle] = self._portal.call(self._fetch, ids)
        found, missed = (  # an id's end, "-k3v9", tells clients of the server apart: here is only one
            tuple(
                Instance(
                    e["id"].partition("-")[0], rles[e["id"]], cast(Box, tuple(e["box"])), e["score"], e["object_score"]
                )
                for e in entry[kind]
            )
            for kind in ("instances", "near_misses")
        )
        name, prompt = entry["segmentation_id"], ConceptPrompt(entry["concept"])
        presence, tiles = entry["presence"], entry["tiles"]
        return Segmentation(name, image_id, prompt, presence, threshold, found, missed, assume_present, tiles)

    async def _fetch(self, mask_ids: Sequence[str]) -> dict[str, masks.Rle]:
        limit, rles = anyio.CapacityLimiter(_AT_ONCE), dict[str, masks.Rle]()

        async def one(mask_id: str) -> None:
            async with limit:
                read = await self._client.read_resource(f"sam3://masks/{mask_id}.json")
            document = json.loads(cast(Any, read.contents[0]).text)
            rles[mask_id] = masks.from_json(document["mask"])

        async with anyio.create_task_group() as tasks:
            for mask_id in mask_ids:
                tasks.start_soon(one, mask_id)
        return rles

    def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        result = self._portal.call(self._client.call_tool, tool, arguments)
        if result.is_error or result.structured_content is None:
            raise ToolError(" ".join(part.text for part in result.content if part.type == "text"))
        return cast(dict[str, Any], result.structured_content)


def _data_uri(source: str) -> str:
    """The file as a data URI, as it is: the server need not see this machine's files."""
    if source.startswith("data:"):
        return source
    read_source(source)  # what is no image is told in the words of a command without --connect
    path = Path(source.removeprefix("file://")).expanduser()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
