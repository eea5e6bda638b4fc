"""`sam3-eval`: run, score, report, compare."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.compare import compare
from evals.datasets import open_dataset
from evals.manifest import FILE as MANIFEST
from evals.prediction import Prediction
from evals.run import Plan, execute, prepare
from evals.score import Score, score_run
from evals.solvers import check_solver, make_solver
from evals.table import comparison_table, score_table
from sam3_agent.errors import Sam3AgentError
from sam3_agent.model.devices import DEVICE_HELP

if TYPE_CHECKING:
    from sam3_agent.workspace import Workspace

_FAILURE, _USAGE, _INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="sam3-eval",
    help="Numbers that can be trusted, compared and reproduced.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # square brackets in help texts mean what they say
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def main() -> None:
    """The console command; exits 0, 1 on failure, 2 on a usage error, 130 on Ctrl-C."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="sam3-eval: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app()


@app.command("run")
def run_command(
    dataset: Annotated[str, typer.Argument(help="scenes:SEED[/queries|/concepts], reasonseg:FOLDER")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command again resumes it.")],
    solver: Annotated[str, typer.Option(help="concept (the eye alone) or agent")] = "concept",
    llm: Annotated[str, typer.Option(help="The agent's brain: rules, anthropic:MODEL")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first cases.")] = None,
    model: Annotated[str, typer.Option(help="tiny, facebook/sam3, or the folder of a checkpoint")] = "tiny",
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Answer every case of DATASET, journalled; killed runs are resumed by the same command. Then score."""
    with _clear_errors(_USAGE):
        check_solver(solver, llm)
        source = open_dataset(dataset, solver)
    with _clear_errors(_FAILURE, interrupted=f"interrupted; the same command resumes {out}"):
        plan = Plan(source, solver, model, llm if solver == "agent" else "", limit)
        if resuming := (out / MANIFEST).exists():
            prepare(plan, out)  # refuses another run's folder before a model is loaded
        workspace = _load(model, device, dtype)
        if not resuming:
            prepare(plan, out)
        execute(out, source, make_solver(solver, workspace, llm), _progress)
        _show(score_run(out), as_json)


@app.command("score")
def score_command(run: RunFolder, as_json: AsJson = False) -> None:
    """Score a run, finished or not; needs no model and no brain."""
    with _clear_errors(_FAILURE):
        _show(score_run(run), as_json)


@app.command("report")
def report_command(
    run: RunFolder, out: Annotated[Path | None, typer.Option(help="Write the Markdown here instead of stdout.")] = None
) -> None:
    """A run's tables as Markdown."""
    with _clear_errors(_FAILURE):
        text = score_table(score_run(run)) + "\n"
        if out is None:
            typer.echo(text, nl=False)
        else:
            out.write_text(text, encoding="utf-8")


@app.command("compare")
def compare_command(a: RunFolder, b: RunFolder, as_json: AsJson = False) -> None:
    """Two runs over the same cases, paired: differences with intervals, and the cases that flipped."""
    with _clear_errors(_FAILURE):
        found = compare(score_run(a), score_run(b))
        typer.echo(json.dumps(found.to_json(), indent=2) if as_json else comparison_table(found))


def _load(model: str, device: str, dtype: str) -> "Workspace":
    from sam3_agent.model.replicas import load_eye  # torch: not for score and compare
    from sam3_agent.workspace import Workspace

    return Workspace(load_eye(model, device=device, dtype=dtype))


def _show(score: Score, as_json: bool) -> None:
    typer.echo(json.dumps(score.to_json(), indent=2) if as_json else score_table(score))


def _progress(done: int, total: int, prediction: Prediction) -> None:
    if prediction.error:
        logging.getLogger(__name__).warning("case %s: %s", prediction.case, prediction.error)
    if done == total or done % max(1, total // 20) == 0:
        logging.getLogger(__name__).info("%d of %d cases", done, total)


@contextmanager
def _clear_errors(status: int, interrupted: str = "interrupted") -> Generator[None]:
    """Turn expected failures into one line on stderr and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"sam3-eval: {interrupted}", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except (Sam3AgentError, OSError) as error:
        typer.echo(f"sam3-eval: error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(status) from None


if __name__ == "__main__":
    main()
