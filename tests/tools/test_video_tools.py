"""Tools for videos over a scripted video: the same in words and data, mistakes come back as instructions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_agent import masks
from sam3_agent.errors import Busy, Cancelled, InputError, ToolError, UnknownHandle
from sam3_agent.tools import ALL_TOOLS, Presentation
from sam3_agent.tools.long_work import UNWATCHED, LongWork
from sam3_agent.workspace import OutputFolder, Workspace, WorkspaceConfig
from tests.workspace.tracking.scripted import FRAMES, HEIGHT, WIDTH, answers, frame, scripted_model, scripted_video

TOOLS = {tool.name: tool for tool in ALL_TOOLS}
TRACKING = {"video_id": "v1", "concepts": ["cat", "dog"]}


@pytest.fixture
def workspace() -> Workspace:
    made = Workspace(scripted_model())
    made.open_video(scripted_video())
    return made


def call(workspace: Workspace, name: str, **raw: Any) -> Presentation:
    return TOOLS[name].call(workspace, raw)


class Watching:
    """Wants the work until so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.notes: list[tuple[int, int]] = []

    @property
    def wanted(self) -> bool:
        return len(self.notes) < self.steps

    def note(self, done: int, total: int, words: str) -> None:
        self.notes.append((done, total))


def test_opening_tells_frames_and_times_and_shows_a_strip(tmp_path: Path) -> None:
    workspace = Workspace(scripted_model())
    source = tmp_path / "frames.npy"
    source.write_bytes(b"not a video")
    with pytest.raises(InputError, match="not a video"):
        call(workspace, "open_video", source=str(source))
    workspace.open_video(scripted_video())
    opened = TOOLS["open_video"].present(workspace, workspace.video("v1"))
    assert opened.text.startswith(f"v1: 80 frames (0-79) of {WIDTH}x{HEIGHT} pixels, 3.2 s at 25 frames/s")
    assert (opened.data["video_id"], opened.data["frames"], opened.data["fps"]) == ("v1", FRAMES, 25)
    assert "frames 0, 11, 23, 34, 45, 56, 68, 79 of v1" in opened.pictures[0].caption


def test_tracks_are_told_alike_in_words_and_data(workspace: Workspace) -> None:
    found = call(workspace, "track_concepts", **TRACKING)
    tracks = found.data["tracks"]
    assert [(t["id"], t["concept"], t["first_frame"], t["last_frame"]) for t in tracks] == [
        ("t1", "cat", 0, 79),
        ("t2", "cat", 0, 79),
        ("t3", "dog", 0, 79),
    ]
    assert tracks[1]["spans"] == [[0, 29], [40, 79]]
    assert tracks[1]["gaps"] == [{"first": 30, "last": 39, "kind": "hidden"}]
    assert tracks[0]["direction"] == "right"
    for said in ("t1 cat  0-79", "t2 cat  0-29, 40-79", "hidden 30-39", "moves right 77 px", "t3 dog"):
        assert said in found.text
    assert found.data["complete"]
    json.dumps(found.data)
    listed = call(workspace, "list_tracks", video_id="v1")
    assert listed.data["tracks"] == tracks
    assert [t["id"] for t in call(workspace, "list_tracks", video_id="v1", concept=" Dog ").data["tracks"]] == ["t3"]


def test_words_suffice_where_no_picture_is_shown(workspace: Workspace) -> None:
    call(workspace, "track_concepts", **TRACKING)
    seen = call(workspace, "look_frames", video_id="v1", frames=[10, 35])
    assert "frame 10 (0.4 s): t1 'cat' [15, 8, 35, 28]; t2 'cat' [95, 50, 115, 70]; t3 'dog'" in seen.text
    assert [entry["id"] for entry in seen.data["frames"][1]["seen"]] == ["t1", "t3"]  # t2 is away


def test_a_frame_of_a_video_is_an_image_for_every_image_tool(workspace: Workspace) -> None:
    found = call(workspace, "segment_concepts", image_id="v1@10", concepts=["cat"])
    (mask_id, _) = [instance["id"] for instance in found.data["results"][0]["instances"]]
    followed = call(workspace, "track_at", video_id="v1", frame=10, mask_id=mask_id)
    (track,) = followed.data["tracks"]
    assert (track["concept"], track["first_frame"], track["last_frame"]) == ("cat", 0, 79)
    with pytest.raises(InputError, match="v1 is a video; name one of its frames, v1@0 to @79"):
        call(workspace, "look", image_id="v1")
    with pytest.raises(InputError, match="there is no frame 80"):
        call(workspace, "look", image_id="v1@80")
    with pytest.raises(InputError, match="is a mask of v1@10, not of v1@11"):
        call(workspace, "track_at", video_id="v1", frame=11, mask_id=mask_id)


def test_example_boxes_on_a_frame_find_their_like_on_all(workspace: Workspace) -> None:
    found = call(workspace, "track_concepts", video_id="v1", example_boxes=[[12, 55, 31, 75, 51]])
    assert [(t["concept"], t["duration_s"]) for t in found.data["tracks"]] == [("example", 3.2)]
    named = call(workspace, "track_concepts", video_id="v1", concepts=["dog"], example_boxes="[12, 55, 31, 75, 51]")
    assert [t["concept"] for t in named.data["tracks"]] == ["dog"]


def test_measures_order_tracks_and_tell_who_meets_whom(workspace: Workspace) -> None:
    call(workspace, "track_concepts", **TRACKING)
    measured = call(workspace, "measure_tracks", video_id="v1", sort_by="speed", descending=True, frame=0)
    assert [t["id"] for t in measured.data["tracks"]] == ["t1", "t3", "t2"]
    assert [row["id"] for row in measured.data["left_to_right"]] == ["t1", "t3", "t2"]
    (meeting,) = measured.data["meetings"]
    assert meeting["ids"] == ["t1", "t3"]
    assert f"meet: t1 and t3 in frames {meeting['first']}-{meeting['last']}" in measured.text
    assert set(measured.data["rules"]) >= {"meet", "enters", "leaves"}
    with pytest.raises(InputError, match="there is no frame 80 in v1"):
        call(workspace, "measure_tracks", video_id="v1", frame=80)


def test_edits_hold_and_a_correction_after_them_is_not_undone_by_them(workspace: Workspace) -> None:
    call(workspace, "track_concepts", **TRACKING)
    split = call(workspace, "edit_tracks", video_id="v1", operation="split", track_ids=["t2"], frame=40)
    assert [(t["id"], t["first_frame"], t["last_frame"]) for t in split.data["tracks"]] == [
        ("t2", 0, 29),
        ("t4", 40, 79),
    ]
    corrected = call(workspace, "track_at", video_id="v1", frame=50, points=[[65, 35]], track_id="t4")
    (track,) = corrected.data["tracks"]
    assert (track["id"], track["concept"], track["ended_at"]) == ("t4", "cat", [65, 47])
    call(workspace, "edit_tracks", video_id="v1", operation="merge", track_ids=["t2", "t4"])
    merged = {t.id: t for t in workspace.tracks("v1")}
    assert list(merged) == ["t1", "t2", "t3"]
    (dog,) = (candidate.rle for candidate in answers(frame(60))["dog"].kept)
    at_60 = merged["t2"].at(60)
    assert at_60 is not None
    assert masks.iou([at_60.rle], [dog])[0, 0] == 1
    call(workspace, "edit_tracks", video_id="v1", operation="relabel", track_ids=["t1", "t2"], concept="lion")
    dropped = call(workspace, "edit_tracks", video_id="v1", operation="drop", track_ids=["t3"])
    assert dropped.data["track_count"] == 2
    assert [(t.id, t.concept) for t in workspace.tracks("v1")] == [("t1", "lion"), ("t2", "lion")]
    again = call(workspace, "track_at", video_id="v1", frame=5, points=[[65, 35]])
    assert [t["id"] for t in again.data["tracks"]] == ["t5"]  # no id is given twice


def test_work_that_is_stopped_keeps_its_tracks_and_goes_on_later(workspace: Workspace) -> None:
    work = TOOLS["track_concepts"].function(workspace, "v1", ["cat"])
    assert isinstance(work, LongWork)
    watch = Watching(20)
    stopped = TOOLS["track_concepts"].presented(workspace, work.run(watch))
    assert watch.notes == [(n, FRAMES) for n in range(1, 21)]
    assert "stopped after 20 frames" in stopped.text
    assert [t["last_frame"] for t in stopped.data["tracks"]] == [19, 19]
    rest = Watching(100)
    done = TOOLS["track_concepts"].function(workspace, "v1", ["cat"]).run(rest)
    assert rest.notes[0] == (21, FRAMES)
    assert [track.last for track in done.tracks] == [79, 79]


def test_a_video_that_is_being_tracked_takes_no_second_question_and_no_edit(workspace: Workspace) -> None:
    lines = workspace.follow("v1", ["cat"], live=True)
    next(lines)
    for refused in (
        lambda: call(workspace, "track_concepts", video_id="v1", concepts=["dog"]),
        lambda: call(workspace, "edit_tracks", video_id="v1", operation="drop", track_ids=["t1"]),
        lambda: call(workspace, "forget_video", video_id="v1"),
    ):
        with pytest.raises(Busy, match="v1 is being tracked"):
            refused()
    listed = call(workspace, "list_tracks", video_id="v1")
    assert listed.data["running"]
    assert [t["id"] for t in listed.data["tracks"]] == ["t1", "t2"]
    del lines
    assert call(workspace, "track_concepts", video_id="v1", concepts=["dog"]).data["complete"]


def test_a_caller_that_gave_up_is_no_failure() -> None:
    class GivenUp(type(scripted_model())):
        def track(self, *_: Any, **__: Any) -> Any:
            raise Cancelled("the caller gave up")

    workspace = Workspace(GivenUp(answers))
    workspace.open_video(scripted_video())
    work = TOOLS["track_concepts"].function(workspace, "v1", ["cat"])
    with pytest.raises(Cancelled):
        work.run(UNWATCHED)
    assert TOOLS["track_concepts"].function(workspace, "v1", ["cat"]).run(Watching(0)).stopped == 0


@pytest.mark.parametrize("form", ["csv", "ytvis", "mot", "mots-txt", "davis", "cvat", "label-studio", "sav"])
def test_tracks_are_exported_below_the_output_folder_and_never_over_files(tmp_path: Path, form: str) -> None:
    workspace = Workspace(scripted_model(), setting=WorkspaceConfig(output=OutputFolder(tmp_path)))
    workspace.open_video(scripted_video()[:8])
    call(workspace, "track_concepts", **TRACKING)
    written = call(workspace, "export_tracks", video_id="v1", format=form, path="out")
    assert written.data["files"] == sum(path.is_file() for path in tmp_path.rglob("*")) > 0
    assert all(Path(path).is_relative_to(tmp_path / "out") for path in written.data["paths"])
    with pytest.raises(InputError, match="there already"):
        call(workspace, "export_tracks", video_id="v1", format=form, path="out")
    with pytest.raises(InputError, match="no path inside"):
        call(workspace, "export_tracks", video_id="v1", format=form, path="../out")


def test_forgetting_a_video_frees_its_frames_and_tracks(workspace: Workspace) -> None:
    call(workspace, "look", image_id="v1@3")
    call(workspace, "track_concepts", **TRACKING)
    folder = workspace.video_store.session("v1").folder
    assert [video["id"] for video in call(workspace, "list_images").data["videos"]] == ["v1"]
    call(workspace, "forget_video", video_id="v1")
    assert (workspace.images(), workspace.videos(), folder.exists()) == ([], [], False)
    with pytest.raises(UnknownHandle):
        call(workspace, "list_tracks", video_id="v1")


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("track_concepts", {"video_id": "v9", "concepts": ["cat"]}, "unknown video 'v9'; known: v1"),
        ("track_concepts", {"video_id": "v1"}, "nothing to track"),
        ("track_concepts", {"video_id": "v1", "concepts": ["cat"], "last_frame": 80}, "has frames 0-79, not 80"),
        ("track_concepts", {"video_id": "v1", "concepts": ["cat"], "first_frame": 9, "last_frame": 3}, "a range"),
        ("track_concepts", {"video_id": "v1", "concepts": ["cat"], "stride": 0}, "stride = 0"),
        ("track_concepts", {"video_id": "v1", "concepts": ["cat", "dog"], "example_boxes": [[0, 1, 2, 30, 40]]}, "one"),
        ("track_concepts", {"video_id": "v1", "example_boxes": [[1, 2, 30, 40]]}, "five numbers"),
        ("track_concepts", {"video_id": "v1", "example_boxes": [[90, 1, 2, 30, 40]]}, "no frame 90"),
        ("track_concepts", {"video_id": "v1", "negative_boxes": [[0, 1, 2, 30, 40]]}, "positive example"),
        ("track_concepts", {"video_id": "v1", "concepts": ["cat"] * 17}, "concepts"),
        ("track_at", {"video_id": "v1", "frame": 3}, "nothing says which object"),
        ("track_at", {"video_id": "v1", "frame": 80, "points": [[9, 9]]}, "outside frames 0-79"),
        ("track_at", {"video_id": "v1", "frame": 3, "points": [[900, 9]]}, "outside the 120x90 frame"),
        ("track_at", {"video_id": "v1", "frame": 3, "points": [[9, 9]], "labels": [2]}, "got 2"),
        ("track_at", {"video_id": "v1", "frame": 3, "points": [[9, 9]], "track_id": "t7"}, "unknown track 't7'"),
        ("look_frames", {"video_id": "v1", "frames": [80]}, "there is no frame 80"),
        ("look_frames", {"video_id": "v1", "frames": [1], "times_s": [0.5]}, "not both"),
        ("look_frames", {"video_id": "v1", "frames": list(range(17))}, "frames"),
        ("look_frames", {"video_id": "v1", "track_ids": ["t7"]}, "unknown track 't7'; known: none yet"),
        ("edit_tracks", {"video_id": "v1", "operation": "drop", "track_ids": []}, "track_ids is empty"),
        ("edit_tracks", {"video_id": "v1", "operation": "drop", "track_ids": ["t1"]}, "unknown track 't1'"),
        ("edit_tracks", {"video_id": "v1", "operation": "undo", "track_ids": ["t1"]}, "operation = 'undo'"),
        ("export_tracks", {"video_id": "v1"}, "there is no output folder"),
        ("measure_tracks", {"video_id": "v1", "sort_by": "beauty"}, "sort_by = 'beauty'"),
    ],
)
def test_what_the_caller_can_repair_is_told(workspace: Workspace, name: str, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError) as caught:
        call(workspace, name, **raw)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_and_frames_may_be_written_as_models_write_them(workspace: Workspace) -> None:
    call(workspace, "track_concepts", videoId="V1", concepts="cat, dog")
    seen = call(workspace, "look_frames", video_id="video v1", frames="0, 12.0", track_ids="t1, t3")
    assert [row["frame"] for row in seen.data["frames"]] == [0, 12]
    assert [entry["id"] for entry in seen.data["frames"][0]["seen"]] == ["t1", "t3"]


def test_a_sheet_of_chosen_frames_shows_every_track(workspace: Workspace) -> None:
    call(workspace, "track_concepts", **TRACKING)
    shown = call(workspace, "look_frames", video_id="v1", track_ids=["t2"], count=4)
    assert len(shown.data["frames"]) == 4
    assert all(row["seen"] for row in shown.data["frames"])
    sheet = np.asarray(shown.pictures[0].image)
    assert max(sheet.shape[:2]) <= 1024
    assert (sheet == 255).all(axis=2).sum() > 500  # outlines and labels
