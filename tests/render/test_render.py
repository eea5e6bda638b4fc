"""Pictures are honest: about color, about scale, about what is a near miss."""

import io
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.render import STYLES, Mark, Picture, Style, draw_picture, encode_picture
from sam3_agent.render.draw import draw_labels
from sam3_agent.render.fill import draw_fills
from sam3_agent.render.outline import MARGIN, grow
from sam3_agent.render.view import View, patch_of, view_of
from tests.fixtures_workspace import BLUE, BLUE_CIRCLE, GREEN_SQUARE, RED, RED_CIRCLES, disc, make_workspace, picture


def mark(label: str, mask: NDArray[np.bool_], *, dashed: bool = False, faint: bool = False) -> Mark:
    rle = masks.encode(mask)
    return Mark(label, rle, masks.box(rle), dashed, faint)


def drawn(*marks: Mark, style: Style = "marks", **options: object) -> Picture:
    return draw_picture(picture(), marks, style=style, **options)  # pyright: ignore[reportArgumentType]


WHOLE = View((0, 0, 320, 200), 1.0, 320, 200)


def grown(mask: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    for _ in range(times):
        mask = grow(mask)
    return mask


def shown(result: Picture) -> NDArray[np.uint8]:
    """The drawn picture brought back to image size, one sample a pixel."""
    step = round(result.scale)
    return np.asarray(result.image)[step // 2 :: step, step // 2 :: step]


def test_outlines_leave_every_pixel_of_the_object_as_it_was() -> None:
    result = shown(drawn(mark("m1", BLUE_CIRCLE), mark("m2", GREEN_SQUARE), style="outline"))
    plain = shown(drawn(style="plain"))
    assert np.array_equal(result[BLUE_CIRCLE | GREEN_SQUARE], plain[BLUE_CIRCLE | GREEN_SQUARE])
    assert not np.array_equal(result, plain)


@pytest.mark.parametrize("ground", [0, 255, 128])
def test_an_outline_is_black_and_white_on_any_ground(ground: int) -> None:
    pixels = np.full((200, 320, 3), ground, np.uint8)
    result = np.asarray(draw_picture(pixels, [mark("m1", BLUE_CIRCLE)], style="outline").image)
    assert {0, 255} <= set(np.unique(result).tolist())


def test_a_near_miss_is_dashed_and_named_as_one() -> None:
    solid, dashed = mark("m1", BLUE_CIRCLE), mark("m1", BLUE_CIRCLE, dashed=True)
    changed = [
        (np.asarray(drawn(m, style="outline").image) != np.asarray(drawn(style="plain").image)).any(axis=2).sum()
        for m in (solid, dashed)
    ]
    assert 0.35 < changed[1] / changed[0] < 0.65
    assert "outlined: none; dashed (near misses): m1" in drawn(dashed).caption


def test_the_fill_style_says_that_its_colors_are_not_the_objects_own() -> None:
    result = drawn(mark("m1", BLUE_CIRCLE), style="fill")
    assert tuple(shown(result)[140, 150]) != BLUE
    assert "not the objects' own" in result.caption


def test_a_fill_is_smooth_and_ends_within_two_pixels_of_its_mask() -> None:
    steps = disc(200, 200, 120, 400, 400)[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)  # what enlarged masks look like
    pixels = np.full((400, 400, 3), 128, np.uint8)
    result = np.asarray(draw_picture(pixels, [mark("", steps)], style="fill").image).astype(int)
    changed = np.abs(result - 128).max(axis=2) > 0
    assert not changed[~grown(steps, 8)].any()
    assert changed[~grown(~steps, 2)].all()
    row = result[200 - 110, :200]  # crosses the edge where it is steep
    assert len(np.unique(row, axis=0)) > 8  # shades, not steps


def test_a_fill_leaves_the_objects_own_color_to_be_told_in_the_middle() -> None:
    large = disc(200, 200, 150, 400, 400)
    pixels = np.full((400, 400, 3), (240, 200, 0), np.uint8)
    red, green, blue = (
        int(v) for v in np.asarray(draw_picture(pixels, [mark("", large)], style="fill").image)[200, 200]
    )
    assert red > 180
    assert green > 140
    assert blue < 80


def test_fills_beside_each_other_have_different_colors() -> None:
    fills = draw_fills(np.full((200, 320, 3), 128, np.uint8), [mark(f"m{i}", BLUE_CIRCLE) for i in range(7)], WHOLE)
    assert len({fill.color for fill in fills}) == 7


def test_the_tag_of_a_fill_lies_on_its_object_where_there_is_room() -> None:
    (large,) = draw_fills(np.zeros((200, 320, 3), np.uint8), [mark("m1", BLUE_CIRCLE)], WHOLE)
    (small,) = draw_fills(np.zeros((200, 320, 3), np.uint8), [mark("m1", disc(100, 100, 9))], WHOLE)
    x, y = large.deepest
    assert BLUE_CIRCLE[y, x]
    assert large.fits((24, 14))
    assert not small.fits((24, 14))


@pytest.mark.parametrize("style", ["marks", "fill"])
def test_what_was_found_earlier_is_thin_and_has_no_label(style: Style) -> None:
    plain = np.asarray(drawn(style="plain").image)
    old, new = mark("m1", RED_CIRCLES[0], faint=True), mark("m2", RED_CIRCLES[0])
    changed = [int((np.asarray(drawn(m, style=style).image) != plain).any(axis=2).sum()) for m in (old, new)]
    assert 0 < changed[0] < 0.6 * changed[1]
    assert "m2; thin, without labels (found earlier): m1" in drawn(old, mark("m2", BLUE_CIRCLE), style=style).caption


def test_many_masks_without_labels_are_counted_in_the_caption() -> None:
    old = [mark(f"m{number}", RED_CIRCLES[0], faint=True) for number in range(2, 11)]
    caption = drawn(mark("m1", BLUE_CIRCLE), *old).caption
    assert "outlined: m1; thin, without labels (found earlier): 9 masks;" in caption


def test_a_faint_outline_leaves_every_pixel_of_the_object_as_it_was() -> None:
    result = shown(drawn(mark("m1", BLUE_CIRCLE, faint=True), style="marks"))
    assert np.array_equal(result[BLUE_CIRCLE], shown(drawn(style="plain"))[BLUE_CIRCLE])


def test_a_cutout_shows_only_the_masks_on_grey() -> None:
    result = drawn(mark("m1", RED_CIRCLES[0]), style="cutout", region=(0, 0, 320, 200))
    pixels = shown(result)
    assert tuple(pixels[50, 50]) == RED
    assert (pixels[~disc(50, 50, 33)] == 128).all()
    assert "cut out on grey: m1" in result.caption


def test_a_cutout_without_a_region_goes_close_to_its_masks() -> None:
    assert drawn(mark("m1", RED_CIRCLES[0]), style="cutout").image.size == (568, 568)  # 71 pixels, 8 times


def test_a_contact_sheet_has_a_cell_for_every_mask_and_fits() -> None:
    marks = [mark(f"m{i}", RED_CIRCLES[0]) for i in range(40)]
    result = drawn(*marks, style="contact_sheet")
    assert max(result.image.size) <= 1024
    assert "the first 36 of 40" in result.caption


@pytest.mark.parametrize("style", ["cutout", "contact_sheet"])
def test_styles_that_need_masks_say_so(style: Style) -> None:
    with pytest.raises(InputError, match="needs mask_ids"):
        drawn(style=style)


def test_an_unknown_style_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="marks, outline, fill, cutout, contact_sheet, grid, plain; got 'neon'"):
        drawn(style="neon")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (3000, 2), (2000, 1500)])
def test_every_style_draws_every_shape_of_image(style: Style, size: tuple[int, int]) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    result = draw_picture(pixels, [mark("m1", np.ones(size, dtype=bool)), mark("m2", np.eye(*size) > 0)], style=style)
    assert max(result.image.size) <= 1024
    assert min(result.image.size) >= 1


def test_an_empty_mask_is_left_out_of_a_picture() -> None:
    assert "outlined: m2;" in drawn(mark("m1", np.zeros((200, 320), dtype=bool)), mark("m2", BLUE_CIRCLE)).caption


def test_the_caption_says_how_to_turn_picture_pixels_into_image_pixels() -> None:
    large = np.zeros((1500, 4096, 3), np.uint8)
    assert "x 0-4096, y 0-1500 at scale 0.25 (image x = picture x / 0.25, " in draw_picture(large).caption
    zoomed = draw_picture(large, region=(100, 200, 200, 300))
    assert "at scale 7 (image x = picture x / 7 + 100, image y = picture y / 7 + 200)" in zoomed.caption
    assert zoomed.image.size == (700, 700)
    same = draw_picture(np.zeros((600, 900, 3), np.uint8))
    assert (same.scale, "picture pixels are image pixels" in same.caption) == (1, True)


def test_a_region_is_shown_at_full_resolution() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2000, 3000, 3), np.uint8)
    result = draw_picture(noise, region=(1000, 500, 2000, 1400))
    assert np.array_equal(np.asarray(result.image), noise[500:1400, 1000:2000])


def test_masks_outside_a_region_are_not_named() -> None:
    result = drawn(mark("m1", RED_CIRCLES[0]), mark("m2", GREEN_SQUARE), region=(200, 100, 320, 200))
    assert "outlined: m2;" in result.caption


def test_a_mask_thinner_than_a_picture_pixel_is_still_drawn() -> None:
    mask = np.zeros((3000, 4000), dtype=bool)
    mask[1501, 2001] = True
    view = view_of((0, 0, 4000, 3000), 1024)
    patch = patch_of(masks.encode(mask), view, MARGIN)
    assert patch is not None
    assert patch.box == (512, 384, 513, 385)


def test_a_label_hides_neither_a_small_object_nor_another_label() -> None:
    dots = [disc(100 + 40 * (i % 8), 100 + 40 * (i // 8), 6, 400, 500) for i in range(32)]
    view = View((0, 0, 500, 400), 1.0, 500, 400)
    patches = [patch_of(masks.encode(dot), view, MARGIN) for dot in dots]
    image = Image.new("RGB", (500, 400), (1, 2, 3))
    draw_labels(image, [(f"m{i + 1}", patch) for i, patch in enumerate(patches) if patch is not None])
    pixels = np.asarray(image)
    touched = [(pixels[dot] != (1, 2, 3)).any(axis=1).mean() for dot in dots]
    assert max(touched) < 0.25
    assert (pixels == 255).all(axis=2).sum() > 32 * 200  # as much white as 32 labels that do not overlap


def test_one_object_found_twice_has_one_label() -> None:
    workspace = make_workspace()
    workspace.segment("img1", ["circle", "red circle"])
    caption = workspace.look("img1").caption
    assert "outlined: m1=m5, m2=m6, m3;" in caption


def test_a_picture_becomes_a_jpeg_of_at_most_300_kilobytes() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8))
    data, kind = encode_picture(Picture(noise, "noise", 1.0))
    assert kind == "image/jpeg"
    assert len(data) <= 300_000
    flat, _ = encode_picture(drawn(mark("m1", BLUE_CIRCLE)))
    with Image.open(io.BytesIO(flat)) as image:
        assert np.abs(np.asarray(image)[280, 300].astype(int) - BLUE).max() < 12  # full chroma, high quality


def test_a_picture_is_drawn_when_it_is_first_looked_at_and_once() -> None:
    made: list[Image.Image] = []

    def draw() -> Image.Image:
        made.append(Image.new("RGB", (30, 20)))
        return made[-1]

    result = Picture(draw, "words", 1.0, (30, 20))
    assert (result.caption, result.size, made) == ("words", (30, 20), [])
    assert result.image is result.image
    assert len(made) == 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("region", [None, (100, 60, 300, 190)])
def test_a_pictures_size_is_known_before_it_is_drawn(style: Style, region: tuple[int, int, int, int] | None) -> None:
    marks = [mark(f"m{n}", mask) for n, mask in enumerate(RED_CIRCLES, 1)]
    result = drawn(*marks, style=style, region=region)
    assert result.size == result.image.size


def test_a_tiny_limit_makes_the_picture_smaller_rather_than_failing() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8))
    assert len(encode_picture(Picture(noise, "", 1.0), max_bytes=5_000)[0]) <= 5_000


def test_twenty_masks_on_a_4k_image_are_drawn_in_a_quarter_of_a_second() -> None:
    height, width = 2160, 3840
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
    marks: list[Mark] = []
    for index in range(20):
        radius, mask = int(rng.integers(30, 300)), np.zeros((height, width), dtype=bool)
        y, x = int(rng.integers(0, height - 600)), int(rng.integers(0, width - 600))
        mask[y : y + 2 * radius, x : x + 2 * radius] = disc(radius, radius, radius, 2 * radius, 2 * radius)
        marks.append(mark(f"m{index + 1}", mask, dashed=index % 4 == 0))
    seconds: list[float] = []
    for _ in range(5):
        began = time.process_time()  # of this process, so that a busy machine does not fail the test
        assert draw_picture(pixels, marks).image
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.25


def test_a_grid_names_coordinates_of_the_image_and_hides_little() -> None:
    pixels = np.full((400, 600, 3), 90, dtype=np.uint8)
    plain, grid = (draw_picture(pixels, style=style, longest=600) for style in ("plain", "grid"))
    assert "grid lines every 50 pixels of the image" in grid.caption
    drawn_on = (np.asarray(grid.image) != np.asarray(plain.image)).any(axis=2)
    assert drawn_on[50:, 100].all()
    assert drawn_on[200, 60:].all()
    assert not drawn_on[60:95, 110:145].any()
    assert drawn_on.mean() < 0.1


def test_a_grid_of_a_region_keeps_the_coordinates_of_the_whole_image() -> None:
    pixels = np.full((400, 600, 3), 90, dtype=np.uint8)
    part = draw_picture(pixels, style="grid", region=(130, 50, 330, 250), longest=600)
    assert "grid lines every 20 pixels of the image" in part.caption
    picture = np.asarray(part.image)
    x = round((200 - 130) * part.scale)
    assert set(map(tuple, picture[60:120, x].tolist())) == {(0, 0, 0), (255, 255, 255)}
