"""`sam3-agent ask`: one referring expression about one picture."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam3_agent.cli.output import box_words, print_line, print_notes, print_table, progress_console
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.types import Answer, ModelInfo
from sam3_agent.workspace import OpenImage, Workspace

if TYPE_CHECKING:
    from sam3_agent.llm.base import LLM
    from sam3_agent.loop.judge import JudgeMode


@dataclass(frozen=True, slots=True)
class AskReport:
    """An answer with where it came from."""

    image: OpenImage
    info: ModelInfo
    llm: str
    answer: Answer
    trace: Path | None
    page: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `ask` (README)."""
        answer = self.answer
        return {
            "query": answer.query,
            "outcome": answer.outcome,
            "reason": answer.reason,
            "instances": [instance.to_json() for instance in answer.instances],
            "usage": answer.usage.to_json(),
            "trace": str(self.trace) if self.trace is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Written:
    """Files that a run is written to, if any."""

    trace: Path | None = None
    page: Path | None = None

    @property
    def keeps_pictures(self) -> bool:
        """Whether somebody will look at the pictures of the run."""
        return self.trace is not None or self.page is not None


def load_recorded_llm(spec: str, record: Path | None) -> "LLM":
    """The LLM; with `record`, everything that it says goes into a new file, for `replay:`."""
    from sam3_agent.llm.recording import RecordingLLM
    from sam3_agent.loop.load_llm import load_llm

    loaded_llm = load_llm(spec)
    return loaded_llm if record is None else RecordingLLM(loaded_llm, record)


def make_agent(
    workspace: Workspace, loaded_llm: "LLM", budget: Budget, judge: "JudgeMode | None", written: Written
) -> Agent:
    """The agent of one command."""
    return Agent(workspace, loaded_llm, budget=budget, judge=judge, keep_pictures=written.keeps_pictures)


def ask(agent: Agent, source: str, query: str, written: Written) -> AskReport:
    """Open the picture, ask, write trace and page; a run that Ctrl-C ended raises KeyboardInterrupt after these."""
    from sam3_agent.loop.trace import write_trace
    from sam3_agent.loop.trace_page import write_page

    image = agent.workspace.open(source)
    with progress_console().status(f"asking {agent.llm.name}"):
        answer = agent.ask(image.id, query)
    if written.trace is not None:
        write_trace(answer.trace, written.trace)
    if written.page is not None:
        write_page(answer.trace, written.page)
    if answer.interrupted:
        raise KeyboardInterrupt
    usage = replace(answer.usage, encodes=agent.workspace.encodes)  # opening the picture was part of the command
    answer = replace(answer, usage=usage)
    return AskReport(image, agent.workspace.info, agent.llm.name, answer, written.trace, written.page)


def check_query(query: str) -> None:
    """Refuse an empty query before a model is loaded."""
    if not query.strip():
        raise InputError("the query is empty; say what to find, such as 'the person furthest to the right'")


def raise_if_failed(answer: Answer) -> None:
    """Turn a failed run into the command's own failure, when its report is out."""
    if answer.outcome == "failed":
        raise Sam3AgentError(answer.reason)


def print_report(report: AskReport, out: Path | None) -> None:
    """The answer for a person."""
    answer, usage = report.answer, report.answer.usage
    print_line(f"{answer.outcome}: {answer.reason}", style="bold")
    if answer.instances:
        rows = [[i.id, f"{i.score:.2f}", str(i.area), box_words(i.box)] for i in answer.instances]
        print_table(("id", "score", "area", "box"), rows, right=("score", "area"))
    tokens = f", {usage.input_tokens} + {usage.output_tokens} tokens" if usage.input_tokens else ""
    price = f", ${usage.usd:.4f}" if usage.usd else ""
    print_line(f"{usage.turns} turns, {usage.encodes} encodes, {usage.seconds:.2f} s{tokens}{price}")
    if report.trace is not None:
        print_line(f"trace: {report.trace}")
    if report.page is not None:
        print_line(f"page: {report.page}")
    print_line(f"marked picture: {out}" if out else "for the picture add --out FILE.png, for the masks --json")
    print_notes(report.info, llm=report.llm)
