"""Kinds of files by their first bytes, for files that are not read: what each is, and what to do with it."""

import io
import struct

from PIL import TiffImagePlugin

_SAVE = "save it as JPEG or PNG"
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\x0a", f"a JPEG XL image, which is not read: {_SAVE}"),
    (0, b"\x00\x00\x00\x0cJXL ", f"a JPEG XL image, which is not read: {_SAVE}"),
    (0, b"%PDF", f"a PDF document: {_SAVE} page by page"),
    (0, b"8BPS", f"a Photoshop document: {_SAVE}"),
    (0, b"v/1\x01", f"an OpenEXR image, which is not read: {_SAVE}"),
    (0, b"#?RADIANCE", f"a Radiance HDR image, which is not read: {_SAVE}"),
    (0, b"II\x2b\x00", f"a BigTIFF, which is not read: {_SAVE} or plain TIFF"),
    (0, b"MM\x00\x2b", f"a BigTIFF, which is not read: {_SAVE} or plain TIFF"),
    (0, b"\x93NUMPY", "a NumPy array: load it and pass the array, uint8 (H, W, 3)"),
    (0, b"\x89HDF", f"an HDF5 file: {_SAVE}"),
    (0, b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska, WebM): take a frame of it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image: fetch it with 'git lfs pull'"),
    (8, b"AVI ", "a video (AVI): take a frame of it"),
    (128, b"DICM", f"a DICOM file, which is not read: {_SAVE}"),
)  # fmt: skip
"""Offset, bytes there, and what such a file is."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_VIDEO = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"qt  ",
    b"M4V ",
    b"avc1",
    b"dash",
    b"3gp4",
    b"3gp5",
)
_TEXT = ((b"<svg", f"an SVG drawing, which has no pixels: {_SAVE}"), (b"<!doctype html", "a web page, not an image"))
_HEAD = 400
_MOST_BANDS = 1000


def is_heic(data: bytes) -> bool:
    """Tell whether the data is an HEIC or HEIF image, as iPhones write them."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC and not any(data[i : i + 4] in _AVIF for i in range(8, 40, 4))


def kind_of(data: bytes) -> str | None:
    """Describe a file that cannot be read as an image; None where nothing is known of it."""
    if is_heic(data):
        return f"a HEIC image: {_SAVE}, or install the extra that reads it: pip install 'sam3-agent[heif]'"
    if data[4:8] == b"ftyp" and data[8:12] in (*_AVIF, *_HEIC):
        return f"an AVIF image, which this build of Pillow does not read: {_SAVE}"
    if data[4:8] == b"ftyp" and data[8:12] in _VIDEO:
        return "a video (MP4, MOV): take a frame of it"
    for offset, mark, words in _KINDS:
        if data[offset : offset + len(mark)] == mark:
            return words
    head = data[:_HEAD].lower()
    return next((words for mark, words in _TEXT if mark in head), None) or tiff_kind(data)


def tiff_kind(data: bytes) -> str | None:
    """Describe the bands of a TIFF, such as "a TIFF of 4 bands of 16 bits"; None where it is none."""
    if data[:4] not in (b"II\x2a\x00", b"MM\x00\x2a"):
        return None
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        bands = int(directory.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
        depths = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        bits = "/".join(str(value) for value in dict.fromkeys(depths[:_MOST_BANDS]))
        kind = {2: " (signed)", 3: " (floating point)"}.get(
            int(directory.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]), ""
        )
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return "a TIFF with a damaged directory"
    counted = f"{bands} {'band' if bands == 1 else 'bands'} of {bits} bits{kind}"
    return f"a TIFF of {counted}, which is not read: {_SAVE} of 8 bits"
