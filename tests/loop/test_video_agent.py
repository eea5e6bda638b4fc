"""Asks about videos: the rules measure tracks, an LLM goes through the same tools, a judge looks at what it says."""

from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.loop.video import perfect_tracker, score_of
from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.llm.base import LLM, Message, ToolCall
from sam3_agent.llm.scripted import Line, ScriptedLLM
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.trace import read_trace, write_trace
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.planner import RulesLLM
from sam3_agent.scenes.video import QUERY_CLIPS, draw_clip, temporal_queries_of, truth_of, union_of
from sam3_agent.tracks import VideoAnswer
from sam3_agent.types import INTERRUPTED
from sam3_agent.workspace import Workspace
from tests.workspace.tracking.scripted import FRAMES, scripted_model, scripted_video

TRACK = ToolCall("c1", "track_concepts", {"video_id": "v1", "concepts": ["cat"]})
NONE = ToolCall("c9", "report_no_match", {"reason": "no zebra"})


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Two cats, of which t1 walks to the right and t2 is away for ten frames, and a dog."""
    made = Workspace(scripted_model())
    made.open_video(scripted_video())
    yield made
    made.forget_video("v1")


def submit(*ids: str) -> ToolCall:
    return ToolCall("s", "submit_tracks", {"video_id": "v1", "track_ids": list(ids), "reason": "r"})


def verdict(**arguments: Any) -> ToolCall:
    return ToolCall("v", "give_track_verdict", arguments)


def ask(workspace: Workspace, llm: LLM, query: str = "the cat that moves to the right", **options: Any) -> VideoAnswer:
    return VideoAgent(workspace, llm, **options).ask("v1", query)


def test_the_rules_track_measure_and_answer(workspace: Workspace) -> None:
    answer = Agent(workspace, RulesLLM()).ask_video("v1", "the cat that moves to the right")
    assert (answer.outcome, answer.track_ids) == ("answered", ("t1",))
    assert answer.reason == "2 tracks for 'cat'; moves right: t1"
    called = [step.data["name"] for step in answer.trace.steps if step.kind == "tool"]
    assert called == ["track_concepts", "measure_tracks", "submit_tracks"]
    assert (answer.usage.turns, answer.usage.usd) == (3, 0)
    assert answer.mask_at(10) == answer.tracks[0].frames[10].rle
    assert answer.mask_at(FRAMES) is None


def test_what_was_tracked_for_one_query_is_not_tracked_again_for_the_next(workspace: Workspace) -> None:
    agent = Agent(workspace, RulesLLM())
    first = agent.ask_video("v1", "the cat that leaves and comes back")
    second = agent.ask_video("v1", "all cats")
    third = agent.ask_video("v1", "the dog")
    fourth = agent.ask_video("v1", "all cats")
    assert [a.track_ids for a in (first, second, third, fourth)] == [("t2",), ("t1", "t2"), ("t3",), ("t1", "t2")]
    assert [a.usage.encodes for a in (first, second, third, fourth)] == [FRAMES, 0, FRAMES, 0]


def test_nothing_that_fits_is_no_match_and_what_is_not_understood_fails_by_name(workspace: Workspace) -> None:
    none = ask(workspace, RulesLLM(), "the cat that shrinks")
    assert (none.outcome, none.tracks, none.reason) == ("no_match", (), "none of 2 tracks shrinks")
    unknown = ask(workspace, RulesLLM(), "the walrus that leaves first")
    assert (unknown.outcome, unknown.reason) == ("no_match", "no walrus was found in the video")
    beyond = ask(workspace, RulesLLM(), "the cat that purrs")
    assert beyond.outcome == "failed"
    assert "'purrs' about a video; use an LLM" in beyond.reason


def test_the_callers_own_mistakes_are_raised(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        ask(workspace, RulesLLM(), "  ")
    with pytest.raises(UnknownHandle, match="unknown video 'v7'"):
        Agent(workspace, RulesLLM()).ask_video("v7", "the cat")


def test_an_llm_goes_through_the_tools_for_videos_and_sees_the_preview(workspace: Workspace) -> None:
    llm = ScriptedLLM(TRACK, submit("t1"))
    answer = ask(workspace, llm)
    assert (answer.outcome, answer.track_ids, answer.reason) == ("answered", ("t1",), "r")
    system, task = llm.seen[0]
    assert "submit_tracks" in system.text
    assert task.text.startswith("video_id: v1 (120 x 90 px, frames 0-79 at 25 frames/s; preview: frames 0, 11")
    assert task.text.endswith("query: the cat that moves to the right")
    assert len(task.pictures) == 1
    assert {"track_concepts", "look_frames", "measure_tracks", "submit_tracks"} <= set(llm.tools)


def test_mistakes_go_back_to_the_llm_and_a_run_without_end_keeps_the_best_so_far(workspace: Workspace) -> None:
    llm = ScriptedLLM(TRACK, submit(), submit("t9"), submit("t2"))
    answer = ask(workspace, llm)
    assert answer.track_ids == ("t2",)
    told = [message.results[0].text for message in llm.seen[3] if message.results]
    assert "track_ids is empty" in told[1]
    assert "unknown track 't9'; known: t1, t2" in told[2]
    spent = ask(workspace, ScriptedLLM(TRACK, TRACK, TRACK), budget=Budget(max_turns=2))
    assert (spent.outcome, spent.track_ids) == ("budget", ("t1", "t2"))
    broken = ask(workspace, ScriptedLLM(NONE))
    assert (broken.outcome, broken.tracks) == ("no_match", ())


def test_a_judge_looks_again_only_at_what_it_is_not_sure_of(workspace: Workspace) -> None:
    llm = ScriptedLLM(
        TRACK,
        submit("t1", "t2"),
        verdict(accepted=["t1"], uncertain=["t2"]),
        verdict(rejected=["t2"], reasons=["it lies still"]),
        submit("t1"),
        sees=True,
    )
    answer = ask(workspace, llm)
    assert (answer.outcome, answer.track_ids) == ("answered", ("t1",))
    first, second = (llm.seen[place][1] for place in (2, 3))
    assert "t1 cat" in first.text
    assert "t1 cat" not in second.text
    assert frames_told(first).isdisjoint(frames_told(second))
    assert not frames_told(second) & set(range(30, 40)), "t2 is away in these"
    assert "t2 rejected: it lies still" in llm.seen[4][-1].results[0].text


def test_a_judge_without_a_verdict_or_an_llm_that_insists_lets_the_answer_stand(workspace: Workspace) -> None:
    silent = ask(workspace, ScriptedLLM(TRACK, submit("t1"), "hm", "hm", sees=True))
    assert (silent.outcome, silent.track_ids) == ("answered", ("t1",))
    insisting = ScriptedLLM(TRACK, submit("t2"), verdict(rejected=["t2"]), submit("t2"), sees=True)
    assert ask(workspace, insisting).track_ids == ("t2",)
    unjudged = ScriptedLLM(TRACK, submit("t2"), sees=True)
    assert ask(workspace, unjudged, judges=False).track_ids == ("t2",)


def frames_told(message: Message) -> set[int]:
    sheets = [line.partition("frames ")[2].partition(" of ")[0] for line in message.text.split("\n") if "sheet" in line]
    return {int(number) for sheet in sheets for number in sheet.split(", ")}


def test_a_run_that_is_stopped_ends_its_tracking_and_keeps_what_was_found(workspace: Workspace) -> None:
    stop = Event()

    def stopping(_: Sequence[Message]) -> Line:
        stop.set()
        return TRACK

    answer = VideoAgent(workspace, ScriptedLLM(stopping)).ask("v1", "the cat", stop=stop)
    assert answer.interrupted
    assert answer.reason == INTERRUPTED
    assert answer.usage.encodes < FRAMES


def test_a_trace_is_written_and_read_back(workspace: Workspace, tmp_path: Any) -> None:
    answer = ask(workspace, RulesLLM(), keep_pictures=True)
    read = read_trace(write_trace(answer.trace, tmp_path / "run.jsonl"))
    assert [step.kind for step in read.steps] == [step.kind for step in answer.trace.steps]
    assert read.steps[-1].data["track_ids"] == ["t1"]
    assert read.pictures
    assert (
        repr(answer)
        == "VideoAnswer('the cat that moves to the right': answered, t1; 2 tracks for 'cat'; moves right: t1)"
    )


def test_on_a_procedural_video_a_perfect_tracker_and_the_rules_answer_nearly_everything() -> None:
    scores = scores_of(730_001)
    assert len(scores) >= 5
    assert sum(scores) / len(scores) >= 0.95


def scores_of(seed: int) -> list[float]:
    clip = draw_clip(seed, 16, (240, 180), QUERY_CLIPS)
    truth = truth_of(clip)
    workspace = Workspace(perfect_tracker(clip.frames, truth))
    video = workspace.open_video(clip.frames, fps=8.0)
    agent = Agent(workspace, RulesLLM())
    queries = temporal_queries_of(truth, np.random.default_rng(0))
    scores = [score_of(agent.ask_video(video.id, q.text), union_of(truth, q.target_ids)) for q in queries]
    workspace.forget_video(video.id)
    return scores


@pytest.mark.integration
def test_the_embedded_model_follows_a_disc_that_leaves_and_one_that_stays() -> None:
    from sam3_agent.model.replicas import load_segmenter

    workspace = Workspace(load_segmenter("tiny"))
    video = workspace.open_video(two_discs(), fps=8.0)
    answer = Agent(workspace, RulesLLM()).ask_video(video.id, "the circle that leaves the picture")
    assert answer.outcome == "answered"
    (track,) = answer.tracks
    assert track.visible[0].box[0] > 150  # it begins on the right
    assert track.visible[-1].index < 11
    still = Agent(workspace, RulesLLM()).ask_video(video.id, "the circle that does not move")
    assert still.outcome == "answered"
    assert still.track_ids != answer.track_ids
    workspace.forget_video(video.id)


def two_discs() -> NDArray[np.uint8]:
    """(12, 240, 320, 3): a red disc stands at the left, a blue one goes out at the right."""
    rows, columns = np.mgrid[:240, :320]
    frames = np.full((12, 240, 320, 3), 235, dtype=np.uint8)
    for index, frame in enumerate(frames):
        frame[(columns - 80) ** 2 + (rows - 150) ** 2 <= 40**2] = (212, 34, 38)
        frame[(columns - 220 - 20 * index) ** 2 + (rows - 80) ** 2 <= 36**2] = (36, 88, 214)
    return frames
