"""The agent: the loop with an LLM, on one case after the other."""

import time
from dataclasses import replace

from sam3_agent.llm.base import LLM
from sam3_agent.loop.agent import Agent
from sam3_agent.workspace import Workspace
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.open_image import OpenedImage


class AgentSolver:
    """Asks the agent; its answer's masks are the prediction, whatever the outcome ("best so far" counts)."""

    def __init__(self, workspace: Workspace, llm: LLM, votes: int = 1, *, rescue: bool = False) -> None:
        self._sitting = OpenedImage(workspace)
        self._agent = Agent(workspace, llm, votes=votes, rescue=rescue)

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Ask once.

        Raises:
            KeyboardInterrupt: the agent was interrupted; a half-done case is not a prediction.
        """
        workspace = self._sitting.workspace
        began, encodes = time.monotonic(), workspace.encodes
        answer = self._agent.ask(self._sitting.open(case, picture), case.query)
        if answer.interrupted:
            raise KeyboardInterrupt
        return Prediction(
            case.id,
            rles=tuple(instance.rle for instance in answer.instances),
            scores=tuple(round(instance.score, 6) for instance in answer.instances),
            outcome=answer.outcome,
            reason=answer.reason,
            error=answer.reason if answer.outcome == "failed" else "",
            trace=answer.trace,
            # Opening the image is part of the case's price; the answer's own usage begins after it.
            usage=replace(answer.usage, encodes=workspace.encodes - encodes, seconds=time.monotonic() - began),
        )
