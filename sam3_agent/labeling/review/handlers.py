"""What the review page may call, each with a JSON object in and out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.labeling.review.decisions import ReviewDesk
from sam3_agent.labeling.review.queue import progress_of, queue_of
from sam3_agent.labeling.review.refine import ReviewEye, prompt_phrase
from sam3_agent.labeling.store.journal import Journal, label_json
from sam3_agent.labeling.store.label import Check, Label
from sam3_agent.labeling.store.summary import class_names
from sam3_agent.labeling.verify.calibrate import calibrate
from sam3_agent.labeling.verify.thresholds import lines_of
from sam3_agent.masks import Box

MOST_QUEUE = 500
Call = Callable[[dict[str, Any]], Any]


class Calls:
    """The page's calls over one journal."""

    def __init__(self, journal: Journal, desk: ReviewDesk, eye: ReviewEye) -> None:
        self.journal = journal
        self.desk = desk
        self.eye = eye

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
        search = self.eye.search
        running = {"done": search.done, "total": search.total, "found": search.found, "running": search.running}
        return {
            "folder": self.journal.path.parent.name,
            "classes": classes,
            "progress": progress_of(self.journal),
            "search": {**running, "error": search.error},
            "reviewer": self.desk.reviewer,
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
        return _labels(self.desk.decide(ids, str(given["action"]), given.get("class")))

    def confirm(self, given: dict[str, Any]) -> Any:
        """Nothing is missing on an image."""
        return {"checks": [_check(check) for check in self.desk.confirm(str(given["sha"]))]}

    def undo(self, given: dict[str, Any]) -> Any:
        """The decision that was taken back, if any."""
        return {"undone": self.desk.undo()}

    def threshold(self, given: dict[str, Any]) -> Any:
        """{"class", "threshold"}: route the undecided labels of a class by another threshold."""
        return {"changed": self.desk.move_line(str(given["class"]), float(given["threshold"]))}

    def calibrate(self, given: dict[str, Any]) -> Any:
        """Fit the lines to what has been decided."""
        return {"fits": [fit.to_json() for fit in calibrate(self.journal)]}

    def click(self, given: dict[str, Any]) -> Any:
        """{"sha", "points", "labels", "box"} -> the mask under the clicks; nothing is kept."""
        points = [_point(point) for point in cast(Sequence[Any], given["points"])]
        on = [bool(each) for each in cast(Sequence[Any], given["labels"])]
        box = cast(Box, tuple(float(v) for v in given["box"])) if given.get("box") else None
        name, (rle, score, _) = self.eye.click(str(given["sha"]), points, on, box)
        return {"find": name, "mask": rle.to_json(), "score": score}

    def mask(self, given: dict[str, Any]) -> Any:
        """{"find", "class", "id"}: keep the mask of a click as a new label, or as that of an existing one."""
        sha, (rle, score, _) = self.eye.drawn(str(given["find"]))
        label_id = str(given["id"]) if given.get("id") else None
        return _labels([self.desk.put_mask(sha, rle, str(given["class"]), label_id, score)])

    def like(self, given: dict[str, Any]) -> Any:
        """{"id"}: more like that label on its image."""
        label = self.journal.label(str(given["id"]))
        found = self.eye.like(label, prompt_phrase(self.journal, label))
        return _labels(self.desk.propose(label.sha, found, label.class_name, "exemplar"))

    def start_search(self, given: dict[str, Any]) -> Any:
        """{"id"}: more like that label on all other images, in the background."""
        label = self.journal.label(str(given["id"]))
        self.eye.start_search(label, prompt_phrase(self.journal, label), self.desk)
        return {"started": True}

    def stop_search(self, given: dict[str, Any]) -> Any:
        """End the search."""
        self.eye.stop_search()
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
