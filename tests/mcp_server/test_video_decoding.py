"""Videos of strangers: opened and read in workers that are bounded, killed when they take too long, and shared."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.video_access import VideoAccess
from sam3_mcp.video_decoding import VideoDecoder, VideoPool, decode_video_here

from benchmarks.mcp.mutated_videos import FORMATS, FRAMES, SIDE, endless, huge, mutated, originals, renamed
from sam3_agent.errors import Busy, InputError
from sam3_agent.video import Video, VideoLimits


@pytest.fixture(scope="module")
def pool() -> Iterator[VideoPool]:
    made = VideoPool(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    return originals()


def opened(path: Path, decode: VideoDecoder, client: str = "ann") -> Video:
    files = PathAllowlist.of([path.parent])
    return VideoAccess(files, ImageAccess(files), limits=VideoLimits(10_000_000, 5000), decode=decode).read(
        str(path), client=client
    )


def written(folder: Path, ending: str, data: bytes) -> Path:
    path = folder / f"clip.{ending}"
    path.write_bytes(data)
    return path


def children() -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "video_worker" in line]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_worker_gives_the_facts_and_the_pixels_that_decoding_here_gives(
    tmp_path: Path, pool: VideoPool, sound: dict[str, bytes], ending: str
) -> None:
    path = written(tmp_path, ending, sound[ending])
    here, there = opened(path, decode_video_here), opened(path, pool)
    assert there.info.to_json() == here.info.to_json()
    assert there.info.name == str(path)
    assert np.array_equal(there.info.times, here.info.times)
    assert len(there) == FRAMES
    for wanted in (range(FRAMES), (3, 11, 20), (20, 3, 11), range(10, 0, -3)):
        pairs = list(zip(here.frames(wanted), there.frames(wanted), strict=True))
        assert [mine.index for _, mine in pairs] == list(wanted)
        assert all(np.array_equal(one.image, mine.image) for one, mine in pairs)
        assert all((one.time, one.damaged) == (mine.time, mine.damaged) for one, mine in pairs)


def test_harmful_files_are_one_line_each_and_the_next_one_is_read(
    tmp_path: Path, pool: VideoPool, sound: dict[str, bytes]
) -> None:
    mp4 = sound["mp4"]
    told: list[str] = []
    for data in (huge(mp4), endless(mp4), renamed(mp4), mp4[: len(mp4) // 8], b"\x00\x00\x00\x18ftypmp42", mp4[:40]):
        try:
            video = opened(written(tmp_path, "mp4", data), pool)
        except InputError as error:
            told.append(str(error))
        else:
            assert len(video) <= FRAMES
            assert video.info.width * video.info.height <= 10_000_000
    assert len(told) >= 3
    assert not [words for words in told if "\n" in words or "/proc" in words]
    assert len(opened(written(tmp_path, "mp4", mp4), pool)) == FRAMES


@pytest.mark.integration
def test_mutated_files_give_frames_or_one_line_and_never_end_the_pool(
    tmp_path: Path, pool: VideoPool, sound: dict[str, bytes]
) -> None:
    read, told = 0, list[str]()
    for number in range(3 * len(FORMATS)):
        ending, data = mutated(sound, number)
        try:
            video = opened(written(tmp_path, ending, data), pool)
            for frame in video.frames(range(0, len(video), max(1, len(video) // 4))):
                assert frame.image.shape == (video.info.height, video.info.width, 3)
            read += 1
        except InputError as error:
            told.append(str(error))
    assert read
    assert told
    assert not [words for words in told if "\n" in words]
    assert opened(written(tmp_path, "gif", sound["gif"]), pool).frame(5).image.shape == (SIDE[1], SIDE[0], 3)


@pytest.mark.integration
def test_a_reader_gives_its_worker_to_one_who_waits_and_goes_on_where_it_was(
    tmp_path: Path, sound: dict[str, bytes]
) -> None:
    path = written(tmp_path, "mp4", sound["mp4"])
    here, before = opened(path, decode_video_here), set(children())
    pool = VideoPool(1)
    try:
        first, second = opened(path, pool, "ann").frames(), opened(path, pool, "bob").frames(range(23, 0, -1))
        for index in range(4):
            assert np.array_equal(next(first).image, here.frame(index).image)
            assert np.array_equal(next(second).image, here.frame(23 - index).image)
        assert len(set(children()) - before) == 1
        assert [frame.index for frame in first] == list(range(4, FRAMES))
    finally:
        pool.close()


@pytest.mark.integration
def test_who_waits_in_vain_is_told_to_try_again(tmp_path: Path, sound: dict[str, bytes]) -> None:
    path = written(tmp_path, "mp4", sound["mp4"])
    pool = VideoPool(1, patience=0.0)
    try:
        frames = opened(path, pool, "ann").frames()
        next(frames)
        with pytest.raises(Busy, match="many videos are read just now"):
            opened(path, pool, "bob")
        assert [frame.index for frame in frames] == list(range(1, FRAMES))
        assert len(opened(path, pool, "bob")) == FRAMES
    finally:
        pool.close()


@pytest.mark.integration
def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path, sound: dict[str, bytes]) -> None:
    pool = VideoPool(1, opening=0.001)
    try:
        for _ in range(2):
            with pytest.raises(InputError, match="takes too long to decode"):
                opened(written(tmp_path, "webm", sound["webm"]), pool)
    finally:
        pool.close()


@pytest.mark.integration
def test_a_worker_that_is_killed_costs_one_reading_and_is_replaced(tmp_path: Path, sound: dict[str, bytes]) -> None:
    before = set(children())
    pool = VideoPool(1)
    try:
        video = opened(written(tmp_path, "mp4", sound["mp4"]), pool)
        frames = video.frames()
        next(frames)
        for child in set(children()) - before:
            os.kill(child, signal.SIGKILL)
        with pytest.raises(InputError, match="the decoder broke down"):
            list(frames)
        assert [frame.index for frame in video.frames()] == list(range(FRAMES))
    finally:
        pool.close()
    assert set(children()) <= before


@pytest.mark.integration
def test_a_file_that_changes_is_refused_by_its_name(tmp_path: Path, sound: dict[str, bytes]) -> None:
    path = written(tmp_path, "mp4", sound["mp4"])
    pool = VideoPool(1)
    try:
        video = opened(path, pool)
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(InputError, match="has changed since it was opened") as caught:
            video.frame(3)
        assert str(path) in str(caught.value)
    finally:
        pool.close()


@pytest.mark.integration
def test_a_video_that_needs_more_memory_than_allowed_is_refused_and_the_next_one_is_read(
    tmp_path: Path, sound: dict[str, bytes]
) -> None:
    large = tmp_path / "large.gif"
    first, second = (Image.new("P", (7000, 7000), color) for color in (1, 2))
    first.save(large, "GIF", save_all=True, append_images=[second])
    pool = VideoPool(1, memory=700 * 2**20)
    files = PathAllowlist.of([tmp_path])
    access = VideoAccess(files, ImageAccess(files), limits=VideoLimits(80_000_000, 100), decode=pool)
    try:
        with pytest.raises(InputError, match="memory"):
            list(access.read(str(large)).frames())
        assert len(opened(written(tmp_path, "mp4", sound["mp4"]), pool)) == FRAMES
    finally:
        pool.close()
