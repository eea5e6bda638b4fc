"""A page of its own that shows an image with its masks in any browser."""

import base64
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from sam3_agent.render.encode import encode_picture
from sam3_agent.render.picture import Picture

_EMPTY = '<script type="application/json" id="document">null</script>'


def viewer_page(picture: Picture, masks: Sequence[dict[str, Any]]) -> str:
    """The page with a plain picture and its masks inside: each with "id", "score" and "mask" (RLE)."""
    data, mime = encode_picture(picture, 3_000_000)
    document = {"image": f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}", "masks": list(masks)}
    # In a script element "</" would end it.
    text = json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")
    page = resources.files("sam3_agent.render").joinpath("viewer.html").read_text(encoding="utf-8")
    return page.replace(_EMPTY, _EMPTY.replace("null", text, 1), 1)
