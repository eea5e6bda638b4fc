"""Predictions for Label Studio's tasks."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sam3_agent.errors import InputError, ToolError
from sam3_agent.labeling.by_phrase import instances_by_phrase
from sam3_agent.labeling.label_studio.labeling_config import ConfigLabel, Control, LabelingConfig, read_labeling_config
from sam3_agent.labeling.label_studio.regions import Drawn, Size, read_drawn, regions_of
from sam3_agent.labeling.label_studio.task_images import TaskImages
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.image_store import OpenImage

MOST_OPEN = 8
"""Images that stay open between clicks; more are closed, the least recently used first."""
_log = logging.getLogger(__name__)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answering:
    """Options of the answers."""

    threshold: float = 0.5
    """Least score of what is found by a phrase or by examples."""
    tolerance: float = 1.0
    """Pixels by which polygons may be off, for fewer vertices."""


class Backend:
    """Model behind a project: pre-annotates by phrases and examples, answers clicks and boxes. Thread-safe."""

    def __init__(self, workspace: Workspace, images: TaskImages, answering: Answering | None = None) -> None:
        self._workspace = workspace
        self._images = images
        self._answering = answering or Answering()
        self._open: OrderedDict[str, OpenImage] = OrderedDict()
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """Model version that predictions carry."""
        return f"sam3-agent {self._workspace.info.name}"

    def setup(self, body: Mapping[str, Any]) -> Json:
        """Check the labeling configuration of a project.

        The host and token in it are not used: whoever can call this could otherwise send us anywhere.

        Raises:
            InputError: it has nothing that can be answered.
        """
        read_labeling_config(_text(body, "schema"))
        return {"model_version": self.version}

    def predict(self, body: Mapping[str, Any]) -> Json:
        """Answer tasks: by what was drawn where the call has a context, else by the labels of the project.

        A task that cannot be answered gets no regions, and a line in the log.

        Raises:
            ToolError: the call is not usable, or none of its tasks can be answered.
        """
        config = read_labeling_config(_text(body, "label_config"))
        tasks: object = body.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in cast(list[object], tasks)):
            raise InputError("'tasks' must be a list of objects")
        context = _object_in(_object_in(body, "params"), "context")
        results: list[Json] = []
        failures: list[ToolError] = []
        for task in cast(list[Json], tasks):
            try:
                regions = (
                    self._by_context(config, task, context) if context.get("result") else self._by_labels(config, task)
                )
            except ToolError as error:
                _log.warning("task %s: %s", task.get("id"), error)
                failures.append(error)
                regions = []
            scores = [region["score"] for region in regions]
            results.append({"model_version": self.version, "score": min(scores, default=0.0), "result": regions})
        if failures and len(failures) == len(results):
            raise failures[0]
        return {"results": results, "model_version": self.version}

    def _by_labels(self, config: LabelingConfig, task: Json) -> list[Json]:
        """Find every label of the project on each image of a task, by its phrase or by boxes around examples."""
        found: list[Json] = []
        asked = config.asked()
        examples_on = {c.data_key for c in config.controls if c.exemplars}
        for key in dict.fromkeys([*(control.data_key for control, _ in asked), *examples_on]):
            with self._opened(task, key) as image:
                drawn = _exemplars(config, _annotated(task), (image.height, image.width), key)
                found += self._by_exemplars(config, image, key, drawn)
                known = {each.value for each in drawn if each.positive}
                pairs = [(c, label) for c, label in asked if c.data_key == key and label.value not in known]
                found += self._by_phrases(image, pairs)
        return found

    def _by_phrases(self, image: OpenImage, pairs: Sequence[tuple[Control, ConfigLabel]]) -> list[Json]:
        phrases = (label.phrase for _, label in pairs)
        by_phrase = instances_by_phrase(self._workspace, image.id, phrases, self._answering.threshold)
        return [r for c, label in pairs for r in self._regions(by_phrase[label.phrase], c, label, image)]

    def _by_exemplars(self, config: LabelingConfig, image: OpenImage, key: str, drawn: Sequence[Drawn]) -> list[Json]:
        """Find what is like the boxes of each label and unlike those that are marked as negative."""
        found: list[Json] = []
        for value in dict.fromkeys(each.value for each in drawn if each.positive):
            output = config.output_of(value, key)
            if output is None:
                continue
            boxes = [(each.positive, each.box) for each in drawn if each.value == value and each.box is not None]
            answer = self._workspace.refine(
                image.id,
                output[1].phrase or None,
                positive_boxes=[box for positive, box in boxes if positive],
                negative_boxes=[box for positive, box in boxes if not positive],
                threshold=self._answering.threshold,
            )
            found += self._regions(answer.instances, *output, image)
        return found

    def _by_context(self, config: LabelingConfig, task: Json, context: Json) -> list[Json]:
        """Segment the one object that is pointed at, or all that is like the boxes of a control for examples."""
        drawn_on = _regions_in(context.get("result"))
        names = (config.control(str(region.get("from_name", ""))) for region in drawn_on)
        control = next((each for each in names if each is not None), None)
        if control is None:
            raise InputError("the drawn regions belong to no control of the project's labeling configuration")
        key = control.data_key
        with self._opened(task, key) as image:
            size = (image.height, image.width)
            if control.exemplars:
                return self._by_exemplars(config, image, key, _exemplars(config, drawn_on, size, key))
            drawn = [each for region in drawn_on if (each := read_drawn(region, size)) is not None]
            output = config.output_of(next((each.value for each in drawn if each.value), ""), key)
            if not drawn or output is None:
                raise InputError("nothing was drawn that says which object, with a label that a mask or box can have")
            return self._regions(self._at(image, drawn), *output, image)

    def _at(self, image: OpenImage, drawn: Sequence[Drawn]) -> tuple[Instance, ...]:
        points = [(each.point, each.positive) for each in drawn if each.point is not None]
        boxes = [each.box for each in drawn if each.box is not None and each.positive]
        return self._workspace.segment_at(
            image.id,
            points=[point for point, _ in points],
            labels=[positive for _, positive in points],
            box=boxes[-1] if boxes else None,  # the last one drawn is meant
        ).instances

    def _regions(
        self, instances: Sequence[Instance], control: Control, label: ConfigLabel, image: OpenImage
    ) -> list[Json]:
        return regions_of(instances, control, label, (image.height, image.width), self._answering.tolerance)

    @contextmanager
    def _opened(self, task: Json, key: str) -> Generator[OpenImage]:
        """Give the image of a task; it stays open while it is used, and for the clicks to come."""
        data: object = task.get("data")
        source: object = cast(Json, data).get(key) if isinstance(data, dict) else None
        if not isinstance(source, str) or not source:
            raise InputError(f"the task has no address of an image in its field {key!r}")
        image = self._taken(source)
        if image is None:  # fetched and encoded without the lock: other images can be clicked meanwhile
            opened = self._workspace.open(self._images.read(source, task.get("id")))
            with self._lock:
                image = self._open.setdefault(source, opened)
                self._used[source] = self._used.get(source, 0) + 1
            if image is not opened:  # another call was quicker
                self._workspace.forget(opened.id)
        try:
            yield image
        finally:
            with self._lock:
                self._used[source] -= 1
                idle = [each for each in self._open if not self._used.get(each)]
                for each in idle[: max(0, len(self._open) - MOST_OPEN)]:
                    self._workspace.forget(self._open.pop(each).id)
                    self._used.pop(each, None)

    def _taken(self, source: str) -> OpenImage | None:
        """An open image, marked as used; None where it is not open."""
        with self._lock:
            if source not in self._open:
                return None
            self._open.move_to_end(source)
            self._used[source] = self._used.get(source, 0) + 1
            return self._open[source]


def _text(body: Mapping[str, Any], key: str) -> str:
    text: object = body.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"the call has no labeling configuration in {key!r}")
    return text


def _object_in(body: Mapping[str, Any], key: str) -> Json:
    """An object of a call; an empty one where it is missing or null."""
    value: object = body.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(f"{key!r} must be an object")
    return cast(Json, value)


def _regions_in(value: object) -> list[Json]:
    entries = cast(list[object], value) if isinstance(value, list) else []
    return [cast(Json, entry) for entry in entries if isinstance(entry, dict)]


def _annotated(task: Json) -> list[Json]:
    """Regions that people have drawn on a task so far, those of drafts among them."""
    kept = [*_regions_in(task.get("annotations")), *_regions_in(task.get("drafts"))]
    return [region for each in kept for region in _regions_in(each.get("result"))]


def _exemplars(config: LabelingConfig, regions: Sequence[Json], size: Size, key: str) -> list[Drawn]:
    names = {c.name for c in config.controls if c.exemplars and c.data_key == key}
    drawn = (read_drawn(region, size) for region in regions if region.get("from_name") in names)
    return [each for each in drawn if each is not None]
