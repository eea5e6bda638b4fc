"""`sam3-agent track`: every instance of each concept through a video, or through many."""

import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from sam3_agent.cli.batch import Shown, report_all
from sam3_agent.cli.concept_names import read_prompt
from sam3_agent.cli.images import Images, tell_apart
from sam3_agent.cli.loading import open_workspace
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_json_line, print_line, print_notes, progress_console, say
from sam3_agent.cli.track_files import USUAL, Written, choose_folders, note_question, track_set, write_files
from sam3_agent.cli.track_report import Events, TrackReport, told_json
from sam3_agent.cli.videos import VIDEOS, FrameBox, FramePoint, FrameRange, check_suitable
from sam3_agent.errors import InputError
from sam3_agent.tracks import Track, VideoHandle
from sam3_agent.types import ClickPrompt, ConceptPrompt, ModelInfo
from sam3_agent.video import Video, open_video
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.tracking import Clock, Profile, profile_of
from sam3_agent.workspace.tracking.profiles import profile_for
from sam3_agent.workspace.tracking.progress import Progress
from sam3_agent.workspace.tracking.query import ExampledConcept, FrameExample, ObjectClick
from sam3_agent.workspace.tracking.reviewed import reviewed_tracks
from sam3_agent.workspace.tracking.session import FrameTracks
from sam3_agent.workspace.video_store import BY_EXAMPLE

ProfileName = Literal["paper", "3.0", "3.1", "tiny"]
TOLD_EVERY = 20.0
"""Seconds between two lines of progress where there is no terminal to draw a bar on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Videos, and what is looked for in each."""

    videos: Images
    prompts: tuple[ConceptPrompt, ...]
    like: tuple[FrameBox, ...] = ()
    unlike: tuple[FrameBox, ...] = ()
    at: tuple[FramePoint, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the tracks, but for objects that are pointed at."""
        return tuple(prompt.label for prompt in self.prompts) or ((BY_EXAMPLE,) if self.like else ())


@dataclass(frozen=True, slots=True)
class How:
    """Ways of tracking; see `Workspace.follow`."""

    span: FrameRange = FrameRange()  # noqa: RUF009 (frozen)
    stride: int = 1
    live: bool = False
    threshold: float | None = None
    profile: ProfileName | None = None
    """That of the model unless given."""
    fps: float | None = None

    def thresholds(self, info: ModelInfo) -> Profile:
        """The profile for a model: the embedded one scores lower than the full one."""
        made = profile_for(info.name) if self.profile is None else profile_of(self.profile)
        score = self.threshold
        if score is None:
            return made
        return replace(made, new_score=score, detection_score=min(made.detection_score, score))


def read_arguments(
    arguments: Sequence[str],
    after: Sequence[str] | None,
    concepts: Sequence[str],
    like: tuple[FrameBox, ...],
    unlike: tuple[FrameBox, ...],
    at: tuple[FramePoint, ...],
    model: str = "",
) -> Asked:
    """Tell videos from concepts, say so where it was not plain; `after` is what stood after `--`, None without one.

    Raises:
        typer.BadParameter: nothing to look for, or boxes and points with several videos or several concepts.
        InputError: an unusable concept, or no video where one was named.
    """
    before = arguments[: len(arguments) - len(after or ())]
    if not before:
        raise typer.BadParameter("give at least one video before '--'", param_hint="'VIDEO'")
    understood = tell_apart(before, after, texts_apart=bool(concepts), kind=VIDEOS)
    option = next((text for text in after or () if text.startswith("--")), None)
    if option is not None:
        raise typer.BadParameter(f"{option} stands after '--', where only concepts are: put it before")
    prompts = tuple(read_prompt(text, model=model) for text in (*understood.texts, *concepts))
    asked = Asked(understood.images, prompts, like, unlike, at)
    _check_asked(asked)
    if understood.note:
        say(understood.note)
    return asked


def _check_asked(asked: Asked) -> None:
    if asked.unlike and not asked.like:
        raise typer.BadParameter("say what to look for: a box around one with --like", param_hint="'--unlike'")
    if not (asked.prompts or asked.like or asked.at):
        sentence = "give at least one concept, an example box with --like, or a point with --at"
        raise typer.BadParameter(sentence, param_hint="'CONCEPT...'")
    if asked.like and (len(asked.prompts) > 1 or any(prompt.learned for prompt in asked.prompts)):
        raise typer.BadParameter(
            "boxes are examples of one thing: give one phrase with them, or none", param_hint="'--like'"
        )
    if asked.videos.many and (asked.like or asked.at):
        raise typer.BadParameter(
            "a box or point lies on a frame of one video: `sam3-agent learn` makes a concept for many",
            param_hint="'--like'" if asked.like else "'--at'",
        )


def run(asked: Asked, how: How, formats: Sequence[str], model: ModelOptions, shown: Shown, *, began: float) -> None:
    """Load the model once and report on each video; `began` is when the person began to wait.

    Raises:
        KeyboardInterrupt: Ctrl-C; what is done has been reported, and is kept in the folder where there is one.
    """
    folders = choose_folders(asked.videos, shown.out)
    _check_readable(asked, how)
    workspace = open_workspace(model)
    stopped = False

    def work(source: str) -> TrackReport:
        nonlocal stopped, began
        if stopped:
            raise KeyboardInterrupt
        report = track(workspace, source, asked, how, folders.get(source), formats, shown.as_json, began=began)
        stopped, began = report.stopped is not None, time.perf_counter()
        return report

    report_all(asked.videos, work, shown, folders, partial(print_notes, workspace.info))
    if stopped:
        raise KeyboardInterrupt


def _check_readable(asked: Asked, how: How) -> None:
    """Fail early, before seconds are spent on loading a model; one bad video among many has its turn.

    Raises:
        InputError: no video can be read, or has what the options name.
    """
    first: InputError | None = None
    for source in asked.videos.sources:
        try:
            _opened(source, asked, how)
        except InputError as error:
            first = first or error
        else:
            return
    if first is not None:
        count = len(asked.videos.sources)
        raise first if count == 1 else InputError(f"none of the {count} videos can be tracked; the first: {first}")


def _opened(source: str, asked: Asked, how: How) -> Video:
    """A video that has all frames, boxes and points that the options name; raises InputError."""
    video = open_video(source, fps=how.fps if Path(source).is_dir() else None)
    check_suitable(video)
    first, last = how.span.frames(video)
    for box in asked.like:
        box.on(video, "--like")  # may lie outside the range: it is looked at once
    for box in asked.unlike:
        box.on(video, "--unlike")
    for point in asked.at:
        frame, _ = point.on(video, "--at")
        if not first <= frame <= last:
            raise InputError(f"--at: frame {frame} lies outside the range, {first}-{last}")
    return video


def track(
    workspace: Workspace,
    source: str,
    asked: Asked,
    how: How,
    folder: Path | None = None,
    formats: Sequence[str] = USUAL,
    as_json: bool = False,
    *,
    began: float,
) -> TrackReport:
    """Track one video, or go on tracking it in its folder; `began` (perf_counter) is when the person began to wait.

    Raises:
        InputError: the video cannot be read, has not what the options name, or the folder holds other tracks.
    """
    return _Job(workspace, source, asked, how, folder, as_json).run(formats, began)


class _Job:
    """One video: asked, followed, reported, written."""

    def __init__(
        self, workspace: Workspace, source: str, asked: Asked, how: How, folder: Path | None, as_json: bool
    ) -> None:
        self._workspace, self._source, self._asked, self._how = workspace, source, asked, how
        self._folder, self._as_json = folder, as_json
        self._video = _opened(source, asked, how)
        for warning in self._video.info.warnings:
            say(f"note: {source}: {warning}")
        self._frames = how.span.frames(self._video)
        self._done = 0
        self._cuts: set[int] = set()

    def run(self, formats: Sequence[str], began: float) -> TrackReport:
        """Track, or go on tracking, and write what was asked for; `began` is when the person began to wait."""
        question = self._question()
        if self._folder is not None:
            note_question(self._folder, question)
        handle = self._workspace.open_video(self._source, fps=self._how.fps if Path(self._source).is_dir() else None)
        try:
            stopped = self._follow(handle)
            tracks, rejected = self._tracks(handle)
        finally:
            self._workspace.forget_video(handle.id)
        first, last = self._frames
        times = tuple(float(time) for time in self._video.info.times[first : last + 1])
        clock = Clock(handle.width, handle.height, last - first + 1, handle.fps, first, times)
        report = TrackReport(
            self._source, handle, self._workspace.info, self._asked.labels, clock, tracks, tuple(sorted(self._cuts)),
            time.perf_counter() - began, self._done, stopped, self._folder, live=self._how.live, rejected=rejected,
        )  # fmt: skip
        if self._folder is None:
            return report
        if stopped is not None:
            say(
                f"stopped after frame {stopped}: what is done is in {self._folder}; the same command goes on from there"
            )
            return report
        note_question(self._folder, question, done=True)
        return replace(report, written=tuple(self._write(tracks, formats)))

    def _tracks(self, handle: VideoHandle) -> tuple[tuple[Track, ...], int]:
        """The tracks that are seen, as people have decided about them, and how many they rejected."""
        tracks = tuple(track for track in self._workspace.tracks(handle.id) if track.visible)
        return (tracks, 0) if self._folder is None else reviewed_tracks(self._folder, tracks)

    def _question(self) -> dict[str, Any]:
        """Everything that decides the tracks of this call, as plain values."""
        asked, how = self._asked, self._how
        profile = how.thresholds(self._workspace.info)
        return {
            "concepts": list(asked.labels),
            "like": [f"{box.frame.text}:{box.box}" for box in (*asked.like, *asked.unlike)],
            "at": [f"{point.frame.text}:{point.point}" for point in asked.at],
            "frames": list(self._frames),
            "stride": how.stride,
            "profile": f"{profile.name} {profile.new_score:g}",
        }

    def _follow(self, handle: VideoHandle) -> int | None:
        """Follow to the end, or to the frame at which Ctrl-C comes: then its number."""
        asked, video = self._asked, self._video
        concepts: list[ConceptPrompt | ExampledConcept] = list(asked.prompts)
        if asked.like:
            good = [FrameExample(*box.on(video, "--like")) for box in asked.like]
            bad = [FrameExample(*box.on(video, "--unlike"), positive=False) for box in asked.unlike]
            phrase = asked.prompts[0].phrase if asked.prompts else None
            concepts = [ExampledConcept((*good, *bad), phrase)]
        points = [point.on(video, "--at") for point in asked.at]
        lines = self._workspace.follow(
            handle.id,
            concepts,
            clicks=[ObjectClick(frame, ClickPrompt((point,))) for frame, point in points],
            frames=self._frames,
            stride=self._how.stride,
            live=True,  # so that progress and Ctrl-C need not wait for the trial of tracks; the tracks are the same
            profile=self._how.thresholds(self._workspace.info),
            folder=self._folder,
        )
        return self._watch(lines)

    def _watch(self, lines: Iterator[FrameTracks]) -> int | None:
        events = Events()
        with _first_interrupt() as interrupted, _progress(Path(self._source).name) as tell:
            for told in lines:
                if told.cut:
                    self._cuts.add(told.frame)
                if self._how.live and self._as_json:
                    print_json_line(told_json(self._source, told))
                elif self._how.live:
                    for event in events.of(told):
                        print_line(event)
                self._done += 1
                progress = told.progress
                assert progress is not None
                tell(progress)
                if interrupted() and progress.done < progress.total:
                    if isinstance(lines, Generator):
                        lines.close()
                    return progress.frame
        return None

    def _write(self, tracks: Sequence[Track], formats: Sequence[str]) -> list[Written]:
        assert self._folder is not None
        info = self._video.info
        size = (info.width, info.height, info.frames)
        video = track_set(self._source, size, tracks, self._asked.labels, info.fps, info.names)
        first, last = self._frames
        with progress_console().status("writing files"):
            return write_files(self._video, video, range(first, last + 1), formats, self._folder)


@contextmanager
def _first_interrupt() -> "Generator[Any]":
    """Gives a function that says whether Ctrl-C came; the second one interrupts at once."""
    came = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(name: str) -> "Generator[Any]":
    """Gives a function that is told how far a run is; a bar on a terminal, else a line now and then."""
    console = progress_console()
    shown = TextColumn("{task.fields[words]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), shown)
    on_terminal = console.is_terminal
    told = time.monotonic()
    with Bar(*columns, console=console, transient=True, disable=not on_terminal) as bar:
        task = bar.add_task(name, total=None, words="")

        def tell(progress: Progress) -> None:
            nonlocal told
            words = f"{progress.tracks} tracks, {progress.fps:.1f} frames/s, {_left(progress.seconds_left)} left"
            bar.update(task, total=progress.total, completed=progress.done, words=words)
            if not on_terminal and time.monotonic() - told >= TOLD_EVERY:
                told = time.monotonic()
                say(f"{name}: {progress.done} of {progress.total} frames, {words}")

        yield tell


def _left(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
