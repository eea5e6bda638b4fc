"""Videos over the server: what may be opened, jobs with progress, clients that leave, cancelling, quotas."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from mcp import Client
from numpy.typing import NDArray
from sam3_mcp.client_identity import Caller
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.path_allowlist import PathAllowlist
from sam3_mcp.quota import Limits
from sam3_mcp.server import build_server
from sam3_mcp.sessions import Session, Sessions
from sam3_mcp.video_access import VideoAccess

from sam3_agent.errors import InputError, ToolError
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.video import VideoLimits, write_video
from tests.mcp_server.fixtures_server import HEIGHT, WIDTH, answers, images_of, make_backend, still_video, text_of

pytestmark = pytest.mark.anyio


class Patient(FakeSegmenter):
    """Encodes so many frames, then each other one only when it is told to."""

    def __init__(self, free: int) -> None:
        super().__init__(answers)
        self.go_on = threading.Event()
        self.free = free

    def encode(self, image: NDArray[np.uint8]) -> Any:
        if self.encodes >= self.free and image.shape == (HEIGHT, WIDTH, 3):
            assert self.go_on.wait(60)
        return super().encode(image)


def film(path: Path, frames: int = 6) -> Path:
    pixels = np.full((HEIGHT, WIDTH, 3), 240, dtype=np.uint8)
    write_video(path, (pixels for _ in range(frames)), fps=10)
    return path


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_video_is_tracked_and_asked_about_in_one_session(folder: Path, mode: Any) -> None:
    still_video(folder, 12)
    async with Client(build_server(make_backend(folder)), mode=mode) as client:
        opened = await client.call_tool("open_video", {"source": str(folder / "still"), "fps": 4})
        assert opened.structured_content["duration"] == 3
        tracked = await client.call_tool("track_concepts", {"video_id": "v1", "concepts": ["square"]})
        assert tracked.structured_content["state"] == "done", text_of(tracked)
        assert [t["id"] for t in tracked.structured_content["tracks"]] == ["t1", "t2"]
        assert images_of(tracked)
        again = await client.call_tool("get_job", {"job_id": "job1"})
        assert again.structured_content["tracks"] == tracked.structured_content["tracks"]
        mask = await client.call_tool("segment_at", {"image_id": "v1@3", "points": [[50, 50]]})
        assert mask.structured_content["instances"][0]["box"] == [20, 20, 80, 80]


async def test_what_may_not_or_cannot_be_opened_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "note.mp4").write_text("no video")
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    (folder / "empty").mkdir()
    film(tmp_path / "outside.mp4")
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    os.link(tmp_path / "outside.mp4", folder / "second.mp4")
    expected = {
        "": "empty",
        "/etc/passwd": "outside the allowed folders",
        "../outside.mp4": "outside the allowed folders",
        str(tmp_path / "outside.mp4"): "outside the allowed folders",
        str(tmp_path / "nowhere.mp4"): "outside the allowed folders",
        str(folder / "link.mp4"): "outside the allowed folders",
        str(folder / "second.mp4"): "several hard links",
        str(folder / "gone.mp4"): "no such file",
        str(folder / "note.mp4"): "not a video",
        str(folder / "list.m3u8"): "not a video",
        str(folder / "empty"): "no image in it",
        "https://example.com/a.mp4": "download it first",
        "concat:/etc/passwd": "outside the allowed folders",
        "data:video/mp4;base64,AAAA": "must be a path",
    }
    async with Client(build_server(make_backend(folder))) as client:
        for source, told in expected.items():
            result = await client.call_tool("open_video", {"source": source})
            assert result.is_error, source
            assert told in text_of(result), (source, text_of(result))
            assert "\n" not in text_of(result)
            assert "/proc" not in text_of(result)
        assert not (await client.call_tool("list_images", {})).structured_content["videos"]


def access(folder: Path, **options: Any) -> VideoAccess:
    files = PathAllowlist.of([folder])
    return VideoAccess(files, ImageAccess(files), **options)


def test_a_file_is_read_as_it_was_checked_even_when_another_takes_its_place(folder: Path, tmp_path: Path) -> None:
    video = access(folder).read(str(film(folder / "clip.mp4")))
    assert video.info.name == str(folder / "clip.mp4")
    secret = film(tmp_path / "secret.mp4", 3)
    secret.replace(folder / "clip.mp4")
    assert [frame.index for frame in video.frames()] == list(range(6))


def test_frames_of_a_folder_are_checked_each_time(folder: Path, tmp_path: Path) -> None:
    source = still_video(folder)
    video = access(folder).read(str(source))
    assert len(video) == 4
    (tmp_path / "secret.png").write_bytes((source / "00000.png").read_bytes())
    (source / "00002.png").unlink()
    (source / "00002.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="outside the allowed folders"):
        video.frame(2)


def test_bytes_pixels_frames_and_seconds_are_bounded(folder: Path) -> None:
    clip = str(film(folder / "clip.mp4"))
    with pytest.raises(InputError, match="the limit is 0 MiB"):
        access(folder, max_bytes=10).read(clip)
    with pytest.raises(InputError, match=r"the limit is 0\.2 s"):
        access(folder, max_seconds=0.2).read(clip)
    with pytest.raises(InputError, match="megapixels"):
        access(folder, limits=VideoLimits(max_pixels=1000)).read(clip)
    with pytest.raises(InputError, match="frames"):
        access(folder, limits=VideoLimits(max_frames=3)).read(str(still_video(folder)))
    with pytest.raises(InputError, match="megapixels"):
        access(folder, limits=VideoLimits(max_pixels=1000)).read(str(folder / "still"))


async def until(check: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not check():
            await anyio.sleep(0.01)


async def test_a_job_tells_its_progress_and_keeps_what_it_did_when_cancelled(folder: Path) -> None:
    still_video(folder, 20)
    model = Patient(5)
    async with Client(build_server(make_backend(folder, make_segmenter=lambda: model))) as client:
        await client.call_tool("open_video", {"source": str(folder / "still")})
        ask = {"video_id": "v1", "concepts": ["square"], "wait_s": 0}
        begun = await client.call_tool("track_concepts", ask)
        assert begun.structured_content["state"] == "running"
        await until(lambda: model.encodes == 5)
        refused = await client.call_tool("track_concepts", ask)
        assert text_of(refused) == "v1 is being tracked; wait until that has ended, or stop it"
        await client.call_tool("cancel_job", {"job_id": "job1"})
        model.go_on.set()
        ended = await client.call_tool("get_job", {"job_id": "job1"})
        assert ended.structured_content["state"] == "cancelled"
        assert not ended.structured_content["complete"]
        assert [t["id"] for t in ended.structured_content["tracks"]] == ["t1", "t2"]
        assert ended.structured_content["progress"]["total"] == 20
        rest = await client.call_tool("track_concepts", {**ask, "wait_s": 20})
        assert [t["last_frame"] for t in rest.structured_content["tracks"]] == [19, 19]


async def test_a_running_job_keeps_nobody_from_asking_about_images(folder: Path) -> None:
    still_video(folder, 20)
    model = Patient(3)
    async with Client(build_server(make_backend(folder, make_segmenter=lambda: model))) as client:
        await client.call_tool("open_video", {"source": str(folder / "still")})
        await client.call_tool("track_concepts", {"video_id": "v1", "concepts": ["square"], "wait_s": 0})
        await until(lambda: model.encodes == 3)
        listed = await client.call_tool("list_tracks", {"video_id": "v1"})
        assert listed.structured_content["running"]
        assert len(listed.structured_content["tracks"]) == 2
        seen = await client.call_tool("look_frames", {"video_id": "v1", "frames": [0]})
        assert len(seen.structured_content["frames"][0]["seen"]) == 2
        model.go_on.set()


async def test_a_job_that_fails_while_it_is_waited_for_is_an_error(folder: Path) -> None:
    source = still_video(folder, 4)
    async with Client(build_server(make_backend(folder))) as client:
        await client.call_tool("open_video", {"source": str(source)})
        (source / "00003.png").unlink()
        failed = await client.call_tool("track_concepts", {"video_id": "v1", "concepts": ["square"]})
    assert failed.is_error
    assert text_of(failed).startswith("job1: no such file")


def shared(folder: Path, **limits: int) -> Sessions:
    return Sessions(ImageAccess(PathAllowlist.of([folder])), shared=True, limits=Limits(**limits))


def opened(sessions: Sessions, principal: str, source: Path) -> tuple[Session, str]:
    caller = Caller(principal, f"header:{principal}")
    with sessions.using(caller, {}) as session, session.account.call("video"):
        return session, sessions.workspace(session, FakeSegmenter(answers)).open_video(str(source)).id


def test_videos_and_frames_that_become_images_count_for_their_principal(folder: Path) -> None:
    source = still_video(folder)
    sessions = shared(folder, videos=1, images=1)
    session, video_id = opened(sessions, "bob", source)
    with pytest.raises(ToolError, match="1 videos open, as many as one client may"):
        opened(sessions, "bob", source)
    assert opened(sessions, "eve", source)[1] != video_id
    assert session.workspace is not None
    session.workspace.image(f"{video_id}@0")
    with pytest.raises(ToolError, match="1 images open, frames of videos among them"):
        session.workspace.image(f"{video_id}@1")
    counts = sessions.statistics()
    assert (counts["videos"], counts["principals"]["bob"]["videos"]) == (2, 1)


def test_who_holds_most_makes_room_and_a_video_that_is_tracked_stays(folder: Path) -> None:
    source = still_video(folder)
    images = ImageAccess(PathAllowlist.of([folder]))
    sessions = Sessions(images, shared=True, limits=Limits(videos=5), total=Limits(videos=2))
    bob, first = opened(sessions, "bob", source)
    _, second = opened(sessions, "bob", source)
    assert bob.workspace is not None
    lines = bob.workspace.follow(first, ["square"], live=True)
    next(lines)
    opened(sessions, "eve", source)
    assert [video.id for video in bob.workspace.videos()] == [first]
    assert second != first


def test_ids_of_another_client_open_nothing_and_short_ids_mean_ones_own(folder: Path) -> None:
    source = still_video(folder)
    sessions = shared(folder)
    bob, video_id = opened(sessions, "bob", source)
    eve, _ = opened(sessions, "eve", source)
    assert bob.complete({"image_id": "v1@2", "video_id": "v1", "track_ids": ["t1"]}) == {
        "image_id": f"{video_id}@2",
        "video_id": video_id,
        "track_ids": ["t1"],
    }
    assert sessions.of(Caller("eve", "header:eve"), {"video_id": video_id}) is eve
    assert sessions.of(Caller("bob", "header:bob"), {"image_id": f"{video_id}@2"}) is bob
    assert eve.workspace is not None
    with pytest.raises(ToolError, match="unknown video"):
        eve.workspace.video(video_id)


def test_tracks_on_disk_are_bounded_and_go_with_the_server(folder: Path) -> None:
    source = still_video(folder, 12)
    sessions = shared(folder, tracks=100)
    session, video_id = opened(sessions, "bob", source)
    assert session.workspace is not None
    session.workspace.track(video_id, ["square"])
    with pytest.raises(ToolError, match="free a video with forget_video"):
        session.account.check_tracks(sessions.track_bytes(session))
    kept = session.workspace.video_store.session(video_id).folder
    assert kept.exists()
    assert sessions.close(1.0)
    assert not kept.exists()
