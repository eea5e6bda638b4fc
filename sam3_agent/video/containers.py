"""Kind of a file by its first bytes, so that nothing is given to a decoder but what is a container of video.

Playlists (HLS, DASH, ffconcat, SDP) are not: they make a decoder fetch other files and addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sam3_agent.errors import InputError

Kind = Literal["container", "image"]

SUFFIXES = (
    ".mp4", ".webm", ".mov", ".mkv", ".m4v", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".ogv", ".wmv",
    ".3gp", ".mxf", ".y4m",
)  # fmt: skip
"""Names that video files have."""

BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
"""Boxes that an ISO base media file (MP4, MOV, 3GP) may begin with."""
STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"OggS",
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x00\x00\x01\xb0",  # MPEG-4 video
    b"\x00\x00\x00\x01",  # H.264, HEVC byte stream
    b"\x00\x00\x01\x67",
    b"\x12\x00\x0a",  # AV1 bit stream
    b"DKIF",  # IVF
    b"YUV4MPEG2",
    b"\x06\x0e\x2b\x34",  # MXF
    b"nut/multimedia container",
    b".RMF",
)
STILLS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
HEAD = 4096
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,ogg,asf,mxf,nut,"
    "yuv4mpegpipe,rm"
)
"""FFmpeg's names of what may be opened (its option format_whitelist)."""


def kind_of(path: Path) -> Kind:
    """Tell a container of video from an image, which may be an animation.

    Raises:
        InputError: it is neither, or it cannot be read.
    """
    shown = repr(str(path))
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror or error}") from error
    if not head:
        raise InputError(f"{shown} is empty (0 bytes)")
    if head.startswith(STILLS) or head[8:12] == b"WEBP" or head[4:12] in (b"ftypavif", b"ftypavis", b"ftypheic"):
        return "image"
    if head.startswith(STARTS) or head[4:8] in BOXES or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "container"
    if any(_is_transport(head, step, offset) for step, offset in ((188, 0), (192, 4))):
        return "container"
    raise InputError(
        f"{shown} is not a video in a format that can be read (MP4, MOV, WebM, MKV, AVI, MPEG, GIF, ...), nor a folder"
        " of images"
    )


def _is_transport(head: bytes, step: int, offset: int) -> bool:
    """Tell whether `head` has the sync byte of an MPEG transport stream at every packet (M2TS: 4 more)."""
    return len(head) > 3 * step and all(head[place] == 0x47 for place in range(offset, len(head), step))
