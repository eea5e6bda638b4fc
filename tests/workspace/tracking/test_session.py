"""Tracking of a scripted video by the fake model: prompts, directions, modes, resuming, and what is kept."""

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError, ToolError, UnknownHandle
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.tracks import Track
from sam3_agent.types import ClickPrompt, Detection
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.profiles import PAPER, SAM3
from sam3_agent.workspace.tracking.query import ExampledConcept, FrameExample, ObjectClick
from sam3_agent.workspace.tracking.session import CHECKPOINT_EVERY, JOURNAL
from tests.workspace.tracking.scripted import FRAMES, HEIGHT, WIDTH, answers, frame, scripted_model, scripted_video

Masks = dict[str, dict[int, str]]


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(scripted_model())


def told(tracks: Sequence[Track]) -> Masks:
    """Track -> frame -> mask."""
    return {track.id: {seen.index: seen.rle.counts for seen in track.visible} for track in tracks}


def by_concept(tracks: Sequence[Track], concept: str) -> list[Track]:
    return [track for track in tracks if track.concept == concept]


def test_every_object_of_every_phrase_has_one_id_from_first_to_last_frame(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    tracks = workspace.track(video.id, ["cat", "dog"])
    assert [(t.concept, len(t.visible)) for t in tracks] == [("cat", 80), ("cat", 70), ("dog", 80)]
    for track in tracks:
        for seen in track.visible:
            wanted = [c.rle for c in answers(frame(seen.index))[track.concept].kept]
            assert seen.rle in wanted


def test_an_object_that_was_away_comes_back_under_its_id(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    away = workspace.track(video.id, ["cat"])[1]
    assert away.at(40) is not None
    assert [seen.index for seen in away.visible if 25 <= seen.index < 45] == [*range(25, 30), *range(40, 45)]
    entry = away.at(35)
    assert entry is not None
    assert entry.state == "left"


def test_a_glimpse_that_nothing_confirms_is_told_live_and_retracted_and_never_told_delayed() -> None:
    outcomes: list[Masks] = []
    glimpsed: list[bool] = []
    for live in (True, False):
        workspace = Workspace(FakeSegmenter(with_ghost))
        video = workspace.open_video(scripted_video())
        lines = list(workspace.follow(video.id, ["cat"], live=live, profile=SAM3))
        retracted = {track_id for line in lines for track_id in line.retracted}
        named = {entry.id for line in lines for entry in line.entries}
        glimpsed.append(bool(named - {t.id for t in workspace.tracks(video.id)}))
        assert bool(retracted) == live
        outcomes.append(told(workspace.tracks(video.id)))
    assert glimpsed == [True, False]
    assert outcomes[0] == outcomes[1]


def with_ghost(image: NDArray[np.uint8]) -> dict[str, Detection]:
    """A cat that the detector sees in one frame only, while the tracker follows it for long."""
    found = answers(image)
    index = int(image[0, 0, 2])
    ghost = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    ghost[60:80, 5:25] = True
    if index == 10:
        found["cat"] = detection([*(masks.decode(c.rle) for c in found["cat"].kept), ghost])
    return found | {"#ghost": detection([ghost])}


def test_delayed_and_live_tell_the_same_frames_after_the_delay() -> None:
    lines = []
    for live in (True, False):
        workspace = Workspace(scripted_model())
        video = workspace.open_video(scripted_video())
        lines.append(list(workspace.follow(video.id, ["cat", "dog"], live=live, frames=(0, 60))))
    assert [line.frame for line in lines[0]] == [line.frame for line in lines[1]] == list(range(61))
    for one, other in zip(*lines, strict=True):
        assert [(e.id, e.frame.rle) for e in one.entries] == [(e.id, e.frame.rle) for e in other.entries]
        assert not any(entry.frame.state == "provisional" for entry in other.entries)


def test_a_clicked_object_is_followed_both_ways_from_its_frame(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    click = ObjectClick(50, ClickPrompt(((65.0, 35.0),)))
    (track,) = workspace.track(video.id, clicks=[click])
    assert (track.concept, track.first, track.last) == ("object", 0, FRAMES - 1)
    assert len(track.visible) == FRAMES
    assert all(seen.rle == answers(frame(seen.index))["dog"].kept[0].rle for seen in track.visible)


def test_a_concept_that_is_added_later_leaves_the_others_as_they_are(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    before = told(workspace.track(video.id, ["cat"]))
    encodes = workspace.statistics()
    after = workspace.track(video.id, ["dog"])
    assert {i: kept for i, kept in told(after).items() if i in before} == before
    (added,) = by_concept(after, "dog")
    assert added.id not in before
    assert encodes is not None


def test_an_equal_question_is_not_answered_twice(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    first = told(workspace.track(video.id, ["cat"]))
    assert list(workspace.follow(video.id, ["cat"])) == []
    assert told(workspace.tracks(video.id)) == first


def test_an_example_box_on_one_frame_finds_its_kind_on_all_frames(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    box = answers(frame(70))["dog"].kept[0].box
    (track,) = workspace.track(video.id, [ExampledConcept((FrameExample(70, box),))])
    assert track.concept == "example"
    assert len(track.visible) == FRAMES
    assert all(seen.rle == answers(frame(seen.index))["dog"].kept[0].rle for seen in track.visible)


def test_a_learned_concept_goes_wherever_a_phrase_goes(workspace: Workspace) -> None:
    image = workspace.open(frame(3))
    box = answers(frame(3))["dog"].kept[0].box
    workspace.learn("pet", positive_boxes=[(image.id, box)])
    video = workspace.open_video(scripted_video())
    (track,) = workspace.track(video.id, ["@pet"], frames=(0, 20))
    assert track.concept == "@pet"
    assert len(track.visible) == 21


def test_a_click_that_corrects_a_track_changes_it_from_there_on_and_no_other(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    before = told(workspace.track(video.id, ["cat", "dog"]))
    (dog,) = by_concept(workspace.tracks(video.id), "dog")
    cat = answers(frame(60))["cat"].kept[0]
    x, y = (cat.box[0] + cat.box[2]) / 2, (cat.box[1] + cat.box[3]) / 2
    click = ObjectClick(60, ClickPrompt(((x, y),)), dog.id, "dog")
    after = told(workspace.track(video.id, clicks=[click]))
    assert {i: kept for i, kept in after.items() if i != dog.id} == {i: v for i, v in before.items() if i != dog.id}
    assert all(after[dog.id][t] == before[dog.id][t] for t in range(60))
    assert all(after[dog.id][t] == answers(frame(t))["cat"].kept[0].rle.counts for t in range(60, FRAMES))


def test_a_range_is_tracked_alone_and_backwards_when_asked(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    lines = list(workspace.follow(video.id, ["dog"], frames=(10, 30), reverse=True, live=True))
    assert [line.frame for line in lines] == list(range(30, 9, -1))
    (track,) = workspace.tracks(video.id)
    assert [seen.index for seen in track.visible] == list(range(10, 31))


def test_with_a_stride_tracks_go_on_between_detections() -> None:
    model = scripted_model()
    workspace = Workspace(model)
    video = workspace.open_video(scripted_video())
    (track,) = workspace.track(video.id, ["dog"], stride=5, frames=(0, 49))
    assert len(track.visible) == 50
    assert model.detects == len({*range(0, 50, 5), *range(0, 50, PAPER.reprompt_every)})
    assert model.encodes == 50


def test_every_frame_is_encoded_once_for_all_phrases() -> None:
    model = scripted_model()
    workspace = Workspace(model)
    video = workspace.open_video(scripted_video())
    workspace.track(video.id, ["cat", "dog"], frames=(0, 20))
    assert (model.encodes, model.detects) == (21, 21)


def test_who_stops_early_keeps_what_was_told_and_goes_on_from_there() -> None:
    whole = Workspace(scripted_model())
    video = whole.open_video(scripted_video())
    wanted = told(whole.track(video.id, ["cat", "dog"]))
    workspace = Workspace(scripted_model())
    video = workspace.open_video(scripted_video())
    list(islice(workspace.follow(video.id, ["cat", "dog"], live=True), 33))
    assert max(seen for kept in told(workspace.tracks(video.id)).values() for seen in kept) == 32
    lines = list(workspace.follow(video.id, ["cat", "dog"], live=True))
    assert lines[0].frame == 33
    assert told(workspace.tracks(video.id)) == wanted


def test_ctrl_c_in_the_middle_of_a_frame_leaves_the_frames_before_it_and_an_equal_call_ends_the_same(
    tmp_path: Path,
) -> None:
    whole = Workspace(scripted_model())
    wanted = told(whole.track(whole.open_video(scripted_video()).id, ["cat", "dog"]))
    broken = Workspace(FakeSegmenter(interrupted_at(70)))
    video = broken.open_video(scripted_video())
    with pytest.raises(KeyboardInterrupt):
        broken.track(video.id, ["cat", "dog"], folder=tmp_path)
    kept = told(broken.tracks(video.id))
    assert max(t for frames in kept.values() for t in frames) == 69
    assert all(wanted[i][t] == mask for i, frames in kept.items() for t, mask in frames.items())
    again = Workspace(scripted_model())
    assert told(again.track(again.open_video(scripted_video()).id, ["cat", "dog"], folder=tmp_path)) == wanted


def interrupted_at(index: int):  # a callable of the fake's own kind
    def found(image: NDArray[np.uint8]) -> dict[str, Detection]:
        if int(image[0, 0, 2]) == index:
            raise KeyboardInterrupt
        return answers(image)

    return found


def test_progress_counts_to_the_end_with_a_speed(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    told_of = []
    workspace.track(video.id, ["dog"], frames=(0, 29), on_progress=told_of.append, live=True)
    assert [p.done for p in told_of] == list(range(1, 31))
    assert {p.total for p in told_of} == {30}
    assert told_of[-1].seconds_left == 0
    assert told_of[-1].fps > 0


def test_a_journal_of_another_video_or_model_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    workspace.track(workspace.open_video(scripted_video()).id, ["dog"], frames=(0, 5), folder=tmp_path)
    other = workspace.open_video(np.zeros((10, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="other settings"):
        workspace.track(other.id, ["dog"], folder=tmp_path)


def test_what_cannot_be_asked_is_said(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    with pytest.raises(InputError, match="nothing to track"):
        workspace.track(video.id)
    with pytest.raises(InputError, match="has frames 0-79, not 200"):
        workspace.track(video.id, ["dog"], frames=(0, 200))
    with pytest.raises(InputError, match="a range such as"):
        workspace.track(video.id, ["dog"], frames=(20, 10))
    with pytest.raises(InputError, match="stride"):
        workspace.track(video.id, ["dog"], stride=0)
    with pytest.raises(InputError, match="outside frames"):
        workspace.track(video.id, clicks=[ObjectClick(70, ClickPrompt(((1.0, 1.0),)))], frames=(0, 50))
    with pytest.raises(InputError, match="positive"):
        ExampledConcept((FrameExample(3, (1, 1, 5, 5), positive=False),))
    with pytest.raises(UnknownHandle, match="v9"):
        workspace.track("v9", ["dog"])
    with pytest.raises(UnknownHandle, match="t77"):
        workspace.track(video.id, clicks=[ObjectClick(5, ClickPrompt(((1.0, 1.0),)), "t77")])


def test_a_frame_of_a_video_is_an_image_for_every_image_tool(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    (found,) = workspace.segment(f"{video.id}@12", ["dog"])
    assert found.instances[0].rle == answers(frame(12))["dog"].kept[0].rle
    with pytest.raises(InputError, match="no frame 500"):
        workspace.segment(f"{video.id}@500", ["dog"])
    with pytest.raises(UnknownHandle, match="v7"):
        workspace.segment("v7@1", ["dog"])
    workspace.forget_video(video.id)
    with pytest.raises(UnknownHandle):
        workspace.image(f"{video.id}@12")


def test_a_forgotten_video_leaves_no_folder_behind(workspace: Workspace) -> None:
    video = workspace.open_video(scripted_video())
    workspace.track(video.id, ["dog"], frames=(0, 5))
    folder = workspace._videos.session(video.id).folder
    assert (folder / JOURNAL).is_file()
    workspace.forget_video(video.id)
    assert not folder.exists()


def test_a_model_that_only_answers_prompts_says_that_it_cannot_follow() -> None:
    model = scripted_model()

    class AnswersOnly:
        info, encode, detect = model.info, model.encode, model.detect
        read_exemplars, segment_at = model.read_exemplars, model.segment_at

    workspace = Workspace(AnswersOnly())
    video = workspace.open_video(scripted_video())
    with pytest.raises(ToolError, match="cannot follow"):
        workspace.track(video.id, ["dog"])


@pytest.mark.integration
@pytest.mark.parametrize("killed_at", [3, 40, 63, 64, 79])
def test_a_run_that_is_killed_ends_with_the_same_tracks_when_it_is_started_again(
    tmp_path: Path, killed_at: int
) -> None:
    command = [sys.executable, "-m", "tests.workspace.tracking.scripted", str(tmp_path)]
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run([*command, str(killed_at)], cwd=root, env=environment, check=False)
    assert killed.returncode == -9
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
    assert int(done.stdout) == FRAMES - (killed_at + 1) // CHECKPOINT_EVERY * CHECKPOINT_EVERY
    whole, again = Workspace(scripted_model()), Workspace(scripted_model())
    wanted = told(whole.track(whole.open_video(scripted_video()).id, ["cat", "dog"]))
    found = again.track(again.open_video(scripted_video()).id, ["cat", "dog"], folder=tmp_path)
    assert told(found) == wanted
