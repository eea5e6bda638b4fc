"""Solvers, one file each: they answer cases; a new one is a file here and a line in `make_solver`."""

from typing import TYPE_CHECKING, Protocol

from evals.case import Case, Source
from evals.prediction import Prediction
from evals.solvers.agent import AgentSolver
from evals.solvers.concept import ConceptSolver
from sam3_agent.errors import InputError

if TYPE_CHECKING:
    from sam3_agent.workspace import Workspace

SOLVERS = ("concept", "agent")


class Solver(Protocol):
    """Answers one case after the other; consecutive cases about one picture encode it once."""

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Answer one case; a query that it cannot handle becomes a prediction with `error` set.

        Raises:
            Sam3AgentError: the picture itself is unusable, or the eye is.
        """
        ...


def check_solver(name: str, llm: str) -> None:
    """Refuse an unknown solver, or an agent without a brain, before anything heavy is loaded.

    Raises:
        InputError: as said.
    """
    if name not in SOLVERS:
        raise InputError(f"unknown solver {name!r}; use one of: {', '.join(SOLVERS)}")
    if name == "agent" and not llm:
        raise InputError("the solver agent needs a brain: add --llm rules, or --llm anthropic:MODEL")


def make_solver(name: str, workspace: "Workspace", llm: str) -> Solver:
    """Build a solver by its name over a workspace that it may use as it likes.

    Raises:
        InputError: see `check_solver`.
        LLMConfigError: the brain cannot be loaded.
    """
    check_solver(name, llm)
    if name == "concept":
        return ConceptSolver(workspace)
    from sam3_agent.loop.llm import load_llm

    return AgentSolver(workspace, load_llm(llm))
