"""Masks, images and overlays as resources: what a client wants as a file rather than in a conversation."""

import base64
import io
import json
import re
from collections.abc import Callable
from typing import Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from sam3_agent.errors import Sam3AgentError
from sam3_mcp.client_identity import caller_of
from sam3_mcp.tool_handler import Backend, Context
from sam3_mcp.viewer import VIEWER_MIME, VIEWER_URI, viewer_page

_PAGE = 100
_RESOURCE_BYTES = 700_000
_URI = re.compile(r"sam3://(?P<kind>masks|images|overlays)/(?P<id>[A-Za-z0-9@-]{1,64})\.(?P<form>png|json|jpg)")
_TEMPLATES = (
    ("mask", "sam3://masks/{id}.png", "image/png", "A mask as a black-and-white picture in the size of its image."),
    ("mask as data", "sam3://masks/{id}.json", "application/json", "A mask with its facts and its COCO run lengths."),
    ("image", "sam3://images/{id}.jpg", "image/jpeg", "An open image, at most 2048 pixels a side."),
    ("overlay", "sam3://overlays/{id}.jpg", "image/jpeg", "An open image with all of its masks outlined."),
)


class Resources:
    """Answers resources/*; every client sees its own only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list_templates(self, _: Context, __: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        """Answer resources/templates/list."""
        templates = [
            ResourceTemplate(name=name, uri_template=uri, mime_type=mime, description=description)
            for name, uri, mime, description in _TEMPLATES
        ]
        return ListResourceTemplatesResult(resource_templates=templates)

    async def list_all(self, context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """Answer resources/list: the viewer, then open images, their overlays and masks, a hundred a page."""
        cursor = params.cursor if params is not None else None
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise MCPError(INVALID_PARAMS, f"no such cursor: {cursor[:40]!r}")
        start = int(cursor or 0)
        found = await anyio.to_thread.run_sync(self._all, context.request)
        more = str(start + _PAGE) if start + _PAGE < len(found) else None
        return ListResourcesResult(resources=found[start : start + _PAGE], next_cursor=more)

    async def read(self, context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """Answer resources/read.

        Raises:
            MCPError: there is no such resource, or it belongs to another client.
        """
        uri = str(params.uri)
        if uri == VIEWER_URI:
            page = TextResourceContents(uri=uri, mime_type=VIEWER_MIME, text=viewer_page())
            return ReadResourceResult(contents=[page])
        parts = _URI.fullmatch(uri)
        if parts is None or (parts["form"] not in (("png", "json") if parts["kind"] == "masks" else ("jpg",))):
            forms = ", ".join(template for _, template, _, _ in _TEMPLATES)
            raise MCPError(INVALID_PARAMS, f"no such resource: {uri[:200]!r}; there are {forms}")
        try:
            return await anyio.to_thread.run_sync(self._read, context.request, uri, parts, abandon_on_cancel=True)
        except Sam3AgentError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error

    def _all(self, request: Any) -> list[Resource]:
        found = [Resource(uri=VIEWER_URI, name="viewer", title="Masks on a picture", mime_type=VIEWER_MIME)]
        with self._backend.sessions.using(caller_of(request), {}) as session:
            for image in session.workspace.images() if session.workspace is not None else []:
                title = f"{image.id}, {image.width}x{image.height}"
                for kind in ("images", "overlays"):
                    uri = f"sam3://{kind}/{image.id}.jpg"
                    found.append(Resource(uri=uri, name=f"{kind} {image.id}", title=title, mime_type="image/jpeg"))
                assert session.workspace is not None
                for mask in session.workspace.masks_of(image.id):
                    uri = f"sam3://masks/{mask.id}.png"
                    found.append(Resource(uri=uri, name=f"mask {mask.id}", mime_type="image/png"))
        return found

    def _read(self, request: Any, uri: str, parts: re.Match[str]) -> ReadResourceResult:
        from sam3_agent.errors import UnknownHandle

        named = {"mask_id" if parts["kind"] == "masks" else "image_id": parts["id"]}
        with self._backend.sessions.using(caller_of(request), named) as session, session.account.call():
            if session.workspace is None:
                raise UnknownHandle("image", parts["id"], ())
            draw = _FORMS[parts["kind"], parts["form"]]
            content, mime = draw(session.workspace, session.complete_id(parts["id"]))
        if isinstance(content, str):
            return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=mime, text=content)])
        blob = base64.b64encode(content).decode("ascii")
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type=mime, blob=blob)])


def _mask_png(workspace: Any, mask_id: str) -> tuple[bytes, str]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(workspace.instance(mask_id).mask).save(buffer, "PNG")  # bool -> 1 bit a pixel
    return buffer.getvalue(), "image/png"


def _mask_json(workspace: Any, mask_id: str) -> tuple[str, str]:
    from sam3_agent.tools.presentation import instance_data

    instance = workspace.instance(mask_id)
    facts = instance_data(instance, workspace.facts([mask_id])[0])
    known = {"image_id": workspace.image_of(mask_id), **facts, "mask": instance.rle.to_json()}
    return json.dumps(known, ensure_ascii=False), "application/json"


def _image_jpg(workspace: Any, image_id: str) -> tuple[bytes, str]:
    from sam3_agent.render import encode_picture

    return encode_picture(workspace.look(image_id, style="plain", longest=2048), _RESOURCE_BYTES)


def _overlay_jpg(workspace: Any, image_id: str) -> tuple[bytes, str]:
    from sam3_agent.render import encode_picture

    return encode_picture(workspace.look(image_id, longest=2048), _RESOURCE_BYTES)


_FORMS: dict[tuple[str, str], Callable[[Any, str], tuple[bytes | str, str]]] = {
    ("masks", "png"): _mask_png,
    ("masks", "json"): _mask_json,
    ("images", "jpg"): _image_jpg,
    ("overlays", "jpg"): _overlay_jpg,
}
