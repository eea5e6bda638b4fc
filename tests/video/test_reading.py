"""Frames of video files: exact by index, whatever the codec, the clock, the order or the end of the file."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_agent.errors import InputError
from sam3_agent.video import Decoder, VideoLimits, open_video
from tests.video.conftest import SIZE, TINTS, Make, number_of, numbered

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "H.264": ("a.mp4", {}),
    "H.264 with open groups": ("a.mkv", {"options": {"x264-params": "open-gop=1:bframes=3"}}),
    "H.264 stream": ("a.ts", {}),
    "H.264 bytes": ("a.h264", {}),
    "HEVC": ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    "AV1": ("a.webm", {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lookahead=0"}}),
    "VP9": (
        "a.webm",
        {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    ),
    "VP8": ("a.webm", {"codec": "libvpx", "options": {"cpu-used": "8"}}),
    "MPEG-4": ("a.avi", {"codec": "mpeg4"}),
    "MPEG-4 with B frames": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    "MJPEG": ("a.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
}
DECODERS: tuple[Decoder, ...] = ("pyav", "opencv")


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_the_one_asked_for(kind: str, decoder: Decoder, make: Make) -> None:
    name, how = KINDS[kind]
    if (kind, decoder) == ("AV1", "opencv"):
        pytest.skip("OpenCV's wheels decode AV1 by hardware only")
    video = open_video(make(name, **how), decoder=decoder)
    assert (video.info.frames, video.info.width, video.info.height) == (30, *SIZE)
    assert video.info.warnings == () or "no usable times" in video.info.warnings[0]
    assert [number_of(frame.image) for frame in video.frames()] == list(range(30))
    assert [number_of(video.frame(index).image) for index in (29, 0, 17, 11, 10, 9)] == [29, 0, 17, 11, 10, 9]
    assert [number_of(frame.image) for frame in video.frames(range(3, 30, 8))] == [3, 11, 19, 27]
    backwards = list(video.frames(range(22, 7, -1)))
    assert [frame.index for frame in backwards] == list(range(22, 7, -1))
    assert [number_of(frame.image) for frame in backwards] == list(range(22, 7, -1))
    assert not any(frame.damaged for frame in backwards)


@pytest.mark.parametrize("decoder", DECODERS)
def test_times_are_those_of_the_container(decoder: Decoder, make: Make) -> None:
    pts = [90_000 * seconds // 1000 for seconds in (500, 540, 560, 900, 1900, 1910, 2500)]
    video = open_video(make("variable.mp4", pts=pts), decoder=decoder)
    assert video.info.times == pytest.approx([0.0, 0.04, 0.06, 0.4, 1.4, 1.41, 2.0], abs=1e-4)
    assert video.info.is_variable
    assert video.info.fps == pytest.approx(3.0, abs=1e-3)
    assert [number_of(frame.image) for frame in video.frames()] == list(range(7))
    assert [number_of(video.frame(index).image) for index in (6, 3, 5)] == [6, 3, 5]
    assert [video.index_at(seconds) for seconds in (-1.0, 0.0, 0.39, 0.4, 1.405, 9.0)] == [0, 0, 2, 3, 4, 6]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(rotation: int, decoder: Decoder, make: Make) -> None:
    plain = open_video(make("upright.mp4")).frame(5).image
    video = open_video(make("turned.mp4", rotation=rotation), decoder=decoder)
    image = video.frame(5).image
    assert image.shape == (video.info.height, video.info.width, 3)
    assert video.info.rotation == rotation
    assert np.array_equal(image, np.rot90(plain, rotation // 90))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts", "cut.avi"])
def test_a_file_that_is_cut_off_keeps_its_good_frames_and_says_so(name: str, decoder: Decoder, make: Make) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    container = {"movflags": "+faststart"} if name.endswith("mp4") else None
    path = make(name, codec=codec, frames=90, gop=30, container=container, options={"bf": "0"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    video = open_video(path, decoder=decoder)
    assert 20 < video.info.frames < 75
    frames = list(video.frames())
    assert [number_of(frame.image) for frame in frames[:-1]] == list(range(len(frames) - 1))  # the last may be half
    assert not any(frame.damaged for frame in frames[:-1])
    if name.endswith("mp4"):
        assert f"{video.info.frames} of 90 frames" in " ".join(video.info.warnings)


def test_damage_in_the_middle_shows_the_frame_before_it(make: Make) -> None:
    path = make("hole.mp4", frames=40, gop=1, options={"bf": "0"}, container={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[start : start + 1500] = bytes(1500)
    path.write_bytes(data)
    video = open_video(path)
    frames = list(video.frames())
    damaged = [frame.index for frame in frames if frame.damaged]
    assert len(frames) == 40
    assert damaged
    for frame in frames:
        if not frame.damaged:
            assert frame.index in damaged or number_of(frame.image) == frame.index
        else:
            assert np.array_equal(frame.image, frames[frame.index - 1].image)


def test_frames_before_the_start_of_an_edit_list_are_not_shown(make: Make) -> None:
    """An MP4 whose first timestamp is not 0 has an edit list; times begin at 0 all the same."""
    video = open_video(make("late.mp4", pts=[90_000 * 3 + 3600 * index for index in range(12)]))
    assert video.info.frames == 12
    assert float(video.info.times[0]) == 0.0
    assert float(video.info.times[-1]) == pytest.approx(0.44)
    assert [number_of(frame.image) for frame in video.frames()] == list(range(12))


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"), [("a.mov", "qtrle", "argb"), ("b.webm", "libvpx-vp9", "yuva420p")]
)
def test_transparency_is_laid_on_white(name: str, codec: str, pixel_format: str, make: Make) -> None:
    layer = np.dstack((numbered(3), np.full(SIZE[::-1], 255, dtype=np.uint8)))
    layer[:, SIZE[0] // 2 :, 3] = 0
    video = open_video(make(name, codec=codec, pixel_format=pixel_format, frames=4, pictures=[layer] * 4))
    image = video.frame(2).image.astype(int)
    assert np.abs(image[-8:, -8:] - 255).max() < 12
    assert np.abs(image[-8:, :8] - TINTS[0]).max() < 20


@pytest.mark.parametrize("decoder", DECODERS)
def test_odd_sizes_are_read_as_they_are(decoder: Decoder, make: Make) -> None:
    path = make("odd.webm", codec="libvpx-vp9", size=(133, 71), frames=5, options={"cpu-used": "8"})
    video = open_video(path, decoder=decoder)
    assert (video.info.width, video.info.height) == (133, 71)
    assert [number_of(frame.image) for frame in video.frames()] == list(range(5))


def test_colors_survive(make: Make) -> None:
    for decoder in DECODERS:
        image = open_video(make("tints.mp4"), decoder=decoder).frame(0).image.astype(int)
        for place, tint in enumerate(TINTS):
            assert np.abs(image[-16, SIZE[0] * (2 * place + 1) // 6] - tint).max() < 10


def test_nothing_is_held_but_the_frames_in_flight(make: Make) -> None:
    video = open_video(make("large.mp4", size=(640, 360), frames=120))
    tracemalloc.start()
    try:
        shown = sum(1 for _ in video.frames())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shown == 120
    assert peak < 8 * 640 * 360 * 3


def test_a_video_may_be_read_from_several_places_at_once(make: Make) -> None:
    video = open_video(make("shared.mp4"))
    pairs = zip(video.frames(range(0, 20)), video.frames(range(10, 30)), strict=True)
    assert [(number_of(one.image), number_of(two.image)) for one, two in pairs] == [(k, k + 10) for k in range(20)]


def test_threads_read_one_video_without_disturbing_each_other(make: Make) -> None:
    video = open_video(make("threads.mp4"))
    indices = np.random.default_rng(0).permutation(30).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert [number_of(frame.image) for frame in pool.map(video.frame, indices)] == indices


def test_nobody_can_change_the_times(make: Make) -> None:
    video = open_video(make("fixed.mp4", frames=3))
    with pytest.raises(ValueError, match="read-only"):
        video.info.times[0] = 1.0


@pytest.mark.parametrize("name", ["01_dog", "04_coffee", "bedroom"])
def test_both_decoders_give_the_same_pixels_of_real_clips(name: str, shared_data: Path) -> None:
    path = shared_data / "sam2_videos" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the public data folder")
    one, two = (open_video(path, decoder=decoder) for decoder in DECODERS)
    assert one.info.times == pytest.approx(two.info.times, abs=1e-6)
    for frame, other in zip(one.frames(range(0, 60, 20)), two.frames(range(0, 60, 20)), strict=True):
        assert np.array_equal(frame.image, other.image)


def test_a_frame_beyond_the_end_is_refused(make: Make) -> None:
    video = open_video(make("short.mp4", frames=6))
    for index in (6, -1):
        with pytest.raises(InputError, match=rf"no frame {index} .* 0-5"):
            video.frame(index)
    assert list(video.frames(())) == []


@pytest.mark.parametrize("decoder", DECODERS)
def test_limits_are_checked_before_frames_are_read(decoder: Decoder, make: Make) -> None:
    path = make("limited.mp4")
    with pytest.raises(InputError, match="128x64"):
        open_video(path, decoder=decoder, limits=VideoLimits(max_pixels=8000))
    with pytest.raises(InputError, match="more than 20 frames"):
        open_video(path, decoder=decoder, limits=VideoLimits(max_frames=20))


def test_a_file_that_changes_or_goes_is_noticed(make: Make) -> None:
    path = make("gone.mp4")
    video = open_video(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="has changed"):
        video.frame(0)
    path.unlink()
    with pytest.raises(InputError, match="is gone"):
        video.frame(0)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello, world\n" * 50, "not a video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(400), "cannot be read as a video"),
    ],
)
def test_what_is_no_video_is_refused(
    content: bytes, reason: str, decoder: Decoder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        open_video(path, decoder=decoder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "path is empty"),
        ("no/such/video.mp4", "no such file"),
        ("https://example.org/a.mp4", "download it first"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(source: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_video(source)


def test_a_sound_file_has_no_video_in_it(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48_000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="flt", layout="mono")
        sound.sample_rate = 48_000
        output.mux(stream.encode(sound.reformat() if hasattr(sound, "reformat") else sound))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video in it"):
        open_video(path)
