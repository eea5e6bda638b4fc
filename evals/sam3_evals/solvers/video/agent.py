"""The agent on videos: the loop with an LLM, on one case after the other."""

import time
from dataclasses import replace

from sam3_agent.errors import InputError
from sam3_agent.llm.base import LLM
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.workspace import Workspace
from sam3_evals.metrics.video.masklets import volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Footage, Source


class VideoAgentSolver:
    """Asks the agent; its answer's tracks are the prediction, whatever the outcome ("best so far" counts).

    The video stays open while consecutive cases ask about it: what was tracked for one query is not tracked again.
    """

    def __init__(self, workspace: Workspace, llm: LLM) -> None:
        self._workspace = workspace
        self._agent = VideoAgent(workspace, llm)
        self._video = ""
        self._id = ""

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Ask once.

        Raises:
            InputError: the source is an image.
            KeyboardInterrupt: the agent was interrupted; a half-done case is not a prediction.
        """
        began = time.monotonic()
        answer = self._agent.ask(self._opened(case, picture), case.query)
        if answer.interrupted:
            raise KeyboardInterrupt
        size = (case.size[0], case.size[1] // case.frames)
        masklets = [{frame.index: frame.rle for frame in track.visible} for track in answer.tracks]
        return Prediction(
            case.id,
            rles=tuple(volume_of(masklet, case.frames, size) for masklet in masklets),
            scores=tuple(round(track.score, 6) for track in answer.tracks),
            outcome=answer.outcome,
            reason=answer.reason,
            error=answer.reason if answer.outcome == "failed" else "",
            trace=answer.trace,
            usage=replace(answer.usage, seconds=time.monotonic() - began),
        )

    def _opened(self, case: Case, source: Source) -> str:
        if not isinstance(source, Footage):
            raise InputError(f"case {case.id}: a solver of videos was given an image")
        if case.picture != self._video:
            if self._id:
                self._workspace.forget_video(self._id)
            self._id = ""
            self._id = self._workspace.open_video(source.frames, fps=source.fps or None).id
            self._video = case.picture
        return self._id
