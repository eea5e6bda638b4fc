"""Turns what a tool says into what travels: text, pictures and JSON that carry the same facts.

Hosts differ (measured): some drop the text when structured content is there, some drop the structured content, some
never show pictures to the model. So every fact is in both, bytes are in neither, and a picture is only an addition.
"""

import base64
import io
from typing import TYPE_CHECKING, Any, Literal

from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent

if TYPE_CHECKING:
    from sam3_agent.render import Picture
    from sam3_agent.tools import Presentation

Images = Literal["allow", "omit"]

PICTURE_BYTES = 300_000
"""Largest JPEG, before base64."""
ALL_PICTURES_BYTES = 600_000
"""All JPEGs of one result together: with base64 and text that stays under the 1 MB at which a known host gives up."""

_LONGEST_ERROR = 2000


def to_result(presentation: "Presentation", images: Images = "allow") -> CallToolResult:
    """Put a presentation on the wire; with `images="omit"` the pictures are named but not sent."""
    budget = min(PICTURE_BYTES, ALL_PICTURES_BYTES // max(1, len(presentation.pictures)))
    sent = [_send(picture, budget) if images == "allow" else _withhold(picture) for picture in presentation.pictures]
    text = "\n".join([presentation.text, *(str(note["note"]) for note, _ in sent if "note" in note)])
    blocks: list[ContentBlock] = [block for _, block in sent if block is not None]
    notes = {"pictures": [note for note, _ in sent]} if sent else {}
    return CallToolResult(
        content=[TextContent(type="text", text=text), *blocks], structured_content={**presentation.data, **notes}
    )


def to_error(message: str) -> CallToolResult:
    """An error result: the message, cut at 2000 characters, is an instruction to the model that called."""
    return CallToolResult(content=[TextContent(type="text", text=message[:_LONGEST_ERROR])], is_error=True)


def _send(picture: "Picture", budget: int) -> tuple[dict[str, Any], ImageContent]:
    from PIL import Image

    from sam3_agent.render import encode_picture

    data, mime_type = encode_picture(picture, budget)
    with Image.open(io.BytesIO(data)) as sent:
        width, height = sent.size
    note: dict[str, Any] = {"caption": picture.caption, "width": width, "height": height}
    if width != picture.image.width:
        # The caption was written for the larger one, so its conversion no longer holds.
        scale = picture.scale * width / picture.image.width
        note["note"] = f"this picture had to be shrunk to {width}x{height}; its scale is {scale:.4g}, not the caption's"
    return note, ImageContent(type="image", data=base64.b64encode(data).decode("ascii"), mime_type=mime_type)


def _withhold(picture: "Picture") -> tuple[dict[str, Any], None]:
    return {"caption": picture.caption, "note": "the picture is not sent: the server runs with --images omit"}, None
