"""Tool that has the server's own agent answer a question about a video, as a job."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from sam3_agent.errors import InputError, ToolError
from sam3_agent.llm.base import LLM
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.tools import Presentation, ToolSpec
from sam3_agent.tools.arguments import VideoId
from sam3_agent.tools.track_facts import motions_of, track_data, track_lines
from sam3_agent.tools.video_frames import FEW, frames_showing, sheet_of
from sam3_agent.tracks import VideoAnswer
from sam3_agent.workspace import Workspace
from sam3_mcp.ask_image import WatchedLLM
from sam3_mcp.job_tools import MOST_WAIT, JobContext, JobReport, WaitSeconds, present
from sam3_mcp.jobs import CHECKED, STEPS, Job


def ask_video(
    context: JobContext,
    video_id: VideoId,
    query: Annotated[
        str, Field(max_length=2000, description="What to find, such as 'the car that leaves the picture first'.")
    ],
    wait_s: WaitSeconds = MOST_WAIT,
) -> JobReport:
    """Have the server's own agent find what a sentence describes in a video: it tracks, measures and judges by itself.

    Use it for one whole question ("the two dogs that meet") when you do not want to do the steps yourself; the tracks
    that it answers with, and all others that it followed, can be used in every other tool. It may merge or correct
    tracks of the video on its way. It runs as a job, which takes as long as the tracking: what is not ready after
    wait_s seconds is fetched with get_job.
    """
    llm, workspace = context.llm, context.workspace
    if llm is None:
        raise ToolError("this server runs without --llm, so it has no agent; use track_concepts and measure_tracks")
    if not query.strip():
        raise InputError("the query is empty; say what to find, such as 'the car that leaves first'")
    workspace.video(video_id)
    if workspace.video_store.is_running(video_id):
        raise ToolError(f"{video_id} is being tracked; wait until that has ended, or stop it")
    context.check()
    return JobReport(context.jobs.start(query, lambda job: _ask(context, llm, video_id, query, job), bulk=True), wait_s)


ASK_VIDEO = ToolSpec.of(ask_video, present, is_job=True, removes=True, idempotent=False, has_picture=True)


def _ask(context: JobContext, llm: LLM, video_id: str, query: str, job: Job) -> Presentation:
    """Answer it; of a job that was cancelled, the best so far."""
    agent = VideoAgent(context.workspace, WatchedLLM(llm, job))
    answer = agent.ask(video_id, query, stop=job.stop, watch=_TrackingWatch(job, context.check))
    return present_answer(context.workspace, answer, llm.name)


class _TrackingWatch:
    """Watch of what the agent tracks, of which nobody knows beforehand how often and how much it will be.

    So its stand is a line among the notes of the job, for each tenth of the frames, and no share of the whole.
    """

    def __init__(self, job: Job, check: Callable[[], None]) -> None:
        self._job = job
        self._check = check

    @property
    def wanted(self) -> bool:
        """Whether the job was not cancelled."""
        return self._job.wanted

    def note(self, done: int, total: int, words: str) -> None:
        """Take in one frame."""
        if done == 1 or done * STEPS // max(total, 1) > (done - 1) * STEPS // max(total, 1):
            self._job.notes.append(f"tracked {done} of {total} frames: {words}")
        if done % CHECKED == 0:
            self._check()


def present_answer(workspace: Workspace, answer: VideoAnswer, llm: str) -> Presentation:
    """Put an answer of the agent into words, data and a sheet of frames."""
    motions = motions_of(answer.tracks, workspace.video_store.clock(answer.video_id))
    usage = answer.usage
    lines = [f"{answer.outcome}: {answer.reason or 'no reason given'} (by {llm})", *track_lines(motions)]
    lines.append(f"{usage.turns} turns, {usage.encodes} encodes, {usage.seconds:.2f} s")
    data: dict[str, Any] = {
        "video_id": answer.video_id,
        "query": answer.query,
        "outcome": answer.outcome,
        "reason": answer.reason,
        "tracks": [track_data(motion) for motion in motions],
        "llm": llm,
        "usage": usage.to_json(),
    }
    if not motions:
        return Presentation("\n".join(lines), data)
    shown = [motion.track for motion in motions]
    picture = sheet_of(workspace, answer.video_id, frames_showing(shown, FEW), shown)
    return Presentation("\n".join([*lines, f"sheet: {picture.caption}"]), data, (picture,))
