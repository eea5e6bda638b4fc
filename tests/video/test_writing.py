"""Videos that are written: what browsers play, every frame, the times, odd sides, and refusals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.video import open_video, write_video
from tests.video.conftest import SIZE, TINTS, number_of, numbered

KINDS = [("a.mp4", "h264"), ("a.mp4", "av1"), ("a.webm", "av1"), ("a.webm", "vp9"), ("a.mkv", "h264")]


def _numbered(count: int, size: tuple[int, int] = SIZE) -> Iterator[NDArray[np.uint8]]:
    return (numbered(index, size) for index in range(count))


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_every_frame_comes_back(name: str, codec: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    written = write_video(tmp_path / name, _numbered(30), fps=10.0, codec=codec)
    assert (written.frames, written.codec, written.padded) == (30, codec, (0, 0))
    assert capfd.readouterr() == ("", "")
    video = open_video(tmp_path / name)
    assert video.info.warnings == ()
    assert video.info.fps == pytest.approx(10.0, rel=0.01)
    assert [number_of(frame.image) for frame in video.frames()] == list(range(30))
    for place, tint in enumerate(TINTS):
        assert np.abs(video.frame(3).image[-16, SIZE[0] * (2 * place + 1) // 6].astype(int) - tint).max() < 14


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    written = write_video(str(tmp_path / "a.webm"), _numbered(3), fps=10.0)
    assert written.path == tmp_path / "a.webm"
    assert len(open_video(str(written.path))) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets an encoder change the scheduling")
def test_no_encoder_leaves_this_process_running_before_all_others(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    write_video(tmp_path / "a.webm", _numbered(30), fps=10.0, codec="av1")
    policies = [os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()]
    assert set(policies) == {before}


def test_what_is_written_is_what_browsers_play(tmp_path: Path) -> None:
    import av

    write_video(tmp_path / "a.mp4", _numbered(30), fps=10.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
        assert {int(frame.colorspace) for frame in frames} == {1}  # BT.709, said aloud
        assert [index for index, frame in enumerate(frames) if frame.key_frame] == [0, 10, 20]
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # begins to play before it is there whole


@pytest.mark.parametrize("size", [(129, 64), (128, 63), (131, 67), (65, 32)])
def test_odd_sides_are_padded_by_what_is_at_the_edge(size: tuple[int, int], tmp_path: Path) -> None:
    picture = numbered(5, size)
    written = write_video(tmp_path / "a.mp4", [picture] * 3)
    assert written.padded == (size[0] % 2, size[1] % 2)
    assert (written.width, written.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    image = open_video(tmp_path / "a.mp4").frame(1).image
    assert image.shape == (written.height, written.width, 3)
    padded = np.pad(picture, ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), "edge").astype(int)
    assert np.abs(image.astype(int) - padded).mean() < 8


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [3.0, 3.04, 3.5, 4.0, 7.25]
    write_video(tmp_path / "a.mp4", _numbered(5), times=times)
    video = open_video(tmp_path / "a.mp4")
    assert video.info.times == pytest.approx([time - 3.0 for time in times], abs=1e-4)
    assert [number_of(frame.image) for frame in video.frames()] == list(range(5))


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    asked: list[int] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        for index in range(40):
            asked.append(index)
            yield numbered(index)
            # an encoder looks ahead in what it was given; a list of all frames would have been exhausted before
            assert len(asked) == index + 1

    assert write_video(tmp_path / "a.mp4", frames()).frames == 40


def test_opencv_writes_vp9_and_says_what_it_cannot(tmp_path: Path) -> None:
    written = write_video(tmp_path / "a.webm", _numbered(20, (129, 63)), fps=10.0, encoder="opencv")
    assert (written.codec, written.frames, written.padded) == ("vp9", 20, (1, 1))
    for decoder in ("pyav", "opencv"):
        video = open_video(tmp_path / "a.webm", decoder=decoder)
        assert [number_of(frame.image) for frame in video.frames()] == list(range(20))
    for name, codec in (("a.mp4", "auto"), ("a.webm", "av1")):
        with pytest.raises(InputError, match=r"sam3-agent\[video\]"):
            write_video(tmp_path / name, _numbered(2), codec=codec, encoder="opencv")
    with pytest.raises(InputError, match="at one rate only"):
        write_video(tmp_path / "b.webm", _numbered(2), times=[0.0, 1.0], encoder="opencv")


@pytest.mark.parametrize(
    ("name", "how", "reason"),
    [
        ("a.avi", {}, r"cannot write codec auto into \.avi; these"),
        ("a.mp4", {"codec": "vp9"}, "cannot write codec vp9"),
        ("a.mp4", {"fps": 0.0}, "fps above 0"),
        ("a.mp4", {"times": [0.0, 0.1, 0.1]}, "frame 2 has 0.1 after 0.1"),
        ("a.mp4", {"times": [0.0, 0.1]}, "frame 2 has None after 0.1"),
        ("no/such/folder/a.mp4", {}, "cannot write"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, how: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        write_video(tmp_path / name, _numbered(3), **how)


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(InputError, match="no frames to write"):
        write_video(path, [])
    with pytest.raises(InputError, match="frame 1 is 64x128, the first was 128x64"):
        write_video(path, [numbered(0), np.zeros((128, 64, 3), dtype=np.uint8)])
    with pytest.raises(InputError, match="must be uint8 RGB"):
        write_video(path, [np.zeros((64, 64), dtype=np.uint8)])
