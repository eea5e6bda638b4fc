"""`sam3-agent label`: a folder of images and videos against a concept file."""

import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from sam3_agent.cli.commands.label_videos import VideoSummary, check_trackable, label_videos
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_notes, print_table, progress_console, say
from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.label_files import ReadLabels
from sam3_agent.formats.remote_folder import copy_remote, copy_to_cache, is_remote, shown
from sam3_agent.labeling.io.import_labels import Imported, import_labels, read_source
from sam3_agent.labeling.ontology.ontology import Ontology
from sam3_agent.labeling.ontology.yaml_file import read_ontology
from sam3_agent.labeling.pipeline.executor import Executor, ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Inquiry, ProposerConfig, portable
from sam3_agent.labeling.pipeline.run import Order, Progress, begin, label_images, new_run
from sam3_agent.labeling.pipeline.scan import is_image_name
from sam3_agent.labeling.relabel.versions import with_versions
from sam3_agent.labeling.store.journal import FILE, ImageRow, Journal
from sam3_agent.labeling.store.label import ROUTES
from sam3_agent.labeling.store.summary import Summary, summarize
from sam3_agent.labeling.videos.scan_videos import has_images, is_video, videos_in
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.types import ModelInfo
from sam3_agent.workspace.query import TileMode

MOST_LISTED = 10
STOPPED = "stopped; what is done is kept: go on with --resume\n"
ExecutorName = Literal["threads", "ray"]


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Options of one call."""

    order: Order
    concepts: Path | Ontology
    """The concept file, or what was named on the command line."""
    out: Path
    resume: bool = False
    existing: tuple[Path, ...] = ()
    tiles: TileMode = "auto"
    judge: bool = True
    """Whether an LLM that sees pictures looks at the labels."""
    engine: ExecutorName = "threads"
    jobs: int | None = None
    llm: str = ""
    """Spec of the LLM with its timeout and retries; that of the order unless given."""


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Contents of the folder after the call."""

    out: Path
    ended: str
    summary: Summary
    info: ModelInfo
    llm: str
    encodes: int
    imported: tuple[Imported, ...] = ()
    videos: VideoSummary | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`; also written to DIR/summary.json."""
        return {
            "out": str(self.out),
            "ended": self.ended,
            **self.summary.to_json(),
            "encodes": self.encodes,
            "model": self.info.to_json(),
            "llm": self.llm,
            "imported": [each.to_json() for each in self.imported],
            **({"videos": self.videos.to_json()} if self.videos is not None else {}),
        }


def label(options: LabelOptions, segmenter: ModelOptions) -> LabelReport:
    """Label what is pending, and say what there is.

    Raises:
        InputError: the concept file or the images cannot be used, or DIR holds another run.
    """
    ontology = _asked(options)
    if (options.out / FILE).exists() and not options.resume:
        raise InputError(f"{options.out} holds a run already: add --resume to go on with it, or give another --out")
    if not options.order.images.exists():
        raise InputError(f"{options.order.images}: no such file or folder")
    has_videos = bool(videos_in(options.order.images))
    if has_videos:
        _check_videos(options, ontology)
    existing = [(source, read_source(source, options.order.images)) for source in options.existing]
    config = _config(options, ontology, segmenter)
    with _executor(options, config) as executor, new_run(options.out) as journal:
        imported: list[Imported] = []
        ended = "finished"
        if not has_videos or has_images(options.order.images):
            ended = _run(options, journal, executor, existing, imported)
        if has_videos:
            _run_videos(options.order, journal, executor)
        videos = VideoSummary.of(journal) if has_videos else None
        report = LabelReport(
            options.out, ended, summarize(journal), executor.info, config.llm, executor.encodes, tuple(imported), videos
        )
        write_json(options.out / "summary.json", report.to_json(), indent=2)
    return report


def _is_wanted(name: str) -> bool:
    """Whether a file of a remote folder may be an image or a video, by its name."""
    return is_image_name(name) or (is_video(Path(name)) and "/." not in f"/{name}")


def local_images(images: str, out: Path | None) -> Path:
    """Give the folder (or picture) itself; of a remote one the images are copied to OUT/source first, or to the cache.

    Raises:
        InputError: nothing can be copied.
    """
    if not is_remote(images):
        return Path(images)
    if out is None:
        return copy_to_cache(images)
    with progress_console().status(f"listing {shown(images)}") as status:

        def told(done: int, total: int, size: int) -> None:
            status.update(f"copying {shown(images)}: {done} of {total} files, {size / 2**20:.0f} MiB")

        copied = copy_remote(images, out / "source", _is_wanted, told=told)
    say(f"{copied.files} files of {shown(images)} in {copied.folder}: {copied.fetched} copied now")
    return copied.folder


def _check_videos(options: LabelOptions, ontology: Ontology) -> None:
    """Refuse what videos cannot be labeled by, before a model is loaded."""
    check_trackable(ontology)
    if options.engine == "ray":
        raise InputError("videos are labeled by this process: leave --engine ray out, or give a folder of images only")
    if options.existing and not has_images(options.order.images):
        raise InputError("--import is for labels of images, and there is none")


def _run_videos(order: Order, journal: Journal, executor: Executor) -> None:
    assert isinstance(executor, ThreadExecutor)
    begin(journal, executor, order)
    try:
        label_videos(order.images, journal, executor.proposer)
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
        raise


def _asked(options: LabelOptions) -> Ontology:
    """Read the classes; those of a run that was taught in between are asked by their versions."""
    ontology = options.concepts if isinstance(options.concepts, Ontology) else read_ontology(options.concepts)
    if not options.resume or not (options.out / FILE).exists():
        return ontology
    with closing(Journal.open(options.out)) as journal:
        return with_versions(ontology, journal)


def _config(options: LabelOptions, ontology: Ontology, segmenter: ModelOptions) -> ProposerConfig:
    """Choose what the run asks, and which LLM it needs: one that sees judges labels, any answers queries."""
    spec = options.llm or options.order.llm
    judged = options.judge and spec != "rules" and load_llm(spec).sees
    queries = any(each.query for each in ontology.classes)
    inquiry = Inquiry(ontology, options.tiles, judged)
    spec = spec if queries or judged else ""
    return ProposerConfig(inquiry, spec, segmenter.model, segmenter.device, segmenter.dtype, segmenter.fast)


@contextmanager
def _executor(options: LabelOptions, config: ProposerConfig) -> Generator[Executor]:
    """Make the executor of the work; the model is loaded here or in the workers."""
    if options.engine == "ray":
        with redirect_stdout(sys.stderr), _served(config) as served:  # where Ray tells of workers that died
            from sam3_agent.labeling.pipeline.ray_executor import RayExecutor

            with progress_console().status("waiting for the Ray cluster"):
                executor = RayExecutor(portable(served), served.inquiry, options.jobs, served=True)
            with executor:
                yield executor
        return
    with progress_console().status(f"loading {config.model}"):
        proposer = config()
    yield ThreadExecutor(proposer, options.jobs)


@contextmanager
def _served(config: ProposerConfig) -> Generator[ProposerConfig]:
    """Be connected to a Ray cluster and serve the model there meanwhile, unless its name is that of a served one."""
    from sam3_agent.model.ray_cluster import served_address
    from sam3_agent.serving.deployment import cluster_of_ray, serving_model

    address = served_address(config.model)
    if address is not None:
        with cluster_of_ray(address.cluster or "auto"):
            yield config
        return
    with serving_model(config.model, config.device, config.dtype, config.fast) as served:
        yield replace(config, model=str(served.address), device="auto", dtype="auto")


def _run(
    options: LabelOptions,
    journal: Journal,
    executor: Executor,
    existing: Sequence[tuple[Path, ReadLabels]],
    imported: list[Imported],
) -> str:
    console = progress_console()
    shown = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[usd]}")
    columns = (TextColumn("labeling"), BarColumn(), MofNCompleteColumn(), *shown, TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, rate="", usd="")

        def show(now: Progress) -> None:
            usd = f"${now.usd:.2f}" if now.usd else ""
            bar.update(task, total=now.total, completed=now.done, rate=f"{now.rate:.1f} images/s", usd=usd)

        def prepare(files: Iterable[ImageRow]) -> None:
            for source, read in existing:
                imported.append(import_labels(journal, files, source, read))
                for line in imported[-1].lines():
                    say(line)

        try:
            return label_images(options.order, journal, executor, show, prepare)
        except KeyboardInterrupt:
            sys.stderr.write(STOPPED)
            raise


def print_report(report: LabelReport) -> None:
    """Print the counts for a person."""
    summary = report.summary
    if any(summary.images.values()) or report.videos is None:
        _print_images(report, summary)
    if report.videos is not None:
        report.videos.print(report.out)
    print_notes(report.info, llm=report.llm or None)


def _print_images(report: LabelReport, summary: Summary) -> None:
    counted = ", ".join(f"{count} {state}" for state, count in summary.images.items() if count)
    print_line(f"{report.ended}: {counted} in {report.out}", style="bold")
    rows = [[name, *(str(routes[route]) for route in ROUTES)] for name, routes in summary.classes.items()]
    print_table(("class", *ROUTES), rows, right=ROUTES)
    if summary.judged:
        said = ", ".join(f"{count} {verdict}" for verdict, count in summary.judged.items() if count)
        print_line(f"the judge looked at {sum(summary.judged.values())} labels: {said}")
    if summary.unsure_images:
        print_line(
            f"something may have been missed: {summary.unsure_images} (class, image); see 'missed?' in the review"
        )
    for kind, files in (("unreadable", summary.unreadable), ("duplicate", summary.duplicates)):
        for row in files[:MOST_LISTED]:
            print_line(f"{kind}: {row.path} ({row.reason})")
        if len(files) > MOST_LISTED:
            print_line(f"... {len(files) - MOST_LISTED} more are in {report.out / 'summary.json'}")
    spent = f", ${summary.usd:.4f}" if summary.usd else ""
    print_line(f"{summary.seconds:.1f} s of work on images{spent}")
    print_line(f"look at them: sam3-agent review {report.out}   files: sam3-agent export {report.out} --format coco")
