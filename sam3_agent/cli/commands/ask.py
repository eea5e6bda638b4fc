"""`sam3-agent ask`: one referring expression, about one image or each of many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sam3_agent.cli.batch import Shown, check_out, report_all
from sam3_agent.cli.concept_names import read_mentioned
from sam3_agent.cli.images import Images, tell_apart
from sam3_agent.cli.loading import check_readable, open_workspace, write_marked
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import box_words, print_line, print_notes, print_table, progress_console
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.budget import Budget
from sam3_agent.tracks import VideoAnswer
from sam3_agent.types import Answer, Concept, ModelInfo
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
    one_of_many: bool = False
    """Its document then says which image it is about."""

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `ask` (README)."""
        answer, image = self.answer, self.image
        about = {"image": {"source": image.source, "width": image.width, "height": image.height}}
        return {
            **(about if self.one_of_many else {}),
            "query": answer.query,
            "outcome": answer.outcome,
            "reason": answer.reason,
            "instances": [instance.to_json() for instance in answer.instances],
            **({} if answer.agreement is None else {"agreement": answer.agreement}),
            "usage": answer.usage.to_json(),
            "trace": str(self.trace) if self.trace is not None else None,
        }

    def line(self) -> str:
        """Say it in one line: outcome, reason and masks."""
        answer = self.answer
        ids = ", ".join(f"{i.id} ({i.score:.2f})" for i in answer.instances)
        return f"{self.image.source}  {answer.outcome}: {answer.reason}{f'  {ids}' if ids else ''}"

    def print(self, out: Path | None) -> None:
        """Print the answer for a person; of a failed run nothing but the error is said."""
        if self.answer.outcome != "failed":
            print_report(self, out)


@dataclass(frozen=True, slots=True)
class Written:
    """Files that a run is written to, if any."""

    trace: Path | None = None
    page: Path | None = None

    @property
    def keeps_pictures(self) -> bool:
        """Whether somebody will look at the pictures of the run."""
        return self.trace is not None or self.page is not None


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """Options of the LLM: its spec, patience with it, and a file that keeps what it says."""

    spec: str = "rules"
    timeout: float | None = None
    """Seconds of one call."""
    retries: int | None = None
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Images, the query about each, and the concepts that it mentions."""

    images: Images
    query: str
    concepts: tuple[Concept, ...] = ()


def read_arguments(arguments: Sequence[str], after: Sequence[str] | None, query: str | None, model: str = "") -> Asked:
    """Tell images from the query, the last argument; `after` is what stood after `--`, None without one.

    Raises:
        typer.BadParameter: no image, no query, or several.
        InputError: an empty query, one that mentions an unknown concept, or no image where one was named.
    """
    before = arguments[: len(arguments) - len(after or ())]
    if after is None and query is None:
        before, after = arguments[:-1], arguments[-1:]
        if not before:
            raise typer.BadParameter("give an image, then what to find", param_hint="'QUERY'")
        texts = tell_apart(before, None).texts
        if texts:
            words = " ".join([*texts, *after])
            raise typer.BadParameter(f"the query is one argument, in quotes: '{words}'", param_hint="'QUERY'")
    queries = [*(after or ()), *([query] if query is not None else [])]
    if len(queries) != 1 or not before:
        raise typer.BadParameter("give images, then one query in quotes", param_hint="'QUERY'")
    check_query(queries[0])
    understood, (text, concepts) = tell_apart(before, ()), read_mentioned(queries[0], model)
    return Asked(understood.images, text, tuple(concepts))


def run(
    asked: Asked,
    llm: LlmOptions,
    budget: Budget,
    judge: "JudgeMode | None",
    written: "Written",
    model: ModelOptions,
    shown: Shown,
    votes: int = 1,
    *,
    rescue: bool = False,
) -> None:
    """Load model and LLM once, ask about each image, report; a failed run is an error when its report is out."""
    check_judge(judge, llm.spec, rescue=rescue)
    images = asked.images
    pictures = check_out(images, shown.out)
    traces = check_out(images, written.trace, ".jsonl", "--trace")
    pages = check_out(images, written.page, ".html", "--page")
    loaded_llm = load_recorded_llm(llm)
    check_readable(images)
    workspace = open_workspace(model)
    for concept in asked.concepts:
        workspace.add_concept(concept)
    agent = make_agent(workspace, loaded_llm, budget, judge, written, votes, rescue=rescue)

    def work(source: str) -> AskReport:
        report = ask(agent, source, asked.query, Written(traces.get(source), pages.get(source)))
        if source in pictures:
            ids = [instance.id for instance in report.answer.instances]
            write_marked(workspace, report.image.id, ids, pictures[source])
        workspace.forget(report.image.id)
        answers.append(report.answer)
        return replace(report, one_of_many=images.many)

    answers: list[Answer] = []
    report_all(images, work, shown, pictures, partial(print_notes, workspace.info, llm=loaded_llm.name))
    raise_if_failed(answers)


def check_judge(judge: "JudgeMode | None", spec: str, *, rescue: bool = False) -> None:
    """Refuse a judge, or second attempts, where there is none who can look at a picture: `rules` cannot."""
    if rescue and spec.strip() == "rules":
        raise typer.BadParameter(
            "second attempts need an LLM that sees pictures, and --llm rules is none", param_hint="'--rescue'"
        )
    if judge in ("once", "strict") and spec.strip() == "rules":
        raise typer.BadParameter(
            f"{judge} needs an LLM that sees pictures, and --llm rules is none: leave it out, or give another --llm",
            param_hint="'--judge'",
        )


def load_recorded_llm(options: LlmOptions) -> "LLM":
    """The LLM; with `record`, everything that it says goes into a new file, for `replay:`."""
    from sam3_agent.llm.recording import RecordingLLM
    from sam3_agent.loop.load_llm import load_llm

    patience: dict[str, Any] = {"timeout": options.timeout, "retries": options.retries}
    loaded_llm = load_llm(options.spec, **{name: value for name, value in patience.items() if value is not None})
    record = options.record
    return loaded_llm if record is None else RecordingLLM(loaded_llm, record)


def make_agent(
    workspace: Workspace,
    loaded_llm: "LLM",
    budget: Budget,
    judge: "JudgeMode | None",
    written: Written,
    votes: int = 1,
    *,
    rescue: bool = False,
) -> Agent:
    """The agent of one command."""
    keeps = written.keeps_pictures
    return Agent(workspace, loaded_llm, budget=budget, judge=judge, keep_pictures=keeps, votes=votes, rescue=rescue)


def ask(agent: Agent, source: str, query: str, written: Written) -> AskReport:
    """Open the image, ask, write trace and page; a run that Ctrl-C ended raises KeyboardInterrupt after these."""
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
    usage = replace(answer.usage, encodes=agent.workspace.encodes)  # opening the image was part of the command
    answer = replace(answer, usage=usage)
    return AskReport(image, agent.workspace.info, agent.llm.name, answer, written.trace, written.page)


def check_query(query: str) -> None:
    """Refuse an empty query before a model is loaded."""
    if not query.strip():
        raise InputError("the query is empty; say what to find, such as 'the person furthest to the right'")


def raise_if_failed(answers: Sequence[Answer | VideoAnswer]) -> None:
    """Turn failed runs into the command's own failure, when their reports are out."""
    failed = [answer for answer in answers if answer.outcome == "failed"]
    if failed:
        count = f"{len(failed)} of {len(answers)} runs failed; the first: " if len(answers) > 1 else ""
        raise Sam3AgentError(f"{count}{failed[0].reason}")


def print_report(report: AskReport, out: Path | None) -> None:
    """The answer for a person."""
    answer, usage = report.answer, report.answer.usage
    print_line(f"{answer.outcome}: {answer.reason}", style="bold")
    if answer.instances:
        rows = [[i.id, f"{i.score:.2f}", str(i.area), box_words(i.box)] for i in answer.instances]
        print_table(("id", "score", "area", "box"), rows, right=("score", "area"))
    if answer.agreement is not None:
        print_line(f"agreement of the votes: {answer.agreement:.0%}")
    tokens = f", {usage.input_tokens} + {usage.output_tokens} tokens" if usage.input_tokens else ""
    price = f", ${usage.usd:.4f}" if usage.usd else ""
    print_line(f"{usage.turns} turns, {usage.encodes} encodes, {usage.seconds:.2f} s{tokens}{price}")
    if report.trace is not None:
        print_line(f"trace: {report.trace}")
    if report.page is not None:
        print_line(f"page: {report.page}")
    print_line(f"marked picture: {out}" if out else "for the picture add --out FILE.png, for the masks --json")
    print_notes(report.info, llm=report.llm)
