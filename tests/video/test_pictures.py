"""Videos that are pictures: folders, animated images, arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.video import VideoLimits, open_video
from tests.video.conftest import number_of, numbered


def _folder(folder: Path, numbers: list[int], suffix: str = "png") -> Path:
    folder.mkdir()
    for number in numbers:
        Image.fromarray(numbered(number)).save(folder / f"{number}.{suffix}")
    return folder


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_a_folder_is_read_in_natural_order(suffix: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", [1, 2, 3, 9, 10, 11, 100], suffix)
    (folder / "notes.txt").write_text("no frame")
    (folder / ".hidden.png").write_bytes(b"no frame")
    video = open_video(folder, fps=5.0)
    assert video.info.names == tuple(f"{number}.{suffix}" for number in (1, 2, 3, 9, 10, 11, 100))
    assert [number_of(frame.image) for frame in video.frames()] == [1, 2, 3, 9, 10, 11, 100]
    assert [number_of(frame.image) for frame in video.frames((6, 0, 4))] == [100, 1, 10]
    assert video.info.times == pytest.approx(np.arange(7) / 5.0)
    assert video.info.warnings == ()


def test_a_folder_without_a_rate_says_which_is_assumed(tmp_path: Path) -> None:
    info = open_video(_folder(tmp_path / "frames", [0, 1])).info
    assert info.fps == 25.0
    assert "25 frames a second are assumed" in info.warnings[0]


def test_files_in_a_list_keep_their_order(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", [0, 1, 2])
    video = open_video([folder / "2.png", folder / "0.png"])
    assert [number_of(frame.image) for frame in video.frames()] == [2, 0]
    with pytest.raises(InputError, match=r"no such file: .*7\.png"):
        open_video([folder / "7.png"])
    with pytest.raises(InputError, match="list of frames is empty"):
        open_video([])


def test_frames_of_different_sizes_are_refused_by_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", [0, 1, 2])
    Image.new("RGB", (60, 40)).save(folder / "1.png")
    with pytest.raises(InputError, match=r"1\.png' is 60x40 but '0\.png' is 128x64"):
        open_video(folder)


def test_a_folder_without_images_and_a_false_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image in it"):
        open_video(tmp_path)
    (tmp_path / "0.png").write_text("hello")
    with pytest.raises(InputError, match=r"0\.png' is no image"):
        open_video(tmp_path)


def test_a_damaged_image_shows_the_one_before_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", [0, 1, 2, 3])
    for number in (0, 2):
        path = folder / f"{number}.png"
        path.write_bytes(path.read_bytes()[:80])
    frames = list(open_video(folder).frames())
    assert [number_of(frame.image) for frame in frames] == [1, 1, 1, 3]
    assert [frame.damaged for frame in frames] == [True, False, True, False]


def test_orientation_and_transparency_are_those_of_images(tmp_path: Path) -> None:
    layer = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    layer.paste((0, 0, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    layer.save(tmp_path / "0.png", exif=exif)
    video = open_video(tmp_path)
    assert (video.info.width, video.info.height) == (20, 40)
    image = video.frame(0).image
    assert image[5, 5].tolist() == [255, 255, 255]
    assert image[35, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animated_image_is_a_video_with_its_own_times(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(numbered(number)) for number in range(6)]
    steps = [40, 40, 200, 500, 40, 1000]
    how: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=steps, loop=0, **how)
    video = open_video(tmp_path / name)
    assert video.info.times == pytest.approx([0.0, 0.04, 0.08, 0.28, 0.78, 0.82])
    assert video.info.is_variable
    assert [number_of(frame.image) for frame in video.frames()] == list(range(6))
    assert [number_of(video.frame(index).image) for index in (5, 1, 3)] == [5, 1, 3]


def test_a_gif_that_says_no_time_is_shown_as_browsers_do(tmp_path: Path) -> None:
    frames = [Image.fromarray(numbered(number)) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=0)
    assert open_video(tmp_path / "a.gif").info.times == pytest.approx([0.0, 0.1, 0.2])


def test_transparent_frames_of_an_animation_are_laid_on_white(tmp_path: Path) -> None:
    layers = [Image.new("RGBA", (32, 32), (0, 0, 200, 0)) for _ in range(3)]
    for place, layer in enumerate(layers):
        layer.paste((200, 0, 0, 255), (10 * place, 0, 10 * place + 10, 32))
    layers[0].save(tmp_path / "a.webp", save_all=True, append_images=layers[1:], duration=100, lossless=True)
    image = open_video(tmp_path / "a.webp").frame(1).image
    assert image[16, 15].tolist() == [200, 0, 0]
    assert image[16, 30].tolist() == [255, 255, 255]


def test_an_animation_that_is_cut_off_keeps_its_good_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(8)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video = open_video(path)
    assert 2 <= video.info.frames <= 5
    assert len(list(video.frames())) == video.info.frames


def test_a_still_picture_is_no_video(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.bmp"):
        Image.fromarray(numbered(1)).save(tmp_path / name)
        with pytest.raises(InputError, match="open it as an image"):
            open_video(tmp_path / name)


def test_an_array_is_a_video() -> None:
    frames = np.stack([numbered(number) for number in range(4)])
    video = open_video(frames, fps=10.0)
    shown = list(video.frames())
    assert [number_of(frame.image) for frame in shown] == [0, 1, 2, 3]
    shown[0].image[:] = 7
    assert number_of(video.frame(0).image) == 0
    with pytest.raises(InputError, match="uint8 RGB"):
        open_video(frames.astype(np.float32))


def test_limits_hold_for_folders_and_arrays(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", [0, 1, 2])
    with pytest.raises(InputError, match="more than 2 frames"):
        open_video(folder, limits=VideoLimits(max_frames=2))
    with pytest.raises(InputError, match="128x64"):
        open_video(folder, limits=VideoLimits(max_pixels=100))
    with pytest.raises(InputError, match="more than 2 frames"):
        open_video(np.zeros((3, 8, 8, 3), dtype=np.uint8), limits=VideoLimits(max_frames=2))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), 5000.0])
def test_a_rate_that_cannot_be_is_refused(fps: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fps above 0"):
        open_video(_folder(tmp_path / "frames", [0]), fps=fps)
