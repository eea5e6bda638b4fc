"""Pictures as JPEG files, each encoded once however often it is sent."""

import base64
import weakref

from sam3_agent.render import Picture, encode_picture

_DONE: dict[int, bytes] = {}
"""id of a living image -> its file; the entry goes when the image goes."""


def jpeg(picture: Picture) -> bytes:
    """The JPEG file of a picture, the same bytes at every call."""
    key = id(picture.image)
    data = _DONE.get(key)
    if data is None:
        data, _ = encode_picture(picture)
        weakref.finalize(picture.image, _DONE.pop, key, None).atexit = False
        _DONE[key] = data
    return data


def jpeg_base64(picture: Picture) -> str:
    """The JPEG file as base64 text."""
    return base64.b64encode(jpeg(picture)).decode("ascii")


def jpeg_url(picture: Picture) -> str:
    """The JPEG file as a data URL."""
    return f"data:image/jpeg;base64,{jpeg_base64(picture)}"
