"""Solvers, one file each: they answer cases; a new one is a file here and a line in `make_solver`."""

import re
from typing import TYPE_CHECKING, Protocol

from sam3_agent.errors import InputError
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source
from sam3_evals.solvers.agent import AgentSolver
from sam3_evals.solvers.concept import ConceptSolver
from sam3_evals.solvers.function import FunctionSolver, load_function
from sam3_evals.solvers.oracle import OracleSolver
from sam3_evals.solvers.video.agent import VideoAgentSolver
from sam3_evals.solvers.video.concept import VideoConceptSolver
from sam3_evals.solvers.video.function import VideoFunctionSolver
from sam3_evals.solvers.video.oracle import VideoOracleSolver

if TYPE_CHECKING:
    from sam3_agent.workspace import Workspace

SOLVERS = ("concept", "agent", "oracle")
AGENT = re.compile(r"agent(?:\+votes(?P<votes>\d{1,2}))?(?P<rescue>\+rescue)?")
"""The agent as it is, with votes ("agent+votes5"), with second attempts ("agent+rescue"), or with both in this order:
in the name, so that a run's manifest tells them apart.
"""
VIDEO_SOLVERS = ("concept", "agent", "oracle")
"""Those that take videos."""


class Solver(Protocol):
    """Answers one case after the other; consecutive cases about one image encode it once."""

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Answer one case; a query that it cannot handle becomes a prediction with `error` set.

        Raises:
            Sam3AgentError: the image itself is unusable, or the model is.
        """
        ...


def check_solver(name: str, llm: str, *, videos: bool = False) -> None:
    """Refuse an unknown solver, one that takes no videos, or an agent without an LLM, before a model is loaded.

    Raises:
        InputError: as said.
    """
    if ":" in name:
        load_function(name)
    elif name not in SOLVERS and not AGENT.fullmatch(name):
        raise InputError(f"unknown solver {name!r}; use one of: {', '.join(SOLVERS)}, or MODULE:FUNCTION")
    if videos and ":" not in name and name not in VIDEO_SOLVERS:
        raise InputError(
            f"the solver {name} takes no videos; use one of: {', '.join(VIDEO_SOLVERS)}, or MODULE:FUNCTION"
        )
    if AGENT.fullmatch(name) and not llm:
        raise InputError("the solver agent needs an LLM: add --llm rules, or --llm anthropic:MODEL")


def needs_model(name: str) -> bool:
    """Whether the solver looks through the model; a function of one's own does not."""
    return ":" not in name


def make_solver(name: str, workspace: "Workspace | None", llm: str, *, videos: bool = False) -> Solver:
    """Build a solver by its name over a workspace that it may use as it likes (None: see `needs_model`).

    With `videos` it is one that takes videos, else one that takes images.

    Raises:
        InputError: see `check_solver`.
        LLMConfigError: the LLM cannot be loaded.
    """
    check_solver(name, llm, videos=videos)
    if videos:
        return _video_solver(name, workspace, llm)
    if workspace is None:
        return FunctionSolver(load_function(name))
    if name == "concept":
        return ConceptSolver(workspace)
    if name == "oracle":
        return OracleSolver(workspace)
    from sam3_agent.loop.load_llm import load_llm

    asked = AGENT.fullmatch(name)
    votes = int(asked["votes"] or 1) if asked else 1
    return AgentSolver(workspace, load_llm(llm), votes, rescue=bool(asked and asked["rescue"]))


def _video_solver(name: str, workspace: "Workspace | None", llm: str) -> Solver:
    if workspace is None:
        return VideoFunctionSolver(load_function(name))
    if name == "agent":
        from sam3_agent.loop.load_llm import load_llm

        return VideoAgentSolver(workspace, load_llm(llm))
    return VideoOracleSolver(workspace) if name == "oracle" else VideoConceptSolver(workspace)
