"""`sam3-eval`: run, import, lmms-task, merge, score, compare, spread, report, conformance."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sam3_agent import __version__
from sam3_agent.errors import Sam3AgentError, missing_package
from sam3_agent.formats.control_characters import VisibleFormatter, visible_line, visible_text
from sam3_agent.formats.remote_folder import local_copies, shown
from sam3_agent.model.devices import DEVICE_HELP, Fast
from sam3_evals.compare import compare
from sam3_evals.conformance.command import check_answers, check_implementation, export_fixtures, template
from sam3_evals.datasets import FORMS, asks_videos, open_dataset
from sam3_evals.ending import Ending
from sam3_evals.import_predictions import FORMS as PREDICTION_FORMS
from sam3_evals.import_predictions import THRESHOLD, Wanted, import_predictions
from sam3_evals.lmms.task import write_task
from sam3_evals.merge import merge
from sam3_evals.report.page import write_report
from sam3_evals.runner import Engine, Launch, launch
from sam3_evals.score import Score, score_run
from sam3_evals.shard import read_shard
from sam3_evals.solvers import AGENT, check_solver
from sam3_evals.spread import spread_of, spread_table
from sam3_evals.table import coco_table, comparison_table, score_table

_FAILURE, _USAGE, _INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="sam3-eval",
    help="Numbers that can be trusted, compared and reproduced.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # square brackets in help texts mean what they say
)

MODEL_HELP = "tiny, facebook/sam3, a checkpoint's folder, or Meta's sam3.pt; serve:APP for one that is served by Ray"

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sam3-eval {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Numbers that can be trusted, compared and reproduced."""


def main() -> None:
    """The console command; exits 0, 1 on failure, 2 on a usage error, 130 on Ctrl-C."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("sam3-eval: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    for chatty in ("httpx", "sam3_agent.workspace.tiling"):  # a line a case would bury the headline
        logging.getLogger(chatty).setLevel(logging.WARNING)
    app()


@app.command("run")
def run_command(
    dataset: Annotated[str, typer.Argument(help=f"{FORMS}; PATH, FILE, ... may be s3://, gs://, hf:// or https://")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command again resumes it.")],
    solver: Annotated[
        str,
        typer.Option(
            help="concept (the model alone), agent[+votesK][+rescue], oracle (upper bound), or MODULE:FUNCTION"
        ),
    ] = "concept",
    llm: Annotated[str, typer.Option(help="The agent's LLM: rules, anthropic:MODEL, ...")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first cases.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Images that are worked on at a time.")] = 1,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only this part; put them together with merge.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of what a dataset draws by chance.")] = 0,
    model: Annotated[str, typer.Option("--model", "--segmenter", help=MODEL_HELP)] = "tiny",
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, bfloat16 or float32")] = "auto",
    fast: Annotated[Fast, typer.Option(help="auto: compile for a CUDA GPU where there is much to do; off")] = "auto",
    engine: Annotated[
        Engine, typer.Option(help="threads of this process, or ray: replicas on a Ray cluster")
    ] = "threads",
    as_json: AsJson = False,
) -> None:
    """Answer every case of DATASET, journalled; killed runs are resumed by the same command. Then score."""
    with _clear_errors(_USAGE):
        check_solver(solver, llm, videos=asks_videos(dataset))
        dataset = _local(dataset)
        source, part = open_dataset(dataset, solver, seed), read_shard(shard)
    with _clear_errors(_FAILURE, interrupted=f"interrupted; the same command resumes {out}"):
        spec = llm if AGENT.fullmatch(solver) else ""
        launch(Launch(source, out, solver, spec, limit, jobs, part, seed, model, device, dtype, fast, engine))
        ending = Ending.of(out)
        if as_json:
            _show(ending.score, as_json)
        ending.check()
        if not as_json:
            typer.echo(ending.screen())


@app.command("import")
def import_command(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help=f"{PREDICTION_FORMS}.")],
    dataset: Annotated[str, typer.Option(help=FORMS)],
    out: Annotated[Path, typer.Option(help="The run's folder, a new one.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first cases of the dataset.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what a dataset draws by chance.")] = 0,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out masks with a lower score.")] = THRESHOLD,
    complete: Annotated[
        bool, typer.Option("--complete", help="A case without a prediction means: nothing is there (COCO: always).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a run of another program's predictions, then score it; needs no model and no solver."""
    with _clear_errors(_FAILURE):
        done = import_predictions(predictions, Wanted(_local(dataset), out, limit, seed, threshold, complete))
        typer.echo(f"sam3-eval: {done.words()}", err=True)
        _show(score_run(out), as_json)


@app.command("lmms-task")
def lmms_task_command(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=FORMS)],
    out: Annotated[Path, typer.Option(help="The task's folder, for lmms-eval's --include_path.")],
    name: Annotated[str, typer.Option(help="The task's name, for lmms-eval's --tasks.")] = "sam3_agent",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first cases of the dataset.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what a dataset draws by chance.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a dataset as a task of lmms-eval, scored there as here; `import` reads the log of its run."""
    with _clear_errors(_FAILURE):
        count = write_task(open_dataset(_local(dataset), "concept", seed), out, name, limit)
        if as_json:
            typer.echo(json.dumps({"task": name, "folder": str(out), "cases": count}))
        else:
            typer.echo(f"{count} cases; run: lmms-eval --include_path {out} --tasks {name} --log_samples ...")


@app.command("merge")
def merge_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The folders of all shards.")],
    out: Annotated[Path, typer.Option(help="The folder of the whole run.")],
    as_json: AsJson = False,
) -> None:
    """Put the shards of a run together, then score it."""
    with _clear_errors(_FAILURE):
        merge(runs, out)
        _show(score_run(out), as_json)


@app.command("score")
def score_command(
    run: RunFolder,
    coco_ap: Annotated[bool, typer.Option("--coco-ap", help="COCO AP and AR too; holds all masks in memory.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a run, finished or not, with 95 % intervals; needs no model and no LLM."""
    with _clear_errors(_FAILURE):
        _show(score_run(run), as_json, _coco(run) if coco_ap else None)


@app.command("spread")
def spread_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more runs of one setup.")],
    as_json: AsJson = False,
) -> None:
    """Tell how much figures differ between runs of one setup, and which cases do."""
    with _clear_errors(_FAILURE):
        spread = spread_of(runs)
        typer.echo(json.dumps(spread.to_json(), indent=2) if as_json else visible_text(spread_table(spread)))


@app.command("report")
def report_command(
    run: RunFolder,
    against: Annotated[Path | None, typer.Option(help="Another run over the same cases: shows what flipped.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it; RUN/report.html unless given.")] = None,
) -> None:
    """One self-contained HTML page: tables, plots, best, worst and flipped cases with images."""
    with _clear_errors(_FAILURE):
        typer.echo(str(write_report(run, out or run / "report.html", against)))


@app.command("compare")
def compare_command(a: RunFolder, b: RunFolder, as_json: AsJson = False) -> None:
    """Two runs over the same cases, paired: differences with intervals and p, and the cases that flipped."""
    with _clear_errors(_FAILURE):
        found = compare(a, b)
        typer.echo(json.dumps(found.to_json(), indent=2) if as_json else visible_text(comparison_table(found)))


@app.command("conformance")
def conformance_command(
    implementation: Annotated[
        str, typer.Argument(metavar="[MODULE:FUNCTION]", help="Paints a record's mask; this project's unless given.")
    ] = "",
    answers: Annotated[Path | None, typer.Option(help="Check a harness's answers in this JSON file instead.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write the fixtures and an empty answers.json here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a harness's masks and metrics against fixtures with known results; exits 1 on any difference."""
    with _clear_errors(_FAILURE):
        if export is not None:
            export_fixtures(export)
            typer.echo(f"wrote the fixtures to {export}; fill in {template(export)} and check it with --answers")
            return
        verdict = check_answers(answers) if answers is not None else check_implementation(implementation)
        typer.echo(json.dumps(verdict.to_json(), indent=2) if as_json else visible_text(verdict.table()))
        if not verdict.conforms:
            raise typer.Exit(_FAILURE)


def _coco(run: Path) -> dict[str, Any]:
    from sam3_evals.average_precision import (
        average_precision,
    )  # pycocotools' evaluation imports matplotlib where there is any

    return average_precision(run)


def _local(dataset: str) -> str:
    """The spec with local copies (in this user's cache) in the place of remote folders and files."""
    return local_copies(dataset, lambda url: typer.echo(f"sam3-eval: copying {visible_line(shown(url))}", err=True))


def _show(score: Score, as_json: bool, coco: dict[str, Any] | None = None) -> None:
    if as_json:
        typer.echo(json.dumps({**score.to_json(), **({"coco": coco} if coco else {})}, indent=2))
    else:
        typer.echo(visible_text(score_table(score) + (f"\n\n{coco_table(coco)}" if coco else "")))


@contextmanager
def _clear_errors(status: int, interrupted: str = "interrupted") -> Generator[None]:
    """Turn expected failures into one line on stderr and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"sam3-eval: {visible_line(interrupted)}", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    except (Sam3AgentError, OSError) as error:
        typer.echo(f"sam3-eval: error: {visible_line(' '.join(str(error).split()))}", err=True)
        raise typer.Exit(status) from None
    except ModuleNotFoundError as error:
        if (words := missing_package(error)) is None:
            raise
        typer.echo(f"sam3-eval: error: {words}", err=True)
        raise typer.Exit(_FAILURE) from None


if __name__ == "__main__":
    main()
