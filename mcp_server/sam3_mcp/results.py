"""Turns what a tool says into what travels: text, pictures and JSON that carry the same facts.

Hosts differ (measured): some drop the text when structured content is there, some drop the structured content, some
never show pictures to the model. So every fact is in both, bytes are in neither, and a picture is only an addition.
"""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from mcp_types import CallToolResult, ContentBlock, ImageContent, ResourceLink, TextContent

from sam3_mcp.picture_size import LARGEST

if TYPE_CHECKING:
    from sam3_agent.render import Picture
    from sam3_agent.tools import Presentation

Images = Literal["allow", "omit"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the operator for calls and results."""

    images: Images = "allow"
    links: bool = False
    """Add links to the masks as resources; some clients drop a whole result that holds one."""
    fetches: bool = False
    """Pictures may come from other hosts."""
    seconds: float = 120.0
    """The longest that one call may wait for the model; a job has its own budgets."""


DEFAULTS = Settings()
PICTURE_BYTES = 300_000
"""Largest JPEG, before base64."""
ALL_PICTURES_BYTES = 400_000
"""All JPEGs of one result together."""
TEXT_BYTES, DATA_BYTES = 180_000, 260_000
"""With pictures in base64 a whole result stays under the 1 MB at which a known host gives up."""

_LONGEST_ERROR = 2000
_MOST_LINKS = 20
_CUT = "left out here, the result would be too large; ask about fewer concepts, a region or a higher threshold"


def to_result(presentation: "Presentation", settings: Settings = DEFAULTS, side: int = LARGEST) -> CallToolResult:
    """Put a presentation on the wire.

    Pictures are at most `side` pixels long; with 0, or with `images="omit"`, they are named but not sent.
    """
    pictures = presentation.pictures
    budget = min(PICTURE_BYTES, ALL_PICTURES_BYTES // max(1, len(pictures)))
    why = "the server runs with --images omit" if settings.images == "omit" else "" if side else "max_side is 0"
    sent = [_withhold(picture, why) if why else _send(picture, budget, side) for picture in pictures]
    notes = [str(note["note"]) for note, _ in sent if "note" in note]
    blocks: list[ContentBlock] = [block for _, block in sent if block is not None]
    if settings.links:
        blocks += [_link(mask_id) for mask_id in list(_mask_ids(presentation.data))[:_MOST_LINKS]]
    data = shrink(presentation.data, DATA_BYTES) | ({"pictures": [note for note, _ in sent]} if sent else {})
    text = "\n".join([shorten(presentation.text, TEXT_BYTES), *notes])
    return CallToolResult(content=[TextContent(type="text", text=text), *blocks], structured_content=data)


def with_notice(result: CallToolResult, notice: str) -> CallToolResult:
    """The result with a sentence of the server's at the end of its text and in its data; itself without one."""
    if not notice:
        return result
    data = cast(dict[str, Any], result.structured_content or {}) | {"notice": notice}
    first = result.content[0] if result.content else None
    if not isinstance(first, TextContent):
        return result
    told = TextContent(type="text", text=f"{first.text}\n{notice}")
    return result.model_copy(update={"content": [told, *result.content[1:]], "structured_content": data})


def shorten(text: str, most: int) -> str:
    """The text, at most about so many bytes of JSON long, cut between lines; its last line counts the rest."""
    if len(json.dumps(text, ensure_ascii=False).encode()) <= most:
        return text
    lines = text.split("\n")
    kept: list[str] = []
    for line in lines:
        most -= len(json.dumps(line, ensure_ascii=False).encode())
        if most < 0:
            break
        kept.append(line)
    return "\n".join([*kept, f"({len(lines) - len(kept)} more lines are {_CUT})"])


def shrink(data: dict[str, Any], most: int) -> dict[str, Any]:
    """The data, at most so many bytes of JSON: longest lists are halved until it fits, and "left_out" says so."""
    if _size(data) <= most:
        return data
    smaller: dict[str, Any] = json.loads(json.dumps(data))
    dropped = 0
    while _size(smaller) > most:
        longest = max(_lists(smaller), key=len, default=cast(list[Any], []))
        if not longest:
            return {"left_out": f"everything is {_CUT}"}
        half = len(longest) // 2
        dropped += len(longest) - half
        del longest[half:]
    return smaller | {"left_out": f"{dropped} items are {_CUT}"}


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _lists(value: Any) -> Iterator[list[Any]]:
    """All lists of dicts inside."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        if items and isinstance(items[0], dict):
            yield items
    else:
        items = list(cast(dict[str, Any], value).values()) if isinstance(value, dict) else []
    for item in items:
        yield from _lists(item)


def _mask_ids(value: Any) -> Iterator[str]:
    """Ids of the masks that a result tells of, in its order."""
    if isinstance(value, dict):
        known = cast(dict[str, Any], value)
        if "object_score" in known:
            yield str(known["id"])
        for item in known.values():
            yield from _mask_ids(item)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _mask_ids(item)


def _link(mask_id: str) -> ResourceLink:
    return ResourceLink(
        type="resource_link", uri=f"sam3://masks/{mask_id}.png", name=f"mask {mask_id}", mime_type="image/png"
    )


def to_error(message: str) -> CallToolResult:
    """An error result: the message, cut at 2000 characters, is an instruction to the model that called."""
    return CallToolResult(content=[TextContent(type="text", text=message[:_LONGEST_ERROR])], is_error=True)


def _send(picture: "Picture", budget: int, side: int) -> tuple[dict[str, Any], ImageContent]:
    from PIL import Image

    from sam3_agent.render import Picture, encode_picture

    image = picture.image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)  # never enlarges
    data, mime_type = encode_picture(Picture(image, picture.caption, picture.scale), budget)
    with Image.open(io.BytesIO(data)) as sent:
        width, height = sent.size
    note: dict[str, Any] = {"caption": picture.caption, "width": width, "height": height}
    if width != picture.image.width:
        # The caption was written for the larger one, so its conversion no longer holds.
        scale = picture.scale * width / picture.image.width
        note["note"] = f"this picture was shrunk to {width}x{height}; its scale is {scale:.4g}, not the caption's"
    return note, ImageContent(type="image", data=base64.b64encode(data).decode("ascii"), mime_type=mime_type)


def _withhold(picture: "Picture", why: str) -> tuple[dict[str, Any], None]:
    return {"caption": picture.caption, "note": f"the picture is not sent: {why}"}, None
