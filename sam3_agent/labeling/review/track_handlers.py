"""Handlers of the page for videos: what it may call, each with a JSON object in and out."""

from itertools import pairwise
from typing import Annotated, Any

import pydantic

from sam3_agent.errors import Busy, InputError
from sam3_agent.labeling.review.frame_pictures import FramePictures
from sam3_agent.labeling.review.page import MOST_POINTS, Call, PagePicture, PageRequest, Pixel, read_request
from sam3_agent.labeling.review.track_corrections import TrackCorrector
from sam3_agent.labeling.review.track_review import TrackReview
from sam3_agent.render.track_overlay import track_color
from sam3_agent.tracks import Track, TrackFrame
from sam3_agent.workspace.tracking.decisions import Action
from sam3_agent.workspace.tracking.reviewed import ReviewedTrack

MOST_FRAMES = 64
"""Frames in one answer: the page asks for 16 at a time."""
MOST_MASKS = 2_000_000
"""Characters of masks in one answer, beyond which it ends early: 4K frames with a hundred tracks have 2 MB a frame."""
MOST_TEXT = 1000
"""Characters of an id or a label in a call; both are checked further where they mean something."""
_Frame = Annotated[int, pydantic.Field(ge=0, le=10_000_000)]
_Text = Annotated[str, pydantic.Field(max_length=MOST_TEXT)]


class _Frames(PageRequest):
    first: _Frame
    count: Annotated[int, pydantic.Field(ge=1, le=2**40)] = 16


class _Decide(PageRequest):
    id: _Text
    action: Action
    other: _Text = ""
    frame: _Frame | None = None
    label: _Text = ""


class _Click(PageRequest):
    id: _Text
    frame: _Frame
    points: Annotated[list[tuple[Pixel, Pixel]], pydantic.Field(min_length=1, max_length=MOST_POINTS)]
    labels: Annotated[list[bool], pydantic.Field(min_length=1, max_length=MOST_POINTS)]


class _Follow(PageRequest):
    sketch: _Text


class _Stop(PageRequest):
    keep: bool


class TrackHandlers:
    """Handlers of the page's calls over one review, each with a JSON object in and out."""

    def __init__(self, review: TrackReview, corrector: TrackCorrector) -> None:
        self.review = review
        self.corrector = corrector
        self.pictures = FramePictures(review.video)

    @property
    def page(self) -> str:
        """Name of the page's HTML."""
        return "video.html"

    def picture(self, key: str) -> PagePicture:
        """Give a frame by its index, as JPEG; raises InputError where there is none."""
        if not (key.isascii() and key.isdecimal() and len(key) < 9):
            raise InputError(f"no frame {key!r:.20}")
        return PagePicture(self.pictures.jpeg(int(key)), "image/jpeg", keep=True)

    def close(self) -> None:
        """End a correction in a way that it can be gone on with, and let the video go."""
        self.corrector.close()
        self.pictures.close()

    def by_name(self) -> dict[str, Call]:
        """List them: name in the address -> handler."""
        return {
            "state": self.state,
            "frames": self.frames,
            "decide": self.decide,
            "undo": self.undo,
            "click": self.click,
            "follow": self.follow,
            "resume": self.resume,
            "stop": self.stop,
            "progress": self.progress,
        }

    def state(self, given: dict[str, Any]) -> Any:
        """Give the video, its tracks with all that was decided, and the correction that is running."""
        review, info = self.review, self.review.video.info
        return {
            "folder": review.folder.absolute().name,
            "video": {**info.to_json(), "name": info.name.rsplit("/", 1)[-1]},
            "span": [review.span[0], review.span[-1]],
            "cuts": list(review.cuts),
            "labels": list(review.labels),
            "tracks": [_track(each) for each in review.all],
            "counts": review.counts,
            "passed_over": review.passed_over,
            "reviewer": review.reviewer,
            **self.progress({}),
        }

    def progress(self, given: dict[str, Any]) -> Any:
        """Give the state of a correction, whether the model is loaded, and a number that changes with each decision."""
        correction = self.corrector.progress.to_json()
        return {"version": self.review.version, "loaded": self.corrector.is_loaded, "correction": correction}

    def frames(self, given: dict[str, Any]) -> Any:
        """Give the masks of frames: {"first", "count"} -> "frames", perhaps fewer than were asked for."""
        asked = read_request(_Frames, given)
        times = self.review.video.info.times
        if asked.first >= len(times):
            raise InputError(f"there is no frame {asked.first}; the video has 0-{len(times) - 1}")
        wanted = range(asked.first, min(asked.first + min(asked.count, MOST_FRAMES), len(times)))
        version = self.review.version
        frames: list[dict[str, Any]] = []
        size = 0
        for index, seen in zip(wanted, self.review.at(wanted), strict=True):
            size += sum(len(entry.rle.counts) for _, entry in seen)
            if frames and size > MOST_MASKS:
                break
            frames.append({"frame": index, "time": round(float(times[index]), 4), "tracks": list(map(_mask, seen))})
        return {"version": version, "frames": frames}

    def decide(self, given: dict[str, Any]) -> Any:
        """Decide about a track: {"id", "action", "other", "frame", "label"} -> what it is now."""
        asked = read_request(_Decide, given)
        if asked.action == "correct":
            raise InputError("a correction is made by clicks on a frame")
        for track_id in (asked.id, asked.other):
            if track_id and track_id == self.corrector.busy_with:
                raise Busy(f"{track_id} is being corrected: wait for that, or stop it")
        made = self.review.decide(
            asked.action, asked.id, asked.other, -1 if asked.frame is None else asked.frame, asked.label
        )
        return {"id": made.id, "new_id": made.new_id}

    def undo(self, given: dict[str, Any]) -> Any:
        """Take back the last decision; gives it, if any."""
        if self.corrector.busy_with:
            raise Busy(f"{self.corrector.busy_with} is being corrected: wait for that, or stop it, then undo")
        undone = self.review.undo()
        if undone is None:
            return {"undone": None}
        return {"undone": {"words": undone.words, "ids": list(undone.ids), "frame": undone.decision.frame}}

    def click(self, given: dict[str, Any]) -> Any:
        """Segment under clicks on a frame: {"id", "frame", "points", "labels"} -> a mask; nothing is kept."""
        asked = read_request(_Click, given)
        if len(asked.points) != len(asked.labels):
            raise InputError(f"each point needs one label: {len(asked.points)} points, {len(asked.labels)} labels")
        if asked.frame not in self.review.span:
            raise InputError(f"frame {asked.frame} was not tracked; corrections begin in {_words(self.review.span)}")
        made = self.corrector.sketch(asked.id, asked.frame, asked.points, asked.labels)
        return {"sketch": made.name, "mask": made.rle.to_json(), "score": round(made.score, 4)}

    def follow(self, given: dict[str, Any]) -> Any:
        """Correct the track of a sketch from its frame on, in the background: {"sketch"}."""
        self.corrector.start(read_request(_Follow, given).sketch)
        return self.progress({})

    def resume(self, given: dict[str, Any]) -> Any:
        """Go on with a correction that was cut off."""
        self.corrector.resume()
        return self.progress({})

    def stop(self, given: dict[str, Any]) -> Any:
        """End a correction: {"keep"} tells whether what it has done is kept."""
        self.corrector.stop(keep=read_request(_Stop, given).keep)
        return self.progress({})


def _track(each: ReviewedTrack) -> dict[str, Any]:
    track, seen = each.track, each.track.visible
    spans: list[list[int]] = [[seen[0].index, seen[0].index]]
    for one, other in pairwise(seen):
        if other.index == one.index + 1:
            spans[-1][1] = other.index
        else:
            spans.append([other.index, other.index])
    return {
        "id": track.id,
        "label": track.concept,
        "color": list(track_color(_number(track))),
        "route": each.route,
        "reviewer": each.reviewer,
        "reason": each.reason,
        "score": round(track.score, 4),
        "frames": len(seen),
        "spans": spans,
        "corrected": list(each.corrected),
    }


def _number(track: Track) -> int:
    """Number of a color: that of the id, as in the overlay video."""
    digits = track.id[1:]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else sum(track.id.encode())


def _mask(seen: tuple[Track, TrackFrame]) -> dict[str, Any]:
    track, entry = seen
    box = [round(value, 1) for value in entry.box]
    return {"id": track.id, "mask": entry.rle.counts, "box": box, "score": round(entry.score, 3)}


def _words(span: range) -> str:
    return f"{span[0]}-{span[-1]}"
