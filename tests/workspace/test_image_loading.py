"""Every kind of picture is read, every kind of rubbish is refused in one clear line."""

import base64
import io
import os
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.image_loading import MAX_PIXELS, read_source
from tests.fixtures_workspace import encoded, fake_segmenter, picture


def read(source: object) -> NDArray[np.uint8]:
    return read_source(source)[0]  # pyright: ignore[reportArgumentType]


def refusal(source: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_a_path_a_url_of_a_file_a_data_uri_bytes_pil_and_arrays_give_the_same_pixels(tmp_path: Path) -> None:
    pixels = picture()
    data = encoded(Image.fromarray(pixels))
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    sources = [str(path), path, path.as_uri(), uri, data, Image.fromarray(pixels), pixels]
    assert all(np.array_equal(read(source), pixels) for source in sources)


def test_the_name_of_a_source_says_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(encoded(Image.new("RGB", (3, 2))))
    assert read_source(path)[1] == str(path)
    assert read_source(path.read_bytes())[1] == "bytes"
    assert read_source(np.zeros((2, 3, 3), np.uint8))[1] == "array"


def test_the_array_is_copied() -> None:
    pixels = picture()
    copy = read(pixels)
    pixels[:] = 0
    assert copy.any()


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    assert read(encoded(Image.new("RGB", (1, 1), "red"))).tolist() == [[[255, 0, 0]]]


def test_a_wrong_path_is_named() -> None:
    assert refusal("nowhere/cat.png") == "no such file: 'nowhere/cat.png'"


def test_a_directory_is_named(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_a_device_is_no_picture() -> None:
    assert "not a regular file" in refusal(os.devnull)


def test_an_unreadable_path_is_one_line() -> None:
    assert "cannot read" in refusal("x" * 5000) or "no such file" in refusal("x" * 5000)
    assert refusal("a\0b.png")


def test_an_empty_path_asks_for_one() -> None:
    assert "path is empty" in refusal("  ")


def test_an_empty_file_has_0_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    assert refusal(path) == f"{str(path)!r} is empty (0 bytes)"
    assert "empty (0 bytes)" in refusal(b"")


def test_text_named_png_is_not_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("this is text")
    assert re.search(r"notes\.png' is not an image in a format that can be read", refusal(path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    data = encoded(Image.fromarray(picture()), kind)
    assert refusal(data[: len(data) // 2])


def test_web_addresses_are_to_be_downloaded_first() -> None:
    assert "download it first" in refusal("https://example.org/cat.jpg")


def test_a_broken_data_uri_says_what_is_wrong() -> None:
    assert "no ','" in refusal("data:image/png;base64")
    assert "not valid base64" in refusal("data:image/png;base64,@@@@")


def test_arrays_of_another_kind_are_refused_with_what_they_are() -> None:
    assert "float64 (2, 2, 3)" in refusal(np.zeros((2, 2, 3)))
    assert "shape (3, 2, 2)" in refusal(np.zeros((3, 2, 2), np.uint8))
    assert "no pixels" in refusal(np.zeros((0, 4, 3), np.uint8))


def test_grey_arrays_become_rgb() -> None:
    assert read(np.full((2, 3), 7, np.uint8)).shape == (2, 3, 3)


def test_sixteen_bits_are_scaled_from_their_full_range() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = read(encoded(Image.fromarray(ramp)))
    assert np.array_equal(pixels[:, :, 0].ravel(), np.arange(256))


def test_floats_are_scaled_from_0_to_1() -> None:
    ramp = np.linspace(0, 1, 256).astype(np.float32).reshape(16, 16)
    assert np.array_equal(read(encoded(Image.fromarray(ramp), "TIFF"))[:, :, 1].ravel(), np.arange(256))


def test_transparency_lies_on_white() -> None:
    layer = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    layer.putpixel((1, 0), (0, 0, 0, 0))
    assert read(encoded(layer)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_a_palette_with_a_transparent_entry_lies_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 255, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    assert read(encoded(palette, transparency=1)).tolist() == [[[0, 0, 255], [255, 255, 255]]]


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("P", "GIF"), ("LA", "PNG")])
def test_other_color_modes_become_rgb(mode: str, kind: str) -> None:
    image = Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).convert(mode)
    pixels = read(encoded(image, kind))
    assert pixels.shape == (8, 8, 3)
    assert pixels.min() > 250


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (4, 2), "white")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = read(encoded(image, exif=exif.tobytes()))
    assert pixels.shape == (4, 2, 3)
    assert pixels[0, 1].tolist() == [255, 0, 0]


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    assert read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0].tolist() == [255, 0, 0]


def test_a_picture_of_100_megapixels_is_read_without_a_warning() -> None:
    assert read(encoded(Image.new("1", (10_000, 10_000)), "BMP")).shape == (10_000, 10_000, 3)


def test_more_than_the_limit_is_refused_by_its_header() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    message = refusal(encoded(Image.new("1", (side, side)), "BMP"))
    assert "the limit is 200" in message


def test_the_global_limit_of_pillow_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    refusal(b"no picture")
    assert before == Image.MAX_IMAGE_PIXELS


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_a_damaged_file_is_read_or_refused_but_never_raises_anything_else(
    kind: str, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(encoded(Image.fromarray(picture()[:40, :40]), kind))
    for place, value in damage:
        data[int(place * (len(data) - 1))] = value
    try:
        pixels = read(bytes(data))
    except InputError:
        refusal(bytes(data))
    else:
        assert pixels.ndim == 3


def test_a_picture_that_cannot_be_read_leaves_nothing_behind() -> None:
    workspace = Workspace(fake_segmenter())
    with pytest.raises(InputError):
        workspace.open(b"rubbish")
    assert workspace.images() == []
    assert workspace.encodes == 0


def test_real_photographs_open(shared_data: Path) -> None:
    for path in sorted((shared_data / "skimage_photos").glob("*.[jp][pn]g")):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert read(path).shape[:2] == (image.height, image.width)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sensors_of_any_depth_fill_the_range(bits: int) -> None:
    top = 2**bits - 1
    grey = np.array([[0, top]], dtype=np.uint16).repeat(2, axis=0)
    assert read(encoded(Image.fromarray(grey)))[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    color = np.stack([grey, grey // 2, np.zeros_like(grey)], axis=2)
    for kind in (".png", ".tiff"):
        pixels = read(bytes(cv2.imencode(kind, color[:, :, ::-1])[1]))
        assert pixels[0, 0].tolist() == [0, 0, 0]
        assert np.abs(pixels[0, 1].astype(int) - [255, 127, 0]).max() <= 1


def test_deep_colors_are_turned_by_their_exif() -> None:
    color = np.zeros((2, 3, 3), np.uint16)
    color[0, 0] = (65535, 0, 0)
    data = bytes(cv2.imencode(".png", color[:, :, ::-1])[1])
    with Image.open(io.BytesIO(data)) as opened:
        exif = opened.getexif()
        exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes()[6:]
    framed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    pixels = read(data[:33] + framed + data[33:])  # behind the header
    assert pixels.shape == (3, 2, 3)
    assert pixels[0, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_may_be_zero(dtype: type) -> None:
    top = np.iinfo(dtype).max
    data = encoded(Image.fromarray(np.array([[0, top]], dtype=dtype)), "TIFF")
    black_is_zero = struct.pack("<HHII", 262, 3, 1, 1)
    assert data.count(black_is_zero) == 1
    data = data.replace(black_is_zero, struct.pack("<HHII", 262, 3, 1, 0))
    assert read(data)[0].tolist() == [[255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image: save it as JPEG or PNG, or install"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n", "a JPEG XL image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><svg>", "an SVG drawing"),
        (b"II\x2b\0", "a BigTIFF"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    ],
)
def test_files_of_other_kinds_are_named(head: bytes, words: str) -> None:
    assert words in refusal(head + bytes(200))


def test_a_tiff_of_other_bands_is_named_by_them() -> None:
    bands = np.zeros((4, 5, 4), np.uint16)
    data = encoded(Image.fromarray(np.zeros((4, 5), np.uint16)), "TIFF")
    assert read(data).shape == (4, 5, 3)
    out = io.BytesIO()
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    ifd.tagtype[258] = 3
    for tag, value in (
        (256, 5),
        (257, 4),
        (258, (16,) * 4),
        (259, 1),
        (262, 1),
        (273, 400),
        (277, 4),
        (278, 4),
        (279, 160),
    ):
        ifd[tag] = value
    out.write(b"II\x2a\0\x08\0\0\0")
    out.write(ifd.tobytes(8))
    out.write(bytes(400 - out.tell()) + bands.tobytes())
    assert "a TIFF of 4 bands of 16 bits, which is not read" in refusal(out.getvalue())


def test_open_files_are_read_and_other_things_named(tmp_path: Path) -> None:
    pixels = picture()
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    with (tmp_path / "a.png").open("rb") as file:
        assert np.array_equal(read(file), pixels)
    assert np.array_equal(read(bytearray(encoded(Image.fromarray(pixels)))), pixels)
    for other in (io.StringIO("x"), 5, None, [1], {}):
        assert f"cannot open a {type(other).__name__} as an image: give a path" in refusal(other)
    closed = io.BytesIO()
    closed.close()
    assert "cannot read the given file" in refusal(closed)


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (300, 2), (2, 300), (16, 16), (3, 200)])
def test_thin_and_small_images_give_answers(size: tuple[int, int]) -> None:
    logits = np.full((72, 72), -1.0, np.float32)
    logits[10:12, 40:42] = 1.0  # a speck between the places that a short side samples
    mask = masks.decode(to_rle(logits, *size))
    assert mask.shape == size


def test_a_buffer_that_was_just_written_says_that_it_stands_at_its_end() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3)).save(buffer, "PNG")
    with pytest.raises(InputError, match=r"stands at its end: call seek\(0\)"):
        read_source(buffer)
    buffer.seek(0)
    assert read_source(buffer)[0].shape == (3, 4, 3)
