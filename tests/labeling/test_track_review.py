"""The review page of a video without a browser: who gets in, what it is told, what is refused, and corrections."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError
from sam3_agent.labeling.review.frame_pictures import FramePictures
from sam3_agent.labeling.review.server import build_app
from sam3_agent.labeling.review.track_handlers import TrackHandlers
from sam3_agent.labeling.review.track_review import TrackReview
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.tracks import Track
from sam3_agent.video import open_video, write_video
from sam3_agent.workspace.tracking.reviewed import ReviewedTracks
from tests.labeling.fixtures_track_review import handlers, scripted_run
from tests.workspace.tracking.scripted import FRAMES, HEIGHT, WIDTH, answers, frame


class Blind(FakeSegmenter):
    """A model without clicks, as weights without a tracker half make it."""

    def segment_at(self, features: object, prompt: object) -> tuple[()]:
        raise ToolError("this model knows phrases and exemplars only")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripted run, tracked once."""
    return scripted_run(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def run(tracked: Path, tmp_path: Path) -> Path:
    """A copy of it to decide about."""
    return Path(shutil.copytree(tracked, tmp_path / "run"))


@pytest.fixture
def calls(run: Path) -> Generator[TrackHandlers]:
    calls = handlers(run)
    yield calls
    calls.close()


@pytest.fixture
def client(calls: TrackHandlers) -> Generator[TestClient]:
    with TestClient(build_app(calls, "key"), base_url="http://127.0.0.1") as client:
        yield client


def ask(client: TestClient, name: str, **given: object) -> dict[str, Any]:
    answer = client.post(f"/key/api/{name}", json=given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(client: TestClient) -> dict[str, Any]:
    """The progress of a correction, once it has ended."""
    while (told := ask(client, "progress"))["correction"]["state"] in ("loading", "tracking"):
        time.sleep(0.01)
    return told


def by_label(client: TestClient) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for track in ask(client, "state")["tracks"]:
        found.setdefault(track["label"], []).append(track)
    return found


def center(track: Track, index: int) -> list[float]:
    entry = track.at(index)
    assert entry is not None
    x0, y0, x1, y1 = entry.box
    return [(x0 + x1) / 2, (y0 + y1) / 2]


def test_only_the_address_with_the_key_answers_and_only_to_this_machine(client: TestClient) -> None:
    page = client.get("/key/")
    assert "static/video.js" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("video.js", "video.css", "player.js", "timeline.js", "style.css", "page.js"):
        assert client.get(f"/key/static/{name}").status_code == 200
    for address in ("/", "/other/", "/picture/0", "/other/picture/0", "/key/picture/-1", "/key/picture/80",
                    "/key/picture/x", "/key/picture/" + "9" * 400, "/key/picture/%F0%9D%9F%99"):  # fmt: skip
        assert client.get(address).status_code == 404, address
    assert client.get("/key/picture/0", headers={"Host": "evil.example"}).status_code == 400
    form = client.post("/key/api/undo", content="{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415


def test_the_page_is_told_the_video_and_its_tracks(client: TestClient) -> None:
    told = ask(client, "state")
    assert told["video"]["name"] == "pets"
    assert (told["video"]["frames"], told["video"]["width"], told["video"]["height"]) == (FRAMES, WIDTH, HEIGHT)
    assert (told["span"], told["labels"], told["counts"]["review"]) == ([0, 79], ["cat", "dog"], 3)
    away = told["tracks"][1]
    assert (away["id"], away["spans"], away["frames"], away["route"]) == ("t2", [[0, 29], [40, 79]], 70, "review")
    assert len({tuple(track["color"]) for track in told["tracks"]}) == 3


def test_frames_are_those_of_the_video_in_any_order(calls: TrackHandlers, client: TestClient) -> None:
    for index in (0, 79, 40, 39, 38, 41, 79, 3):
        answer = client.get(f"/key/picture/{index}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert "max-age" in answer.headers["cache-control"]
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (WIDTH, HEIGHT)
            blue = np.asarray(image)[..., 2].astype(int)
        assert np.abs(blue - index).max() <= 3
    assert calls.pictures.jpeg(5) is calls.pictures.jpeg(5)


def test_masks_come_for_a_few_frames_at_a_time(client: TestClient) -> None:
    told = ask(client, "frames", first=30, count=4)
    assert [each["frame"] for each in told["frames"]] == [30, 31, 32, 33]
    assert told["frames"][0]["time"] == 1.2
    assert [track["id"] for track in told["frames"][0]["tracks"]] == ["t1", "t3"]
    mask = masks.from_json({"size": [HEIGHT, WIDTH], "counts": told["frames"][0]["tracks"][1]["mask"]})
    assert mask == answers(frame(30))["dog"].kept[0].rle
    assert len(ask(client, "frames", first=0, count=10**9)["frames"]) == 64
    assert len(ask(client, "frames", first=79)["frames"]) == 1


def test_frames_of_a_video_file_are_exact_after_any_jump(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: opencv decodes from the beginning at each jump")
    path = tmp_path / "shades.mp4"
    shades = (np.full((48, 64, 3), index % 250, dtype=np.uint8) for index in range(96))
    write_video(path, shades, fps=25.0)
    pictures = FramePictures(open_video(path))
    for index in (95, 0, 50, 49, 31, 80):
        with Image.open(io.BytesIO(pictures.jpeg(index))) as image:
            assert abs(int(np.asarray(image).mean()) - index % 250) <= 4, index
    with pytest.raises(InputError, match="there is no frame 96"):
        pictures.jpeg(96)
    pictures.close()


def test_decisions_are_made_undone_and_kept(client: TestClient, run: Path) -> None:
    ask(client, "decide", id="t3", action="reject")
    assert ask(client, "decide", id="t2", action="split", frame=40)["new_id"] == "t4"
    ask(client, "decide", id="t4", action="relabel", label="fox")
    told = ask(client, "state")
    assert [(track["id"], track["label"], track["route"]) for track in told["tracks"]] == [
        ("t1", "cat", "review"), ("t2", "cat", "review"), ("t4", "fox", "accepted"), ("t3", "dog", "rejected"),
    ]  # fmt: skip
    assert (told["labels"], told["version"]) == (["cat", "dog", "fox"], 3)
    assert ReviewedTracks(run).counts == {"review": 2, "accepted": 1, "rejected": 1}
    ask(client, "decide", id="t4", action="accept")
    ask(client, "decide", id="t2", action="merge", other="t4")
    assert by_label(client)["cat"][1]["spans"] == [[0, 29], [40, 79]]
    assert ask(client, "undo")["undone"]["words"].startswith("merge of t4 into t2 cat")
    for _ in range(4):
        ask(client, "undo")
    assert ask(client, "undo") == {"undone": None}
    assert ask(client, "state")["counts"] == {"review": 3, "accepted": 0, "rejected": 0}


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("decide", {"id": "t9", "action": "accept"}, "unknown track 't9'; known: t1, t2, t3"),
        ("decide", {"id": "t1", "action": "burn"}, "action"),
        ("decide", {"id": "t1", "action": "correct"}, "made by clicks"),
        ("decide", {"id": "t1", "action": "relabel", "label": ""}, "a label has 1 to 200 characters"),
        ("decide", {"id": "t1", "action": "split"}, "split it in one of 1-79"),
        ("decide", {"id": "t1", "action": "merge", "other": "t3"}, "they are two objects"),
        ("decide", {"id": "t" * 2000, "action": "accept"}, "id"),
        ("decide", {"id": "t1", "action": "split", "frame": 1e300}, "frame"),
        ("frames", {"first": 80}, "there is no frame 80"),
        ("frames", {"first": -1}, "first"),
        ("frames", {"first": 0, "count": 0}, "count"),
        ("click", {"id": "t1", "frame": 3, "points": [], "labels": []}, "points"),
        ("click", {"id": "t1", "frame": 3, "points": [[1, 1]] * 101, "labels": [True]}, "at most 100"),
        ("click", {"id": "t1", "frame": 3, "points": [[1, 1]], "labels": [True, False]}, "each point needs one label"),
        ("click", {"id": "t1", "frame": 90, "points": [[1, 1]], "labels": [True]}, "frame 90 was not tracked"),
        ("click", {"id": "t1", "frame": 3, "points": [[1e9, 1]], "labels": [True]}, "points"),
        ("click", {"id": "t1", "frame": 3, "points": [[500, 1]], "labels": [True]}, "outside"),
        ("click", {"id": "t9", "frame": 3, "points": [[1, 1]], "labels": [True]}, "unknown track"),
        ("follow", {"sketch": "s1"}, "no longer there; click again"),
        ("resume", {}, "no correction was cut off"),
        ("stop", {"keep": True}, "no correction is running"),
        ("stop", {}, "keep"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    client: TestClient, run: Path, name: str, given: dict[str, object], complaint: str
) -> None:
    answer = client.post(f"/key/api/{name}", json=given)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert len(answer.text) < 1000
    assert not (run / "decisions.jsonl").exists()


def test_clicks_correct_a_track_from_their_frame_on_and_undo_brings_it_back(
    calls: TrackHandlers, client: TestClient, run: Path
) -> None:
    before, dog = calls.review.get("t1").track, calls.review.get("t3").track
    point = center(dog, 20)
    sketch = ask(client, "click", id="t1", frame=20, points=[point], labels=[True])
    assert masks.from_json(sketch["mask"]) == answers(frame(20))["dog"].kept[0].rle
    assert not (run / "decisions.jsonl").exists()
    ask(client, "follow", sketch=sketch["sketch"])
    assert ended(client)["correction"]["error"] == ""
    after = calls.review.get("t1")
    assert after.track.frames[:20] == before.frames[:20]
    assert [entry.rle for entry in after.track.frames[20:]] == [entry.rle for entry in dog.frames[20:]]
    assert (after.corrected, after.route, after.reason) == ((20,), "review", "corrected from frame 20 on")
    assert ReviewedTracks(run).get("t1") == after
    words = ask(client, "undo")["undone"]["words"]
    assert words == "correction of t1 cat from frame 20 on; it has its masks from before again"
    assert calls.review.get("t1").track == before


def test_clicks_beside_a_track_are_about_another_object_and_clicks_on_it_mend_it(
    calls: TrackHandlers, client: TestClient
) -> None:
    cat, dog = calls.review.get("t1").track, calls.review.get("t3").track
    far = ask(client, "click", id="t1", frame=20, points=[center(dog, 20)], labels=[True])
    assert masks.from_json(far["mask"]) == answers(frame(20))["dog"].kept[0].rle
    near = ask(client, "click", id="t1", frame=20, points=[center(cat, 20)], labels=[True])
    assert masks.from_json(near["mask"]) == answers(frame(20))["cat"].kept[0].rle
    nowhere = client.post(
        "/key/api/click", json={"id": "t1", "frame": 20, "points": [center(dog, 20)], "labels": [False]}
    )
    assert nowhere.status_code in (200, 400)


def test_a_track_that_was_split_off_is_corrected_under_its_own_id(calls: TrackHandlers, client: TestClient) -> None:
    dog = calls.review.get("t3").track
    ask(client, "decide", id="t1", action="split", frame=30)
    sketch = ask(client, "click", id="t4", frame=35, points=[center(dog, 35)], labels=[True])
    ask(client, "follow", sketch=sketch["sketch"])
    assert ended(client)["correction"]["error"] == ""
    assert calls.review.get("t4").track.at(60).rle == dog.at(60).rle  # pyright: ignore[reportOptionalMemberAccess]
    assert calls.review.get("t1").track.visible[-1].index == 29


def test_a_track_can_be_said_to_be_there_before_it_was_found(calls: TrackHandlers, client: TestClient) -> None:
    ask(client, "decide", id="t2", action="split", frame=40)
    dog = calls.review.get("t3").track
    sketch = ask(client, "click", id="t4", frame=10, points=[center(dog, 10)], labels=[True])
    ask(client, "follow", sketch=sketch["sketch"])
    assert ended(client)["correction"]["error"] == ""
    assert [entry.index for entry in calls.review.get("t4").track.visible] == [*range(10, 80)]


class Held(FakeSegmenter):
    """A model that looks at no frame after some until it is let go; or kills its program there."""

    def __init__(self, stop: int, *, kill: bool = False) -> None:
        super().__init__(answers)
        self._stop, self._kill = stop, kill
        self.waiting = self.free = False

    def encode(self, image: np.ndarray[Any, Any]) -> Any:
        if int(image[0, 0, 2]) >= self._stop and self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        while int(image[0, 0, 2]) >= self._stop and not self.free:
            self.waiting = True
            time.sleep(0.005)
        return super().encode(image)


def begun(run: Path, model: Held, frame_index: int = 20) -> tuple[TrackHandlers, TestClient]:
    """A correction of t1, which becomes the dog, that has come as far as the model goes."""
    calls = handlers(run, model)
    client = TestClient(build_app(calls, "key"), base_url="http://127.0.0.1")
    point = center(calls.review.get("t3").track, frame_index)
    sketch = ask(client, "click", id="t1", frame=frame_index, points=[point], labels=[True])
    ask(client, "follow", sketch=sketch["sketch"])
    while not model.waiting:
        time.sleep(0.005)
    return calls, client


def test_while_a_track_is_corrected_it_is_not_decided_about_and_others_are(run: Path) -> None:
    model = Held(50)
    calls, client = begun(run, model)
    progress = ask(client, "progress")["correction"]
    assert (progress["state"], progress["id"], progress["frame"], progress["total"]) == ("tracking", "t1", 20, 60)
    assert progress["done"] == 30
    for name, given in (
        ("decide", {"id": "t1", "action": "reject"}),
        ("decide", {"id": "t3", "action": "merge", "other": "t1"}),
        ("undo", {}),
    ):
        answer = client.post(f"/key/api/{name}", json=given)
        assert "t1 is being corrected" in answer.json()["error"]
    ask(client, "decide", id="t2", action="accept")
    assert calls.review.get("t2").route == "accepted"
    model.free = True
    assert ended(client)["correction"]["error"] == ""
    assert [each["corrected"] for each in ask(client, "state")["tracks"]] == [[20], [], []]
    calls.close()


@pytest.mark.parametrize("keep", [True, False])
def test_a_correction_is_kept_as_far_as_it_came_or_thrown_away(run: Path, keep: bool) -> None:
    model = Held(50)
    calls, client = begun(run, model)
    before, dog = calls.review.get("t1").track, calls.review.get("t3").track
    model.free = True
    calls.corrector.stop(keep=keep)
    track = calls.review.get("t1").track
    corrected = [e.index for e in track.frames if e.index >= 20 and e.rle == dog.frames[e.index].rle]
    if keep:
        assert corrected == [*range(20, corrected[-1] + 1)]
        assert 49 <= corrected[-1] < 79 or calls.corrector.progress.state == "idle"
        assert track.frames[corrected[-1] + 1 :] == before.frames[corrected[-1] + 1 :]
    else:
        assert track == before
        assert not (run / "decisions.jsonl").exists()
        assert [*(run / "corrections").iterdir()] == []
    assert ask(client, "progress")["correction"]["state"] == "idle"
    calls.close()


def test_a_correction_that_the_program_left_goes_on_to_the_same_masks(run: Path, tmp_path: Path) -> None:
    model = Held(50)
    calls, client = begun(run, model)
    model.free = True
    calls.close()
    again = handlers(run)
    client = TestClient(build_app(again, "key"), base_url="http://127.0.0.1")
    stand = ask(client, "state")["correction"]
    if stand["state"] == "cut off":
        assert (stand["id"], stand["frame"]) == ("t1", 20)
        busy = client.post("/key/api/decide", json={"id": "t1", "action": "reject"})
        assert "is being corrected" in busy.json()["error"]
        ask(client, "resume")
        assert ended(client)["correction"]["error"] == ""
    dog = again.review.get("t3").track
    assert [entry.rle for entry in again.review.get("t1").track.frames[20:]] == [e.rle for e in dog.frames[20:]]
    again.close()


def test_a_model_without_clicks_says_so(run: Path) -> None:
    calls = handlers(run, Blind(answers))
    client = TestClient(build_app(calls, "key"), base_url="http://127.0.0.1")
    answer = client.post("/key/api/click", json={"id": "t1", "frame": 3, "points": [[5, 5]], "labels": [True]})
    assert answer.json() == {"error": "this model knows phrases and exemplars only"}
    calls.close()


@pytest.mark.integration
def test_kill_9_in_a_correction_loses_nothing_that_was_decided_and_the_correction_goes_on(run: Path) -> None:
    done = subprocess.run([sys.executable, "-m", __name__, str(run)], capture_output=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    calls = handlers(run)
    assert calls.review.get("t2").route == "rejected"
    assert calls.corrector.progress.state == "cut off"
    calls.corrector.resume()
    while calls.corrector.progress.state != "idle":
        time.sleep(0.01)
    dog = calls.review.get("t3").track
    assert [entry.rle for entry in calls.review.get("t1").track.frames[20:]] == [e.rle for e in dog.frames[20:]]
    calls.close()


def test_a_video_that_was_moved_is_found_beside_the_run_and_another_one_is_refused(run: Path, tmp_path: Path) -> None:
    journal = run / "tracks.jsonl"
    header, rest = journal.read_text().split("\n", 1)
    source = json.loads(header) | {"source": "/nowhere/pets"}
    journal.write_text(json.dumps(source) + "\n" + rest)
    with pytest.raises(InputError, match="the video /nowhere/pets is gone: put it back"):
        TrackReview(run)
    frames = run / "pets"
    frames.mkdir()
    for index in range(FRAMES):
        Image.fromarray(frame(index)).save(frames / f"{index}.png")
    assert TrackReview(run).video.info.frames == FRAMES
    (run / "pets" / "79.png").unlink()
    with pytest.raises(InputError, match="is another video than the one that was tracked: 79 frames of 120x90, not 80"):
        TrackReview(run)
    (run / "pets").rename(tmp_path / "pets")
    Image.fromarray(frame(79)).save(tmp_path / "pets" / "79.png")
    assert TrackReview(run).video.info.frames == FRAMES


def main() -> None:
    """Reject t2, begin to correct t1, and be killed at frame 70."""
    calls = handlers(Path(sys.argv[1]), Held(70, kill=True))
    calls.decide({"id": "t2", "action": "reject"})
    point = center(calls.review.get("t3").track, 20)
    made = calls.click({"id": "t1", "frame": 20, "points": [point], "labels": [True]})
    calls.follow({"sketch": made["sketch"]})
    time.sleep(120)


if __name__ == "__main__":
    main()
