"""What the review page may call, each with a JSON object in and out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from sam3_agent.errors import InputError
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.review.refine import ReviewSegmenter, prompt_phrase
from sam3_agent.labeling.store.journal import Journal, label_json
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.store.summary import class_names
from sam3_agent.labeling.verify.calibrate import calibrate
from sam3_agent.labeling.verify.thresholds import lines_of
from sam3_agent.masks import Box

Filter = Literal["review", "missed", "accepted", "rejected", "all"]

_COUNTS = """
SELECT images.sha, path, width, height, COALESCE(l.review, 0), COALESCE(l.accepted, 0), COALESCE(l.rejected, 0),
    COALESCE(c.missed, 0), COALESCE(l.decided, 0), COALESCE(l.doubt, 0)
FROM images
LEFT JOIN (SELECT sha, SUM(route='review') review, SUM(route='accepted') accepted, SUM(route='rejected') rejected,
    SUM(reviewer NOT IN ('', 'import')) decided, MAX(CASE route WHEN 'review' THEN 1-ABS(2*quality-1) END) doubt
    FROM labels {by_class} GROUP BY sha) l ON l.sha=images.sha
LEFT JOIN (SELECT sha, SUM(route='review') missed FROM checks {by_class} GROUP BY sha) c ON c.sha=images.sha
WHERE state='done'
"""
_WHERE = {
    "review": "COALESCE(l.review, 0) > 0",
    "missed": "COALESCE(c.missed, 0) > 0",
    "accepted": "COALESCE(l.accepted, 0) > 0",
    "rejected": "COALESCE(l.rejected, 0) > 0",
    "all": "1",
}


@dataclass(frozen=True, slots=True)
class Queue:
    """A part of the images that fit a filter, the most doubtful first."""

    total: int
    items: tuple[dict[str, Any], ...]


def queue_of(journal: Journal, kind: str, class_name: str | None, offset: int, limit: int) -> Queue:
    """Images `offset` to `offset + limit` of those with something to see.

    Raises:
        InputError: an unknown filter.
    """
    if kind not in get_args(Filter):
        raise InputError(f"unknown filter {kind!r}; one of {', '.join(get_args(Filter))}")
    by_class = "WHERE class=?" if class_name else ""
    values = (class_name, class_name) if class_name else ()
    query = f"{_COUNTS.format(by_class=by_class)} AND {_WHERE[kind]}"
    ordered = f"SELECT *, COUNT(*) OVER () FROM ({query}) ORDER BY 10 DESC, path LIMIT ? OFFSET ?"
    rows = journal.read(ordered, (*values, limit, offset))
    names = ("sha", "path", "width", "height", "review", "accepted", "rejected", "missed", "decided", "doubt")
    total = int(rows[0][10]) if rows else 0
    return Queue(total, tuple(dict(zip(names, row, strict=False)) for row in rows))


def progress_of(journal: Journal) -> dict[str, int]:
    """How many labels wait, are accepted, are rejected, and were decided by a person."""
    rows = journal.read("SELECT route, COUNT(*), SUM(reviewer NOT IN ('', 'import')) FROM labels GROUP BY route")
    counts = {"review": 0, "accepted": 0, "rejected": 0} | {row[0]: int(row[1]) for row in rows}
    missed = int(journal.read("SELECT COUNT(*) FROM checks WHERE route='review'")[0][0])
    return {**counts, "decided": sum(int(row[2]) for row in rows), "missed": missed}


MOST_QUEUE = 500
Call = Callable[[dict[str, Any]], Any]


class Calls:
    """The page's calls over one journal."""

    def __init__(self, journal: Journal, workspace: ReviewDecisions, segmenter: ReviewSegmenter) -> None:
        self.journal = journal
        self.workspace = workspace
        self.segmenter = segmenter

    def by_name(self) -> dict[str, Call]:
        """Name in the address -> call."""
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
            "like": self.like,
            "search": self.start_search,
            "stop": self.stop_search,
        }

    def state(self, given: dict[str, Any]) -> Any:
        """Classes, their lines, progress, and the search through the queue."""
        lines = lines_of(self.journal)
        classes = [{"name": n, **(asdict(lines[n]) if n in lines else {})} for n in class_names(self.journal)]
        search = self.segmenter.search
        running = {"done": search.done, "total": search.total, "found": search.found, "running": search.running}
        return {
            "folder": self.journal.path.parent.name,
            "classes": classes,
            "progress": progress_of(self.journal),
            "search": {**running, "error": search.error},
            "reviewer": self.workspace.reviewer,
        }

    def queue(self, given: dict[str, Any]) -> Any:
        """A part of the queue: {"filter", "class", "offset", "limit"} -> {"total", "items"}."""
        limit = min(int(given.get("limit", 200)), MOST_QUEUE)
        offset = max(int(given.get("offset", 0)), 0)
        found = queue_of(self.journal, str(given["filter"]), given.get("class") or None, offset, limit)
        return {"total": found.total, "items": list(found.items)}

    def image(self, given: dict[str, Any]) -> Any:
        """Labels and checks of one image."""
        sha = str(given["sha"])
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
        """{"labels": ids, "action", "class"} -> the labels as they are now."""
        ids = [str(each) for each in cast(Sequence[Any], given["labels"])]
        return _labels(self.workspace.decide(ids, str(given["action"]), given.get("class")))

    def confirm(self, given: dict[str, Any]) -> Any:
        """Nothing is missing on an image."""
        return {"checks": [_check(check) for check in self.workspace.confirm(str(given["sha"]))]}

    def undo(self, given: dict[str, Any]) -> Any:
        """The decision that was taken back, if any."""
        return {"undone": self.workspace.undo()}

    def threshold(self, given: dict[str, Any]) -> Any:
        """{"class", "threshold"}: route the undecided labels of a class by another threshold."""
        return {"changed": self.workspace.move_line(str(given["class"]), float(given["threshold"]))}

    def calibrate(self, given: dict[str, Any]) -> Any:
        """Fit the lines to what has been decided."""
        return {"fits": [fit.to_json() for fit in calibrate(self.journal)]}

    def click(self, given: dict[str, Any]) -> Any:
        """{"sha", "points", "labels", "box"} -> the mask under the clicks; nothing is kept."""
        points = [_point(point) for point in cast(Sequence[Any], given["points"])]
        on = [bool(each) for each in cast(Sequence[Any], given["labels"])]
        box = cast(Box, tuple(float(v) for v in given["box"])) if given.get("box") else None
        name, (rle, score, _) = self.segmenter.click(str(given["sha"]), points, on, box)
        return {"find": name, "mask": rle.to_json(), "score": score}

    def mask(self, given: dict[str, Any]) -> Any:
        """{"find", "class", "id"}: keep the mask of a click as a new label, or as that of an existing one."""
        sha, (rle, score, _) = self.segmenter.drawn(str(given["find"]))
        label_id = str(given["id"]) if given.get("id") else None
        return _labels([self.workspace.put_mask(sha, rle, str(given["class"]), label_id, score)])

    def like(self, given: dict[str, Any]) -> Any:
        """{"id"}: more like that label on its image."""
        label = self.journal.label(str(given["id"]))
        found = self.segmenter.like(label, prompt_phrase(self.journal, label))
        return _labels(self.workspace.propose(label.sha, found, label.class_name, "exemplar"))

    def start_search(self, given: dict[str, Any]) -> Any:
        """{"id"}: more like that label on all other images, in the background."""
        label = self.journal.label(str(given["id"]))
        self.segmenter.start_search(label, prompt_phrase(self.journal, label), self.workspace)
        return {"started": True}

    def stop_search(self, given: dict[str, Any]) -> Any:
        """End the search."""
        self.segmenter.stop_search()
        return {"stopped": True}


def _labels(labels: Sequence[Label]) -> dict[str, Any]:
    return {"labels": [label_json(label) for label in labels]}


def _check(check: Check) -> dict[str, Any]:
    return {"class": check.class_name, "presence": check.presence, "route": check.route, "reason": check.reason}


def _point(value: Any) -> tuple[float, float]:
    try:
        x, y = value
        return float(x), float(y)
    except (TypeError, ValueError) as error:
        raise InputError(f"a point is two numbers x, y in pixels, got {value!r:.40}") from error
