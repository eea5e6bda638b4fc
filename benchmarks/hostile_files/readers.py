"""Reading of each kind of file, as far as a user would go with it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from sam3_evals.report.page import write_report
from sam3_evals.score import score_run
from sam3_mcp.auth import load_tokens

from benchmarks.hostile_files.originals import LABELS
from benchmarks.label_files.outcomes import outcome
from sam3_agent.formats.video import cvat_video, label_studio_video, mot, mots, sav, tracks_csv, ytvis
from sam3_agent.labeling.io.export_labels import FORMATS, export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import summarize
from sam3_agent.llm.pricing import read_prices
from sam3_agent.loop.agent import Agent
from sam3_agent.loop.load_llm import load_llm
from sam3_agent.loop.trace import read_trace, write_trace
from sam3_agent.model.sam3 import Sam3
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking.journal import rewind
from sam3_agent.workspace.tracking.track import TrackStore
from tests.fixtures_workspace import make_workspace
from tests.workspace.tracking.fixtures_tracks import SIZE

OUT = "out"
"""Folder of a kind into which its reader may write."""


def read(kind: str, folder: Path, changed: Path, number: int) -> None:
    """Read the files of a kind; raises what a command would show as one line.

    Raises:
        AssertionError: the reader of label files met what is none.
    """
    if kind in LABELS:
        said = outcome(kind, folder, changed)
        assert not said.startswith("traceback"), said
        return
    _READERS[kind](folder, changed, number)


def _recording(folder: Path, _: Path, __: int) -> None:
    llm = load_llm(f"replay:{folder / 'recording.jsonl'}")
    answer = Agent(make_workspace(), llm).ask("img1", "the circle")
    write_trace(answer.trace, folder / OUT / "trace.jsonl")


def _trace(folder: Path, _: Path, __: int) -> None:
    write_trace(read_trace(folder / "trace.jsonl"), folder / OUT / "trace.jsonl")


def _journal(folder: Path, _: Path, number: int) -> None:
    journal = Journal.open(folder / "run")
    try:
        summarize(journal)
        ReviewDecisions(journal, "ann").undo()
        forms = list(FORMATS)
        export(journal, forms[number % len(forms)], folder / OUT, Selection(val=0.2), pictures=True)
    finally:
        journal.close()


def _tracks(folder: Path, _: Path, __: int) -> None:
    store = TrackStore(folder / "tracks.jsonl")
    store.tracks()
    rewind(folder / "tracks.jsonl")


def _videos(folder: Path, changed: Path, __: int) -> None:
    place = changed.relative_to(folder).parts[0]
    _VIDEOS[place](folder / place)


def _run(folder: Path, _: Path, __: int) -> None:
    score_run(folder / "run")
    write_report(folder / "run", folder / OUT / "report.html", None)


def _model(folder: Path, _: Path, __: int) -> None:
    workspace = Workspace(Sam3.load(folder, device="cpu"))
    image = workspace.open(np.full((64, 96, 3), 90, dtype=np.uint8))
    workspace.segment(image.id, ["cup"], threshold=0.1)


_VIDEOS: Mapping[str, Callable[[Path], object]] = {
    "sav.json": sav.read_sav,
    "ytvis.json": ytvis.read_ytvis,
    "studio": lambda path: label_studio_video.read_label_studio_video(path / "tasks.json", [SIZE]),
    "cvat.xml": cvat_video.read_cvat_video,
    "mot": lambda path: mot.read_mot(path, SIZE),
    "mots.txt": mots.read_mots_txt,
    "tracks.csv": lambda path: tracks_csv.read_tracks_csv(path, SIZE),
}
_READERS: Mapping[str, Callable[[Path, Path, int], None]] = {
    "recording": _recording,
    "trace": _trace,
    "journal": _journal,
    "tracks": _tracks,
    "videos": _videos,
    "run": _run,
    "prices": lambda folder, _, __: (folder / OUT).mkdir() or (read_prices(folder / "prices.json") and None),
    "tokens": lambda folder, _, __: load_tokens(folder / "tokens.txt") and None,
    "model": _model,
}
