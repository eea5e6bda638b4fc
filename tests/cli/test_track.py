"""`sam3-agent track` by a scripted model: reports, files, going on after a stop; and calls that mean nothing."""

import csv
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.cli.batch import Shown, report_all
from sam3_agent.cli.commands import track as room
from sam3_agent.cli.images import Images
from sam3_agent.cli.track_files import choose_folders, parse_formats
from sam3_agent.cli.track_report import TrackReport
from sam3_agent.cli.videos import VIDEOS, parse_frame_boxes, parse_frame_points, parse_range
from sam3_agent.errors import InputError
from sam3_agent.formats.video import FORMATS
from sam3_agent.formats.video.davis import read_davis
from sam3_agent.formats.video.ytvis import read_ytvis
from sam3_agent.model.fake import FakeSegmenter
from sam3_agent.types import ConceptPrompt, Detection
from sam3_agent.video import open_video, write_video
from sam3_agent.workspace import Workspace
from tests.cli.conftest import Run
from tests.workspace.tracking.scripted import FRAMES, HEIGHT, WIDTH, answers, frame, scripted_model


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripted video as a folder of frames, in which every pixel is kept."""
    folder = tmp_path_factory.mktemp("drawn") / "pets"
    folder.mkdir()
    for index in range(FRAMES):
        Image.fromarray(frame(index)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def here(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the frames in pets/, a text, an empty file and a picture."""
    monkeypatch.chdir(tmp_path)
    Path("pets").symlink_to(drawn)
    Path("notes.txt").write_text("no video")
    Path("empty.mp4").touch()
    Image.fromarray(frame(0)).save("one.png")
    return tmp_path


def asked(*concepts: str, like: tuple[str, ...] = (), at: tuple[str, ...] = ()) -> room.Asked:
    prompts = tuple(ConceptPrompt(concept) for concept in concepts)
    boxes, points = parse_frame_boxes(like, "--like"), parse_frame_points(at, "--at")
    return room.Asked(Images(("pets",), many=False, word="video"), prompts, boxes, (), points)


def track(
    question: room.Asked,
    how: room.How = room.How(),  # noqa: B008 (frozen)
    folder: Path | None = None,
    formats: tuple[str, ...] = ("csv",),
    model: FakeSegmenter | None = None,
    as_json: bool = False,
) -> TrackReport:
    workspace = Workspace(model or scripted_model())
    return room.track(workspace, "pets", question, how, folder, formats, as_json, began=time.perf_counter())


@pytest.mark.usefixtures("here")
def test_the_report_counts_tracks_and_names_what_was_not_found(capfd: pytest.CaptureFixture[str]) -> None:
    report = track(asked("cat", "dog", "cow"))
    assert report.counts == {"cat": 2, "dog": 1, "cow": 0}
    report.print(None)
    told = capfd.readouterr().out
    assert "pets  120x90  80 frames, 3.2 s" in told
    assert "t1 cat  0-79" in told
    assert "cow: nothing" in told
    assert report.line() == "pets  120x90  80 frames  cat: 2, dog: 1, cow: nothing"


@pytest.mark.usefixtures("here")
def test_the_json_has_the_tracks_of_python_frame_by_frame() -> None:
    workspace = Workspace(scripted_model())
    wanted = workspace.track(workspace.open_video(Path("pets")).id, ["cat", "dog"])
    document = json.loads(json.dumps(track(asked("cat", "dog")).to_json()))
    assert (document["ended"], document["frames"], document["counts"]) == ("complete", [0, 79], {"cat": 2, "dog": 1})
    assert document["video"] == {
        "source": "pets", "frames": 80, "fps": 25.0, "width": WIDTH, "height": HEIGHT, "duration": 3.2,
    }  # fmt: skip
    found = [
        (t["id"], t["concept"], [(f["frame"], f["mask"]["counts"]) for f in t["frames"]]) for t in document["tracks"]
    ]
    assert found == [(t.id, t.concept, [(f.index, f.rle.counts) for f in t.visible]) for t in wanted]
    one = document["tracks"][0]["frames"][3]
    assert (one["time"], one["area"], one["box"]) == (0.12, 400, [8.0, 8.0, 28.0, 28.0])


@pytest.mark.usefixtures("here")
def test_live_json_is_a_line_a_frame_and_a_last_one_without_masks(capfd: pytest.CaptureFixture[str]) -> None:
    how = room.How(parse_range("10:19"), live=True)
    report = track(asked("dog"), how, as_json=True)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(10, 20))
    assert {line["video"] for line in lines} == {"pets"}
    mask = masks.from_json(lines[0]["tracks"][0]["mask"])
    assert mask == answers(frame(10))["dog"].kept[0].rle
    assert "frames" not in report.to_json()["tracks"][0]


@pytest.mark.usefixtures("here")
def test_live_tells_comings_and_goings(capfd: pytest.CaptureFixture[str]) -> None:
    track(asked("cat"), room.How(live=True))
    told = capfd.readouterr().out.splitlines()
    assert [line.split("s  ")[-1] for line in told if " t2 " in line] == [
        "t2 cat appears (0.85)", "t2 is gone", "t2 cat is back",
    ]  # fmt: skip


@pytest.mark.usefixtures("here")
def test_an_example_box_and_a_point_ask_without_words() -> None:
    x0, y0, x1, y1 = answers(frame(70))["dog"].kept[0].box
    by_box = track(asked(like=(f"70:{x0},{y0},{x1},{y1}",)), room.How(parse_range("0:20")))
    assert [(t.concept, len(t.visible)) for t in by_box.tracks] == [("example", 21)]
    by_point = track(asked(at=("2s:65,35",)))
    assert [(t.concept, len(t.visible)) for t in by_point.tracks] == [("object", FRAMES)]


@pytest.mark.usefixtures("here")
def test_every_format_is_written_with_the_tracks_in_it() -> None:
    forms = parse_formats(["all"], Path("out"))
    assert set(forms) == {"overlay", *FORMATS}
    report = track(asked("cat", "dog"), folder=Path("out"), formats=forms)
    assert {each.form for each in report.written} == set(forms)
    assert all(each.path.exists() and each.files for each in report.written)
    rows = list(csv.DictReader(Path("out/csv/tracks.csv").read_text().splitlines()))
    assert len(rows) == 80 + 70 + 80
    assert len(read_davis(Path("out/davis")).tracks) == 3
    again = read_ytvis(Path("out/ytvis/annotations.json"))[0]
    assert sorted(len(t.visible) for t in again.tracks.tracks) == [70, 80, 80]
    assert report.to_json()["files"]["csv"] == "out/csv/tracks.csv"


@pytest.mark.usefixtures("here")
def test_the_overlay_is_a_video_of_the_range_in_which_a_track_keeps_its_color() -> None:
    report = track(asked("dog"), room.How(parse_range("20:39")), Path("out"), ("overlay",))
    (written,) = report.written
    video = open_video(written.path)
    assert (len(video), video.info.width, video.info.height) == (20, WIDTH, HEIGHT)
    inside = [video.frame(place).image[48, 65].astype(int) for place in (2, 17)]
    outside = [video.frame(place).image[80, 10].astype(int) for place in (2, 17)]
    assert np.abs(inside[0] - inside[1]).max() <= 24
    assert np.abs(inside[0] - outside[0]).max() > 40


@pytest.mark.usefixtures("here")
def test_ctrl_c_ends_after_the_frame_and_the_same_call_goes_on_to_the_same_tracks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted(image: NDArray[np.uint8]) -> dict[str, Detection]:
        if int(image[0, 0, 2]) == 33:
            signal.raise_signal(signal.SIGINT)
        return answers(image)

    how = room.How(live=True)
    report = track(asked("cat", "dog"), how, Path("out"), model=FakeSegmenter(interrupted))
    assert (report.stopped, report.done, report.written) == (33, 34, ())
    assert report.to_json()["ended"] == "stopped"
    assert (
        "stopped after frame 33: what is done is in out; the same command goes on from there" in capfd.readouterr().err
    )
    model = scripted_model()
    again = track(asked("cat", "dog"), how, Path("out"), model=model)
    assert (again.done, model.encodes) == (FRAMES - 34, FRAMES - 34)
    whole = track(asked("cat", "dog"), how)
    assert [(t.id, t.frames) for t in again.tracks] == [(t.id, t.frames) for t in whole.tracks]


@pytest.mark.usefixtures("here")
def test_a_question_that_was_answered_is_not_answered_again_and_other_formats_can_be_had() -> None:
    first = track(asked("dog"), folder=Path("out"))
    model = scripted_model()
    again = track(asked("dog"), folder=Path("out"), formats=("mot",), model=model)
    assert (model.encodes, again.done) == (0, 0)
    assert again.tracks == first.tracks
    assert Path("out/mot/gt/gt.txt").is_file()


@pytest.mark.usefixtures("here")
def test_a_concept_is_added_to_a_folder_and_one_that_is_there_under_other_settings_is_refused() -> None:
    track(asked("dog"), folder=Path("out"))
    both = track(asked("cat"), folder=Path("out"))
    assert both.counts == {"cat": 2, "dog": 1}
    with pytest.raises(InputError, match="tracks of 'dog' under other settings"):
        track(asked("dog"), room.How(stride=4), Path("out"))


@pytest.mark.usefixtures("here")
def test_a_question_is_not_put_on_top_of_one_that_broke_off() -> None:
    def broken(image: NDArray[np.uint8]) -> dict[str, Detection]:
        if int(image[0, 0, 2]) == 5:
            raise KeyboardInterrupt
        return answers(image)

    with pytest.raises(KeyboardInterrupt):
        track(asked("dog"), folder=Path("out"), model=FakeSegmenter(broken))
    with pytest.raises(InputError, match="not answered yet"):
        track(asked("cat"), folder=Path("out"))
    assert track(asked("dog"), folder=Path("out")).counts == {"dog": 1}


@pytest.mark.usefixtures("here")
def test_one_bad_video_among_many_is_told_and_the_others_are_done(capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("pets", "more", symlinks=False)
    Path("torn").mkdir()
    Path("torn/1.png").write_bytes(b"no picture")
    Path("torn/2.png").write_bytes(b"no picture")
    videos = Images(("pets", "torn", "more"), many=True, word="video")
    workspace, how = Workspace(scripted_model()), room.How(parse_range("0:9"))
    question = room.Asked(videos, (ConceptPrompt("dog"),))

    def work(source: str) -> TrackReport:
        return room.track(workspace, source, question, how, began=time.perf_counter())

    with pytest.raises(Exception, match="1 of 3 videos failed"):
        report_all(videos, work, Shown(as_json=True), {})
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["video"]["source"] for line in lines] == ["pets", "torn", "more"]
    assert ["error" in line for line in lines] == [False, True, False]
    assert workspace.videos() == []


@pytest.mark.usefixtures("here")
def test_folders_are_videos_or_hold_them() -> None:
    Path("clips").mkdir()
    for name in ("2.mp4", "10.webm", "1.mp4", "x.txt"):
        Path("clips", name).touch()
    Path("both", "sub").mkdir(parents=True)
    Image.fromarray(frame(0)).save("both/sub/0.png")
    assert room.read_arguments(["pets", "dog"], None, (), (), (), ()).videos == Images(("pets",), False, "video")
    found = room.read_arguments(["clips", "dog"], None, (), (), (), ())
    assert found.videos.sources == ("clips/1.mp4", "clips/2.mp4", "clips/10.webm")
    assert VIDEOS.in_folder("both") == ["both/sub"]
    found = room.read_arguments(["clips/*.mp4", "pets/", "red dog", "cat"], None, (), (), (), ())
    assert found.videos.sources == ("clips/1.mp4", "clips/2.mp4", "pets/")
    assert [prompt.phrase for prompt in found.prompts] == ["red dog", "cat"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pets",), "at least one concept"),
        (("--", "dog"), "at least one video"),
        (("pets", "dog", "--like", "3:1,1,9"), "no X0,Y0,X1,Y1"),
        (("pets", "--like", "1,1,9,9"), "no FRAME:X0,Y0,X1,Y1"),
        (("pets", "--at", "x:1,1"), "no frame such as 12"),
        (("pets", "--at", "3:1"), "no FRAME:X,Y"),
        (("pets", "dog", "cat", "--like", "3:1,1,9,9"), "one phrase with them"),
        (("pets", "--unlike", "3:1,1,9,9"), "a box around one with --like"),
        (("pets", "dog", "--range", "5"), "no range of frames"),
        (("pets", "dog", "--range", ":"), "no range of frames"),
        (("pets", "dog", "--stride", "0"), "--stride"),
        (("pets", "dog", "--format", "mp3", "--out", "out"), "'mp3' is none of overlay, ytvis"),
        (("pets", "dog", "--format", "csv"), "give --out DIR as well"),
        (("pets", "dog", "--out", "notes.txt"), "is a file: name a folder"),
        (("pets", "dog", "--out", "nowhere/out"), "no folder 'nowhere'"),
        (("pets", "dog", "--out", "pets"), "overwrites nothing it reads"),
        (("pets", "./pets", "dog", "--at", "3:1,1"), "one video"),
    ],
)
def test_a_call_that_means_nothing_is_refused_in_one_line_before_any_work(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    ran = run("track", *arguments, "--model", "no such model")
    assert ran.status == 2
    assert words in ran.error()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.mp4", "dog"), "no such file"),
        (("empty.mp4", "dog"), "is empty (0 bytes)"),
        (("notes.txt", "dog"), "not a video"),
        (("one.png", "dog"), "is a picture and no video"),
        (("pets", "dog", "--range", "0:80"), "--range: there is no frame 80; the video's frames are 0-79"),
        (("pets", "dog", "--range", "9:3"), "--range: it ends (frame 3) before it begins (frame 9)"),
        (("pets", "dog", "--range", "1s:99s"), "--range: 99s is after the end of the video, 3.20 s"),
        (("pets", "--like", "3:1,1,400,50"), "--like: 400,50 lies outside the video's frames, which are 120x90"),
        (("pets", "--like", "99:1,1,40,50"), "--like: there is no frame 99"),
        (("pets", "--at", "9:130,5"), "--at: 130,5 lies outside"),
        (("pets", "--at", "50:13,5", "--range", "0:9"), "--at: frame 50 lies outside the range, 0-9"),
        (("pets", "@nobody"), "no concept '@nobody'"),
    ],
)
def test_a_video_that_cannot_be_tracked_is_told_in_one_line_before_a_model_is_loaded(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    ran = run("track", *arguments, "--model", "no such model")
    assert ran.status == 1
    assert words in ran.error()


def still(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """A dog that never moves, whatever a codec makes of the frame."""
    return {"dog": answers(frame(0))["dog"]}


@pytest.mark.usefixtures("here")
def test_the_frames_of_a_cut_off_file_are_tracked_and_the_file_is_said_to_be_cut_off(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: no H.264 can be written")
    noise = np.random.default_rng(0).integers(0, 255, (60, HEIGHT, WIDTH, 3), dtype=np.uint8)
    write_video("whole.mp4", noise, fps=10.0)
    whole = Path("whole.mp4").read_bytes()
    Path("torn.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    question = asked("dog")
    report = room.track(Workspace(FakeSegmenter(still)), "torn.mp4", question, room.How(), began=time.perf_counter())
    assert 20 < len(report.tracks[0].visible) < 60
    assert "note: torn.mp4: " in capfd.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_file_of_sound_alone_is_told_in_one_line(run: Run) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed: no sound can be written")
    with av.open("sound.mp4", "w") as file:
        stream = file.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    ran = run("track", "sound.mp4", "dog")
    assert ran.status == 1
    assert "has no video in it" in ran.error()


def test_what_is_written_never_is_what_is_read(here: Path) -> None:
    Path("out").mkdir()
    shutil.copytree("pets", "out/davis")
    for source in ("out/overlay.mp4", "out/davis", "out/davis/3.png"):
        with pytest.raises(Exception, match="overwrites nothing"):
            choose_folders(Images((source,), many=False, word="video"), here / "out")


def test_many_videos_have_a_folder_each_even_under_one_name(tmp_path: Path) -> None:
    folders = choose_folders(Images(("a/clip.mp4", "b/clip.mp4", "c.webm"), many=True, word="video"), tmp_path)
    assert len(set(folders.values())) == 3
    assert folders["c.webm"] == tmp_path / "c"
