"""The loop over a video: concepts to tracks, tracks to an answer, through the same turns as for an image."""

import time
from threading import Event

from sam3_agent.errors import InputError
from sam3_agent.llm.base import LLM, Message
from sam3_agent.llm.clock import Clock, KeepsTime, RunClock
from sam3_agent.llm.task import VideoTask
from sam3_agent.loop.budget import DEFAULT_BUDGET, Budget
from sam3_agent.loop.dialogue import Dialogue, picture_json
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.trace import TRACE_VERSION
from sam3_agent.loop.track_judge import judge_tracks
from sam3_agent.loop.turns import Turns
from sam3_agent.loop.verdict import objection
from sam3_agent.render import Picture
from sam3_agent.tools import VIDEO_LOOP_TOOLS, Presentation
from sam3_agent.tools.long_work import UNWATCHED, Watch
from sam3_agent.tools.report_no_match import NoMatch
from sam3_agent.tools.submit_tracks import TrackSubmission
from sam3_agent.tools.track_concepts import Tracked
from sam3_agent.tools.video_frames import sheet_of, spread
from sam3_agent.tracks import Track, VideoAnswer
from sam3_agent.workspace import Workspace

PREVIEW = 8
"""Frames of the preview: it is sent with every request, and look_frames shows any frames larger."""


class VideoRun(Dialogue):
    """One ask about a video, from the first picture to the answer.

    The best so far is what the latest call that tracked anything has found of the first concept that has tracks.
    """

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        task: VideoTask,
        budget: Budget = DEFAULT_BUDGET,
        clock: Clock = time.monotonic,
        *,
        stop: Event | None = None,
        keep_pictures: bool = False,
        watch: Watch = UNWATCHED,
    ) -> None:
        prompt = read_prompt("system_video")
        super().__init__(workspace, llm, prompt, budget, clock, stop=stop, keep_pictures=keep_pictures)
        self.task = task
        self.best: tuple[Track, ...] = ()
        self.judged = False
        """A judge has looked at a submission of this run: the next one counts as it is."""
        self._tracked = 0
        self._watch = watch

    def begin(self, preview: Picture) -> None:
        """Open the conversation."""
        task = self.task
        opening = Message("user", task.text(preview.caption), (preview,), task=task)
        self.messages = [Message("system", self.system.text), opening]
        self.record(
            "start",
            self.meter.seconds,
            version=TRACE_VERSION,
            query=task.query,
            video={"id": task.video_id, "width": task.width, "height": task.height, "frames": task.frames},
            model=self.workspace.info.to_json(),
            llm=self._llm.name,
            picture=picture_json(preview, self.keep(preview)),
        )

    @property
    def wanted(self) -> bool:
        """Whether tracking is to go on: as for every run, and the watch wants it too."""
        return super().wanted and self._watch.wanted

    def note(self, done: int, total: int, words: str) -> None:
        """Count the frames that tracking encodes; it does not go through the workspace's images."""
        self._tracked += 1
        self._watch.note(done, total, words)

    def learn(self, result: object) -> None:
        """Remember what a tool call found, by the rule of this class."""
        if isinstance(result, Tracked) and result.tracks:
            first = result.tracks[0].concept
            self.best = tuple(track for track in result.tracks if track.concept == first)

    def answer(self) -> VideoAnswer:
        """The answer of an ended run, its last step recorded."""
        assert self.outcome is not None
        usage = self.meter.usage(self.workspace.encodes - self._encodes + self._tracked)
        ids = [track.id for track in self.best]
        told = {"outcome": self.outcome, "reason": self.reason, "track_ids": ids, "usage": usage.to_json()}
        self.record("end", usage.seconds, **told)
        task = self.task
        return VideoAnswer(task.query, task.video_id, self.outcome, self.best, self.reason, usage, self.trace)


class VideoAgent:
    """Answers referring expressions about open videos. Asks about one video go one after the other.

    `judges` None means that an LLM that sees pictures looks at its first submission once more (`judge_tracks`).
    With `keep_pictures` the trace holds every picture that was shown, as a JPEG file.
    """

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        *,
        budget: Budget = DEFAULT_BUDGET,
        judges: bool | None = None,
        keep_pictures: bool = False,
    ) -> None:
        self.workspace = workspace
        self.llm = llm
        self.budget = budget
        self.judges = llm.sees if judges is None else judges
        self.keep_pictures = keep_pictures
        self._turns = Turns(workspace, VIDEO_LOOP_TOOLS, self._settle)

    def ask(self, video_id: str, query: str, *, stop: Event | None = None, watch: Watch = UNWATCHED) -> VideoAnswer:
        """Find what `query` refers to; nothing that an LLM or a tool does is raised, it ends in the answer's outcome.

        Ctrl-C, or `stop` once it is set, ends the run with outcome "budget", reason "interrupted" and the best so far;
        what was tracked stays, and an equal question goes on from there. `watch` is told each frame that is tracked.

        Raises:
            ToolError: the caller's own mistake: an unknown video id, or an empty query.
        """
        video = self.workspace.video(video_id)
        text = " ".join(query.split())
        if not text:
            raise InputError("the query is empty; say what to find, such as 'the car that leaves first'")
        task = VideoTask(video_id, video.width, video.height, video.frames, video.fps, text)
        clock = self.llm.start_clock(task.name) if isinstance(self.llm, KeepsTime) else RunClock()
        keeps = self.keep_pictures
        run = VideoRun(self.workspace, self.llm, task, self.budget, clock, stop=stop, keep_pictures=keeps, watch=watch)
        self._turns.take(run, self._begin)
        answer = run.answer()
        clock.stop()
        return answer

    def _begin(self, run: VideoRun) -> None:
        """Show the LLM its task."""
        task = run.task
        run.begin(sheet_of(self.workspace, task.video_id, spread(0, task.frames - 1, PREVIEW), ()))

    def _settle(self, run: VideoRun, presentation: Presentation) -> Presentation:
        """Draw the consequence of a call that worked."""
        match presentation.result:
            case TrackSubmission() as submission:
                return self._submitted(run, submission, presentation)
            case NoMatch(reason):
                run.best = ()
                run.end("no_match", reason)
            case found:
                run.learn(found)
        return presentation

    def _submitted(self, run: VideoRun, submission: TrackSubmission, presentation: Presentation) -> Presentation:
        tracks, video_id = submission.tracks, submission.video_id
        if self.judges and not run.judged and not run.budget.spent(run.meter):
            run.judged = True
            named = set(presentation.data["track_ids"])
            others = [track for track in self.workspace.video_store.tracks(video_id) if track.id not in named]
            verdict = judge_tracks(run, video_id, run.task.query, tracks, others, submission.reason)
            if not verdict.passes:
                kept = tuple(track for track in tracks if track.id not in verdict.rejected)
                run.best = kept or tracks
                return objection(presentation, verdict)
        run.best = tracks
        run.end("answered", submission.reason)
        return presentation
