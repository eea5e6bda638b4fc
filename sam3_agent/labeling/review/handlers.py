"""Handlers of the review page: what it may call, each with a JSON object in and out."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args

import pydantic
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.polygons_reduced import outline_of
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.page import MOST_POINTS, Call, PagePicture, PageRequest, Pixel, read_request
from sam3_agent.labeling.review.refine import ReviewSegmenter, image_path
from sam3_agent.labeling.review.rounds import Rounds
from sam3_agent.labeling.store.documents import label_json
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.store.summary import class_names, first_phrase
from sam3_agent.labeling.verify.calibrate import calibrate
from sam3_agent.labeling.verify.thresholds import thresholds_of
from sam3_agent.workspace.image_loading import read_source

Filter = Literal["review", "missed", "next", "second", "disagree", "accepted", "rejected", "all"]

_COUNTS = """
SELECT images.sha, path, width, height, COALESCE(l.review, 0), COALESCE(l.accepted, 0), COALESCE(l.rejected, 0),
    COALESCE(c.missed, 0), COALESCE(l.decided, 0), COALESCE(l.second, 0), COALESCE(l.disagree, 0),
    COALESCE(l.uncertainty, 0)
FROM images
LEFT JOIN (SELECT sha, SUM(route='review') review, SUM(route='accepted') accepted, SUM(route='rejected') rejected,
    SUM(decided_by='person') decided, SUM({second}) second, SUM(decided_by='people') disagree,
    MAX(CASE route WHEN 'review' THEN 1-ABS(2*quality-1) END) uncertainty
    FROM labels {by_class} GROUP BY sha) l ON l.sha=images.sha
LEFT JOIN (SELECT sha, SUM(route='review') missed FROM checks {by_class} GROUP BY sha) c ON c.sha=images.sha
WHERE state='done'
"""
_NAMES = (
    *("sha", "path", "width", "height"),
    *("review", "accepted", "rejected", "missed", "decided", "second", "disagree", "uncertainty"),
)
_WHERE = {
    "review": "COALESCE(l.review, 0) > 0",
    "missed": "COALESCE(c.missed, 0) > 0",
    "next": "images.sha IN (SELECT value FROM json_each((SELECT value FROM meta WHERE key='next')))"
    " AND NOT EXISTS(SELECT 1 FROM checks WHERE checks.sha=images.sha AND decided_by IN ('person', 'people'))",
    "second": "COALESCE(l.second, 0) > 0",
    "disagree": "COALESCE(l.disagree, 0) > 0",
    "accepted": "COALESCE(l.accepted, 0) > 0",
    "rejected": "COALESCE(l.rejected, 0) > 0",
    "all": "1",
}
_NEXT_FIRST = (
    "(SELECT MIN(key) FROM json_each((SELECT value FROM meta WHERE key='next')) AS ahead WHERE ahead.value=found.sha)"
)
"""The order in which the last round names the images to look at next; `relabel.round.NEXT_IMAGES` is the entry."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Part of the images that fit a filter, the most uncertain first; "next" in the order of the last round."""

    total: int
    items: tuple[dict[str, Any], ...]


_SECOND = "decided_by='person' AND reviewer<>? AND INSTR(reviewer, ', ')=0"
"""Condition: one other person decided, and nobody else has looked at."""


def queue_of(journal: Journal, kind: str, class_name: str | None, offset: int, limit: int, reviewer: str = "") -> Queue:
    """Give images `offset` to `offset + limit` of those that fit a filter; "second" is what others than `reviewer` did.

    Raises:
        InputError: an unknown filter.
    """
    if kind not in get_args(Filter):
        raise InputError(f"unknown filter {kind!r}; one of {', '.join(get_args(Filter))}")
    by_class = "WHERE class=?" if class_name else ""
    values = (reviewer, class_name, class_name) if class_name else (reviewer,)
    query = f"{_COUNTS.format(by_class=by_class, second=_SECOND)} AND {_WHERE[kind]}"
    order = _NEXT_FIRST if kind == "next" else "12 DESC"
    ordered = f"SELECT *, COUNT(*) OVER () FROM ({query}) AS found ORDER BY {order}, path LIMIT ? OFFSET ?"
    rows = journal.read(ordered, (*values, limit, offset))
    total = int(rows[0][-1]) if rows else 0
    return Queue(total, tuple(dict(zip(_NAMES, row, strict=False)) for row in rows))


def progress_of(journal: Journal) -> dict[str, int]:
    """Count the labels that wait, are accepted, are rejected, and were decided by a person."""
    rows = journal.read("SELECT route, COUNT(*), SUM(decided_by='person') FROM labels GROUP BY route")
    counts = {"review": 0, "accepted": 0, "rejected": 0} | {row[0]: int(row[1]) for row in rows}
    missed = int(journal.read("SELECT COUNT(*) FROM checks WHERE route='review'")[0][0])
    disagree = int(journal.read("SELECT COUNT(*) FROM labels WHERE decided_by='people'")[0][0])
    return {**counts, "decided": sum(int(row[2]) for row in rows), "missed": missed, "disagree": disagree}


MOST_QUEUE = 500
"""Images in one answer: the page asks for 200 at a time."""
SHOWN_AS_THEY_ARE = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
MOST_RUNS = 200_000
"""Run lengths of a mask drawn by hand: a call of 1 MB holds no more."""
VERTEX_PIXELS = 1.0
"""Of the image, by which an outline with few vertices may be off: what a person drags, and cannot see at full size."""


class _Queue(PageRequest):
    filter: str
    class_name: Annotated[str | None, pydantic.Field(alias="class")] = None
    offset: Annotated[int, pydantic.Field(le=2**40)] = 0
    limit: Annotated[int, pydantic.Field(ge=1, le=2**40)] = 200


class _OfImage(PageRequest):
    sha: str


class _OfLabel(PageRequest):
    id: str


class _Decide(PageRequest):
    labels: list[str]
    action: str
    class_name: Annotated[str | None, pydantic.Field(alias="class")] = None
    second: bool = False


class _Threshold(PageRequest):
    class_name: Annotated[str, pydantic.Field(alias="class")]
    threshold: float


class _Click(_OfImage):
    points: Annotated[list[tuple[Pixel, Pixel]], pydantic.Field(max_length=MOST_POINTS)]
    labels: Annotated[list[bool], pydantic.Field(max_length=MOST_POINTS)]
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None


class _Draw(_OfImage):
    runs: Annotated[list[int], pydantic.Field(max_length=MOST_RUNS)]
    class_name: Annotated[str, pydantic.Field(alias="class")]
    how: Literal["brush", "polygon"]
    id: str | None = None


class _Mask(PageRequest):
    find: str
    class_name: Annotated[str, pydantic.Field(alias="class")]
    id: str | None = None


class Handlers:
    """Handlers of the page's calls over one journal, each with a JSON object in and out."""

    def __init__(
        self,
        journal: Journal,
        decisions: ReviewDecisions,
        segmenter: ReviewSegmenter,
        rounds: Rounds | None = None,
    ) -> None:
        self.journal = journal
        self.rounds = rounds
        self.decisions = decisions
        self.segmenter = segmenter

    @property
    def page(self) -> str:
        """Name of the page's HTML."""
        return "index.html"

    def picture(self, key: str) -> PagePicture:
        """Give the image of a hash; one that browsers do not show is encoded as one that they do.

        Raises:
            InputError: there is no such image, or its file is gone.
        """
        path = image_path(self.journal, key)
        if not path.is_file():
            raise InputError(f"the image {path} is gone; put it back to see it")
        if path.suffix.lower() in SHOWN_AS_THEY_ARE:
            return PagePicture(path, keep=True)
        buffer = io.BytesIO()
        Image.fromarray(read_source(path)[0]).save(buffer, "PNG")
        return PagePicture(buffer.getvalue(), "image/png")

    def by_name(self) -> dict[str, Call]:
        """List them: name in the address -> handler."""
        return {
            "state": self.state,
            "queue": self.queue,
            "image": self.image,
            "decide": self.decide,
            "confirm": self.confirm,
            "undo": self.undo,
            "threshold": self.threshold,
            "calibrate": self.calibrate,
            "click": self.click,
            "mask": self.mask,
            "draw": self.draw,
            "outline": self.outline,
            "like": self.like,
            "search": self.start_search,
            "stop": self.stop_search,
            **(self.rounds.by_name() if self.rounds is not None else {}),
        }

    def state(self, given: dict[str, Any]) -> Any:
        """Give classes, their thresholds, progress, and the search through the queue."""
        known = thresholds_of(self.journal)
        classes = [{"name": n, **(asdict(known[n]) if n in known else {})} for n in class_names(self.journal)]
        search = self.segmenter.search
        running = {"done": search.done, "total": search.total, "found": search.found, "running": search.running}
        return {
            "folder": self.journal.path.parent.name,
            "classes": classes,
            "progress": progress_of(self.journal),
            "search": {**running, "error": search.error},
            "reviewer": self.decisions.reviewer,
        }

    def queue(self, given: dict[str, Any]) -> Any:
        """Give a part of the queue: {"filter", "class", "offset", "limit"} -> {"total", "items"}."""
        asked = read_request(_Queue, given)
        limit, offset = min(asked.limit, MOST_QUEUE), max(asked.offset, 0)
        found = queue_of(self.journal, asked.filter, asked.class_name or None, offset, limit, self.decisions.reviewer)
        return {"total": found.total, "items": list(found.items)}

    def image(self, given: dict[str, Any]) -> Any:
        """Give labels and checks of one image."""
        sha = read_request(_OfImage, given).sha
        row = self.journal.image(sha)
        return {
            "sha": sha,
            "path": row.path,
            "width": row.width,
            "height": row.height,
            "labels": [label_json(label) for label in self.journal.labels(sha)],
            "checks": [_check(check) for check in self.journal.checks(sha)],
        }

    def decide(self, given: dict[str, Any]) -> Any:
        """Decide about labels: {"labels": ids, "action", "class", "second"} -> the labels as they are now."""
        asked = read_request(_Decide, given)
        decide = self.decisions.second_look if asked.second else self.decisions.decide
        return _labels(decide(asked.labels, asked.action, asked.class_name))

    def confirm(self, given: dict[str, Any]) -> Any:
        """Say that nothing is missing on an image."""
        return {"checks": [_check(check) for check in self.decisions.confirm(read_request(_OfImage, given).sha)]}

    def undo(self, given: dict[str, Any]) -> Any:
        """Take back the last decision; gives it, if any."""
        undone = self.decisions.undo()
        return {"undone": asdict(undone) if undone is not None else None}

    def threshold(self, given: dict[str, Any]) -> Any:
        """Route the undecided labels of a class by another threshold: {"class", "threshold"}."""
        asked = read_request(_Threshold, given)
        return {"changed": self.decisions.set_threshold(asked.class_name, asked.threshold)}

    def calibrate(self, given: dict[str, Any]) -> Any:
        """Fit the thresholds to what has been decided."""
        return {"fits": [fit.to_json() for fit in calibrate(self.journal)]}

    def click(self, given: dict[str, Any]) -> Any:
        """Segment under clicks: {"sha", "points", "labels", "box"} -> a mask; nothing is kept."""
        asked = read_request(_Click, given)
        name, (rle, score, _) = self.segmenter.click(asked.sha, asked.points, asked.labels, asked.box)
        return {"find": name, "mask": rle.to_json(), "score": score}

    def mask(self, given: dict[str, Any]) -> Any:
        """Keep the mask of a click as a new label, or as that of an existing one: {"find", "class", "id"}."""
        asked = read_request(_Mask, given)
        sha, (rle, score, _) = self.segmenter.drawn(asked.find)
        return _labels([self.decisions.put_mask(sha, rle, asked.class_name, asked.id or None, score)])

    def draw(self, given: dict[str, Any]) -> Any:
        """Keep a mask drawn by hand, as a new label or an existing one's: {"sha", "runs", "class", "how", "id"}."""
        asked = read_request(_Draw, given)
        image = self.journal.image(asked.sha)
        size = (image.height, image.width)
        rle = masks.from_json({"size": size, "counts": asked.runs}, size)
        return _labels([self.decisions.put_mask(asked.sha, rle, asked.class_name, asked.id or None, how=asked.how)])

    def outline(self, given: dict[str, Any]) -> Any:
        """Give the mask of a label as rings of few vertices, holes cut open: {"id"} -> {"rings": [[[x, y], ...]]}."""
        found = outline_of(self.journal.label(read_request(_OfLabel, given).id).rle, VERTEX_PIXELS)
        return {"rings": [[[float(x), float(y)] for x, y in ring] for ring in found.rings], "iou": found.iou}

    def like(self, given: dict[str, Any]) -> Any:
        """Find more like a label on its image: {"id"}."""
        label = self.journal.label(read_request(_OfLabel, given).id)
        found = self.segmenter.like(label, first_phrase(self.journal, label.class_name))
        return _labels(self.decisions.propose(label.sha, found, label.class_name))

    def start_search(self, given: dict[str, Any]) -> Any:
        """Find more like a label on all other images, in the background: {"id"}."""
        label = self.journal.label(read_request(_OfLabel, given).id)
        self.segmenter.start_search(label, first_phrase(self.journal, label.class_name), self.decisions)
        return {"started": True}

    def stop_search(self, given: dict[str, Any]) -> Any:
        """End the search."""
        self.segmenter.stop_search()
        return {"stopped": True}


def _labels(labels: Sequence[Label]) -> dict[str, Any]:
    return {"labels": [label_json(label) for label in labels]}


def _check(check: Check) -> dict[str, Any]:
    return {"class": check.class_name, "presence": check.presence, "route": check.route, "reason": check.reason}
