"""`sam3-agent ask` about videos."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sam3_agent.cli.batch import Shown, check_out, report_all
from sam3_agent.cli.commands.ask import Asked, LlmOptions, Written, check_judge, load_recorded_llm, raise_if_failed
from sam3_agent.cli.images import Images
from sam3_agent.cli.loading import open_workspace, write_picture
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_notes, progress_console
from sam3_agent.cli.track_report import track_json
from sam3_agent.cli.videos import SUFFIXES
from sam3_agent.loop.budget import Budget
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.tools.video_frames import FEW, frames_showing, sheet_of, spread
from sam3_agent.tracks import VideoAnswer, VideoHandle
from sam3_agent.types import ModelInfo
from sam3_agent.video import open_video
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking import Clock, measure_tracks, timeline

if TYPE_CHECKING:
    from sam3_agent.loop.judge import JudgeMode

_STILLS = (".gif",)
"""Suffixes of both: asked about as images, as they were before there were videos."""


@dataclass(frozen=True, slots=True)
class VideoAskReport:
    """An answer about a video with where it came from."""

    source: str
    handle: VideoHandle
    clock: Clock
    info: ModelInfo
    llm: str
    answer: VideoAnswer
    trace: Path | None
    page: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The public JSON of `ask` about a video."""
        answer = self.answer
        video = {key: value for key, value in self.handle.to_json().items() if key != "id"}
        return {
            "video": video | {"source": self.source},
            "query": answer.query,
            "outcome": answer.outcome,
            "reason": answer.reason,
            "tracks": [track_json(track, self.clock, frames=True) for track in answer.tracks],
            "usage": answer.usage.to_json(),
            "trace": str(self.trace) if self.trace is not None else None,
        }

    def line(self) -> str:
        """Say it in one line: outcome, reason and tracks."""
        ids = ", ".join(self.answer.track_ids)
        return f"{self.source}  {self.answer.outcome}: {self.answer.reason}{f'  {ids}' if ids else ''}"

    def print(self, out: Path | None) -> None:
        """Print the answer for a person; of a failed run nothing but the error is said."""
        answer = self.answer
        if answer.outcome == "failed":
            return
        print_line(f"{answer.outcome}: {answer.reason}", style="bold")
        for motion in measure_tracks(answer.tracks, self.clock):
            print_line(f"  {timeline(motion)}")
        print_line(f"{answer.usage.turns} turns, {answer.usage.encodes} encodes, {answer.usage.seconds:.2f} s")
        if self.trace is not None:
            print_line(f"trace: {self.trace}")
        if self.page is not None:
            print_line(f"page: {self.page}")
        print_line(f"sheet of frames: {out}" if out else "for a sheet of frames add --out FILE.png, for masks --json")
        print_notes(self.info, llm=self.llm)


def is_video(source: str) -> bool:
    """Whether a source is a video by its suffix; an animated GIF is asked about as an image."""
    return Path(source).suffix.lower() in SUFFIXES and Path(source).suffix.lower() not in _STILLS


def check_options(images: Images, votes: int, *, rescue: bool = False) -> bool:
    """Tell whether the sources are videos; refuse a mixture, and what an ask about videos cannot do.

    Raises:
        typer.BadParameter: as said.
    """
    videos = [source for source in images.sources if is_video(source)]
    if not videos:
        return False
    if len(videos) < len(images.sources):
        raise typer.BadParameter("give images or videos, not both in one call", param_hint="'IMAGE'")
    if votes != 1:
        raise typer.BadParameter("answers about videos are not voted on", param_hint="'--votes'")
    if rescue:
        raise typer.BadParameter("videos have no second attempts", param_hint="'--rescue'")
    return True


def run(
    asked: Asked,
    llm: LlmOptions,
    budget: Budget,
    judge: "JudgeMode | None",
    written: Written,
    model: ModelOptions,
    shown: Shown,
) -> None:
    """Load model and LLM once, ask about each video, report; a failed run is an error when its report is out."""
    check_judge(judge, llm.spec)
    sheets = check_out(asked.images, shown.out)
    traces = check_out(asked.images, written.trace, ".jsonl", "--trace")
    pages = check_out(asked.images, written.page, ".html", "--page")
    loaded = load_recorded_llm(llm)
    open_video(asked.images.sources[0])  # fails before seconds are spent on loading a model
    workspace = open_workspace(model)
    for concept in asked.concepts:
        workspace.add_concept(concept)
    judges = None if judge is None else judge != "off"
    agent = VideoAgent(workspace, loaded, budget=budget, judges=judges, keep_pictures=written.keeps_pictures)
    answers: list[VideoAnswer] = []

    def work(source: str) -> VideoAskReport:
        report = ask(agent, source, asked.query, Written(traces.get(source), pages.get(source)))
        if source in sheets:
            write_sheet(workspace, report, sheets[source])
        workspace.forget_video(report.handle.id)
        answers.append(report.answer)
        return report

    report_all(asked.images, work, shown, sheets, partial(print_notes, workspace.info, llm=loaded.name))
    raise_if_failed(answers)


def ask(agent: VideoAgent, source: str, query: str, written: Written) -> VideoAskReport:
    """Open the video, ask, write trace and page; a run that Ctrl-C ended raises KeyboardInterrupt after these."""
    from sam3_agent.loop.trace import write_trace
    from sam3_agent.loop.trace_page import write_page

    workspace = agent.workspace
    video = workspace.open_video(source)
    with progress_console().status(f"asking {agent.llm.name}"):
        answer = agent.ask(video.id, query)
    if written.trace is not None:
        write_trace(answer.trace, written.trace)
    if written.page is not None:
        write_page(answer.trace, written.page)
    if answer.interrupted:
        raise KeyboardInterrupt
    clock = workspace.video_store.clock(video.id)
    info, name = workspace.info, agent.llm.name
    return VideoAskReport(source, video, clock, info, name, answer, written.trace, written.page)


def write_sheet(workspace: Workspace, report: VideoAskReport, path: Path) -> None:
    """Write a sheet of frames in which the answer's tracks are seen, outlined; without tracks, frames alone."""
    tracks = report.answer.tracks
    frames = frames_showing(tracks, FEW) if tracks else spread(0, report.handle.frames - 1, FEW)
    write_picture(sheet_of(workspace, report.handle.id, frames, tracks).image, path)
