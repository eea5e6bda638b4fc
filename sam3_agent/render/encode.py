"""A picture as a file small enough for any host."""

import io

from PIL import Image

from sam3_agent.render.picture import Picture

MAX_BYTES = 300_000
_STEPS = ((92, 0), (85, 0), (75, 0), (65, 2), (50, 2), (35, 2))
"""JPEG quality and chroma subsampling; full chroma first, because colored edges are what a reader looks at."""


def encode_picture(picture: Picture, max_bytes: int = MAX_BYTES) -> tuple[bytes, str]:
    """JPEG bytes of at most `max_bytes` with their MIME type.

    Quality falls before size does: only a picture that stays too big at the lowest quality is made smaller, and then
    the scale in its caption no longer holds.
    """
    image = picture.image.convert("RGB")
    while True:
        data = b""
        for quality, subsampling in _STEPS:
            data = _jpeg(image, quality, subsampling)
            if len(data) <= max_bytes:
                return data, "image/jpeg"
        if max(image.size) <= 64:
            return data, "image/jpeg"
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS)


def _jpeg(image: Image.Image, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()
