"""Segmentation behind the review page: masks by clicks, and more of what a person points at."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.labeling.review.decisions import ReviewDecisions
from sam3_agent.labeling.store.detections import SAME_IOU
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Label
from sam3_agent.labeling.store.summary import images_folder
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace

MOST_DRAWN = 50
"""Masks of clicks that can still be kept: more than anybody draws before keeping one; each is at most some MB."""
MOST_OPEN = 4
"""Images that stay open; more are closed, the oldest first."""
LIKE_THRESHOLD = 0.4
"""Least score of "more like this", under the 0.5 of `segment`: a person looks at all of it, and
rejects with one key."""
MOST_NEGATIVES = 4
"""Rejected labels that are shown as negative exemplars: each is a box more in every prompt."""

Found = tuple[Rle, float, float]
"""Mask, score, object score."""


@dataclass(slots=True)
class Search:
    """Progress of a search through the queue; one at a time."""

    done: int = 0
    total: int = 0
    found: int = 0
    running: bool = False
    error: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)


class ReviewSegmenter:
    """Segmenter for what a person points at. The model is loaded when it is first needed. Thread-safe."""

    def __init__(self, journal: Journal, load: Callable[[], Workspace]) -> None:
        self._journal = journal
        self._load = load
        self._workspace: Workspace | None = None
        self._open: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.RLock()
        self._learned = 0
        self._clicks = 0
        self._drawn: OrderedDict[str, tuple[str, Found]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self.search = Search()

    def click(
        self, sha: str, points: Sequence[tuple[float, float]], labels: Sequence[bool], box: Box | None
    ) -> tuple[str, Found]:
        """Segment the one object under the clicks, and name it so that it can be kept.

        Raises:
            ToolError: the model knows no clicks, or a point lies outside the image.
        """
        with self._lock:
            workspace, image_id = self._opened(sha)
            found = workspace.segment_at(image_id, points=points, labels=labels, box=box)
        if not found.instances:
            raise InputError("nothing was found under the clicks; add a point on the object, or one beside it")
        with self._lock:
            self._clicks += 1
            name = f"c{self._clicks}"
            self._drawn[name] = (sha, _found(found.instances[0]))
            while len(self._drawn) > MOST_DRAWN:
                self._drawn.popitem(last=False)
        return name, self._drawn[name][1]

    def drawn(self, name: str) -> tuple[str, Found]:
        """Found the image and mask of a click; raises InputError where it is too long ago."""
        with self._lock:
            if name not in self._drawn:
                raise InputError(f"the mask {name!r:.20} is no longer there; click again")
            return self._drawn[name]

    def like(self, label: Label, phrase: str | None) -> list[Found]:
        """Detect what is new and like a label on its own image, and unlike those that a person rejected there."""
        known = self._journal.labels(label.sha)
        against = [k.box for k in known if k.route == "rejected" and k.is_settled and k.class_name == label.class_name]
        with self._lock:
            workspace, image_id = self._opened(label.sha)
            found = workspace.refine(
                image_id,
                phrase,
                positive_boxes=[label.box],
                negative_boxes=against[:MOST_NEGATIVES],
                threshold=LIKE_THRESHOLD,
            )
        return _new(found.instances, known)

    def start_search(self, label: Label, phrase: str | None, decisions: ReviewDecisions) -> None:
        """Look for what is like a label on every other image, in a thread; what it finds waits for review at once.

        Raises:
            InputError: a search is running.
        """
        with self._lock:
            if self.search.running:
                raise InputError("a search is running already; wait for it, or stop it")
            rows = [row for row in self._journal.images("done") if row.sha != label.sha]
            self.search = Search(total=len(rows), running=True)
            self._thread = threading.Thread(target=self._run, args=(label, phrase, decisions, rows), daemon=True)
            self._thread.start()

    def stop_search(self) -> None:
        """End a search after the image it is at."""
        self.search.stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=60)

    def _run(self, label: Label, phrase: str | None, decisions: ReviewDecisions, rows: Sequence[ImageRow]) -> None:
        search = self.search
        try:
            name = self._learn(label, phrase)
            for row in rows:
                if search.stopping.is_set():
                    break
                with self._lock:
                    workspace, image_id = self._opened(row.sha)
                    (found,) = workspace.segment(image_id, [name], threshold=LIKE_THRESHOLD, tiles="never")
                new = _new(found.instances, self._journal.labels(row.sha))
                search.found += len(decisions.propose(row.sha, new, label.class_name))
                search.done += 1
        except Sam3AgentError as error:
            search.error = str(error)
        finally:
            search.running = False

    def _learn(self, label: Label, phrase: str | None) -> str:
        """Learn the example as a concept that other images can be asked for; gives its "@name"."""
        with self._lock:
            self._learned += 1
            workspace, image_id = self._opened(label.sha)
            concept = workspace.learn(f"review-{self._learned}", phrase, positive_boxes=[(image_id, label.box)])
            return f"@{concept.name}"

    def _opened(self, sha: str) -> tuple[Workspace, str]:
        """Open an image in the workspace, which is loaded for it; the lock is held by the caller."""
        if self._workspace is None:
            self._workspace = self._load()
        if sha in self._open:
            self._open.move_to_end(sha)
            return self._workspace, self._open[sha]
        image = self._workspace.open(image_path(self._journal, sha))
        self._open[sha] = image.id
        if len(self._open) > MOST_OPEN:
            self._workspace.forget(self._open.popitem(last=False)[1])
        return self._workspace, image.id


def image_path(journal: Journal, sha: str) -> Path:
    """Found the file of an image of the run; its path in the journal stays inside of the folder of images."""
    return images_folder(journal) / journal.image(sha).path


def _new(found: Sequence[Instance], known: Sequence[Label]) -> list[Found]:
    """Keep the detections that are not labeled or decided already."""
    rles = [each.rle for each in known if each.route != "rejected" or each.is_settled]
    fresh: list[Found] = []
    for instance in found:
        if not rles or float(np.max(masks.iou([instance.rle], rles))) < SAME_IOU:
            fresh.append(_found(instance))
            rles.append(instance.rle)
    return fresh


def _found(instance: Instance) -> Found:
    return instance.rle, instance.score, instance.object_score
