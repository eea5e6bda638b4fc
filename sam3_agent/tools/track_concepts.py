"""Tool that finds every instance of concepts in a video and follows them."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from sam3_agent.errors import Cancelled, InputError
from sam3_agent.tools.arguments import FrameBoxes, FrameNumber, Phrase, VideoId, box_of, phrases_of
from sam3_agent.tools.long_work import LongWork, Watch
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.track_facts import motions_of, track_data, track_lines
from sam3_agent.tools.video_frames import FEW, frames_showing, sheet_of
from sam3_agent.tracks import Track
from sam3_agent.workspace import AskedFor, ExampledConcept, FrameExample, Workspace
from sam3_agent.workspace.tracking import profile_for
from sam3_agent.workspace.tracking.session import FrameTracks

LAST = -1
"""Stands for the last frame."""
LastFrame = Annotated[int, Field(ge=LAST, description="Last frame to track; -1 for the last of the video.")]


@dataclass(frozen=True, slots=True)
class Tracked:
    """Tracks that a question found, and how far it came."""

    video_id: str
    asked: str
    tracks: tuple[Track, ...]
    """Of this question: those that were not there before, or were corrected."""
    others: int
    """Tracks of the video beside them."""
    frames: tuple[int, int]
    stopped: int
    """Frames that were done when it was stopped; -1 where it went to its end."""


def track_concepts(
    workspace: Workspace,
    video_id: VideoId,
    concepts: Annotated[
        Sequence[Phrase],
        BeforeValidator(phrases_of),
        Field(max_length=16, description="Noun phrases, as ['person', 'red car']; all are answered in one pass."),
    ] = (),
    example_boxes: FrameBoxes = (),
    negative_boxes: FrameBoxes = (),
    first_frame: FrameNumber = 0,
    last_frame: LastFrame = LAST,
    stride: Annotated[
        int, Field(ge=1, le=1000, description="Search for new objects in every so many frames only: faster.")
    ] = 1,
    threshold: Annotated[
        float,
        Field(ge=0, le=1, description="What a detection must score to become a track, 0-1; 0: what suits the model."),
    ] = 0.0,
) -> LongWork[Tracked]:
    """Find EVERY instance of the concepts in a video and follow each through all frames under an id that never changes.

    Concepts as in segment_concepts: short noun phrases or '@name', no relations, no order (that is measure_tracks).
    Boxes around examples on any frame hold on every frame, with one concept or none. Later calls add tracks and leave
    the others alone; the same call again goes on where it was stopped. It takes about as long as segmenting every
    frame: where the video is long, ask for a range or a stride first.
    """
    asked = _asked(concepts, example_boxes, negative_boxes)
    profile = profile_for(workspace.info.name)
    if threshold:
        profile = replace(profile, new_score=threshold, detection_score=min(profile.detection_score, threshold))
    frames = range_of(workspace, video_id, first_frame, last_frame)
    lines = workspace.follow(video_id, asked, frames=frames, stride=stride, profile=profile, live=True)
    told = ", ".join(concepts) or "what is like the examples"
    told += f" in frames {frames[0]}-{frames[1]}" + (f", searched in every {stride}. frame" if stride > 1 else "")
    return followed(workspace, video_id, told, frames, lines)


def range_of(workspace: Workspace, video_id: str, first: int, last: int) -> tuple[int, int]:
    """First and last frame, LAST resolved. Raises UnknownHandle."""
    end = len(workspace.video_store.video(video_id)) - 1
    return first, end if last == LAST else last


def followed(
    workspace: Workspace,
    video_id: str,
    asked: str,
    frames: tuple[int, int],
    lines: Iterator[FrameTracks],
    corrected: str = "",
) -> LongWork[Tracked]:
    """The work of following a question to its end; `corrected` names a track that it is about."""
    before = {track.id for track in workspace.video_store.tracks(video_id)} - {corrected}

    def run(watch: Watch) -> Tracked:
        stopped = _follow(lines, watch)
        tracks = workspace.video_store.tracks(video_id)
        new = tuple(track for track in tracks if track.id not in before and track.visible)
        if not new and stopped < 0:  # it was answered before
            new = tuple(track for track in tracks if track.visible)
        return Tracked(video_id, asked, new, len(tracks) - len(new), frames, stopped)

    return LongWork(f"track in {video_id}: {asked}", run)


def _follow(lines: Iterator[FrameTracks], watch: Watch) -> int:
    """Follow to the end, or until nobody wants it: then the number of frames that were done, else -1."""
    done = 0
    try:
        for line in lines:
            progress = line.progress
            if progress is None:
                continue
            done = progress.done
            left = f", {progress.seconds_left:.0f} s left" if progress.fps else ""
            words = f"frame {line.frame}: {progress.tracks} tracks, {progress.fps:.1f} frames/s{left}"
            watch.note(done, progress.total, words)
            if not watch.wanted and done < progress.total:
                return done
    except Cancelled:
        if watch.wanted:
            raise
        return done
    finally:
        if isinstance(lines, Generator):
            cast(Generator[FrameTracks], lines).close()
    return -1


def present(workspace: Workspace, result: Tracked) -> Presentation:
    """Tell each track on a line and show frames in which all are seen."""
    clock = workspace.video_store.clock(result.video_id)
    motions = motions_of(result.tracks, clock)
    head = f"{result.video_id}: {result.asked}: {len(motions)} tracks"
    if result.stopped >= 0:
        head += f"; stopped after {result.stopped} frames, the same call goes on from there"
    lines = [head, *track_lines(motions)]
    hints = _hints(result)
    lines += [f"hint: {hint}" for hint in hints]
    data: dict[str, Any] = {
        "video_id": result.video_id,
        "asked": result.asked,
        "frames": list(result.frames),
        "complete": result.stopped < 0,
        "tracks": [track_data(motion) for motion in motions],
        "other_tracks": result.others,
        "hints": hints,
    }
    if not motions:
        return Presentation("\n".join(lines), data)
    shown = [motion.track for motion in motions]
    picture = sheet_of(workspace, result.video_id, frames_showing(shown, FEW), shown)
    return Presentation("\n".join([*lines, f"sheet: {picture.caption}"]), data, (picture,))


def _hints(result: Tracked) -> list[str]:
    if not result.tracks:
        return [
            "nothing was found. Try a more general noun, a lower threshold, or an example box; segment_concepts on a "
            f"frame such as '{result.video_id}@{result.frames[0]}' is the quickest way to see what the model finds"
        ]
    told = ["measure_tracks tells who comes first, who moves how, who meets whom; look_frames shows them"]
    if result.others:
        told.append(f"{result.others} other tracks of the video are as they were; list_tracks tells all")
    return told


def _asked(
    concepts: Sequence[str], example_boxes: Sequence[Sequence[float]], negative_boxes: Sequence[Sequence[float]]
) -> list[AskedFor]:
    examples = [*_examples(example_boxes, "example_boxes"), *_examples(negative_boxes, "negative_boxes", bad=True)]
    if not examples:
        return list(concepts)
    if len(concepts) > 1:
        raise InputError("boxes are examples of one thing: give one concept with them, or none")
    return [ExampledConcept(tuple(examples), concepts[0] if concepts else None)]


def _examples(boxes: Sequence[Sequence[float]], name: str, *, bad: bool = False) -> list[FrameExample]:
    found: list[FrameExample] = []
    for values in boxes:
        if len(values) != 5 or values[0] < 0 or values[0] != int(values[0]):
            raise InputError(f"each of {name} needs five numbers [frame, x0, y0, x1, y1], got {list(values)}")
        found.append(FrameExample(int(values[0]), box_of(values[1:], name), not bad))
    return found


TRACK_CONCEPTS = ToolSpec.of(track_concepts, present, is_long=True, idempotent=True, has_picture=True)
