"""Auto-annotation function of CVAT, by the contract of cvat-sdk (cvat_sdk.auto_annotation).

`cvat-cli task auto-annotate ID --function-module sam3_agent.labeling.cvat_function -p labels=str:NAME=phrase` calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.formats.cvat import row_runs
from sam3_agent.formats.polygons_reduced import outline_of
from sam3_agent.labeling.by_phrase import instances_by_phrase
from sam3_agent.masks import Rle
from sam3_agent.workspace import Workspace

Shape = Literal["mask", "polygon", "rectangle"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
THRESHOLD = 0.5
"""Least score where CVAT gives none: that of `segment`."""


@dataclass(frozen=True, slots=True)
class CvatLabel:
    """Label of a task: its name, what the model is asked for it, and the shape of what is found."""

    name: str
    phrase: str
    shape: Shape = "mask"


def parse_labels(text: str, shape: Shape = "mask") -> tuple[CvatLabel, ...]:
    """Read "NAME; NAME=phrase; NAME:polygon=phrase"; without a phrase the name is asked.

    Raises:
        InputError: there is none, one is empty, unknown in its shape, or given twice.
    """
    found: dict[str, CvatLabel] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        head, equals, phrase = (each.strip() for each in part.partition("="))
        name, colon, wanted = (each.strip() for each in head.rpartition(":"))
        if not colon:
            name, wanted = head, shape
        if wanted not in SHAPES:
            raise InputError(f"the label {part!r:.80} wants the shape {wanted!r:.40}; known: {', '.join(SHAPES)}")
        if not name or (equals and not phrase):
            raise InputError(
                f"the label {part!r:.80} has no name or no phrase; give NAME, NAME=phrase or NAME:SHAPE=..."
            )
        if name in found:
            raise InputError(f"the label {name!r:.80} is given twice; CVAT knows labels by their names")
        found[name] = CvatLabel(name, phrase or name, wanted)
    if not found:
        raise InputError("give the task's labels: -p labels=str:'NAME=phrase; NAME=phrase'")
    return tuple(found.values())


class CvatFunction:
    """Function that `cvat-cli` calls for each image of a task, here or as an agent."""

    def __init__(self, workspace: Workspace, labels: Sequence[CvatLabel], tolerance: float = 1.0) -> None:
        self._workspace = workspace
        self._labels = tuple(labels)
        self._tolerance = tolerance

    @property
    def spec(self) -> Any:
        """Labels as a `DetectionFunctionSpec`; CVAT finds its own by their names."""
        sdk = _sdk()
        numbered = enumerate(self._labels)
        return sdk.DetectionFunctionSpec(
            labels=[sdk.label_spec(each.name, number, type=each.shape) for number, each in numbered]
        )

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """Give a `LabeledShapeRequest` for each object; a polygon for each part of one.

        Of the context, `conf_threshold` and, where the version of the SDK has it, `conv_mask_to_poly` are minded.
        """
        sdk = _sdk()
        threshold = THRESHOLD if context.conf_threshold is None else float(context.conf_threshold)
        polygons = bool(getattr(context, "conv_mask_to_poly", False))
        found = self.found(image, threshold, polygons=polygons)
        return [sdk.shape(number, type=kind, points=points) for number, kind, points in found]

    def found(
        self, image: Image.Image, threshold: float = THRESHOLD, *, polygons: bool = False
    ) -> list[tuple[int, Shape, list[float]]]:
        """Give the number of the label, the kind of shape and CVAT's points of all that is found.

        `polygons` says that masks are wanted as polygons.
        """
        opened = self._workspace.open(image)
        try:
            phrases = (label.phrase for label in self._labels)
            by_phrase = instances_by_phrase(self._workspace, opened.id, phrases, threshold)
            found: list[tuple[int, Shape, list[float]]] = []
            for number, label in enumerate(self._labels):
                kind: Shape = "polygon" if polygons and label.shape == "mask" else label.shape
                for instance in by_phrase[label.phrase]:
                    for points in _points(instance.rle, kind, self._tolerance):
                        found.append((number, kind, points))
            return found
        finally:
            self._workspace.forget(opened.id)


def create(
    labels: str = "",
    shape: str = "mask",
    model: str = "tiny",
    device: str = "auto",
    dtype: str = "auto",
    simplify: float = 1.0,
) -> CvatFunction:
    """Load the model for `cvat-cli`, which gives every argument by `-p NAME=TYPE:VALUE`.

    Raises:
        Sam3AgentError: cvat-sdk or the model is missing, or an argument is not usable.
    """
    if shape not in SHAPES:
        raise InputError(f"the shape {shape!r:.40} is unknown; known: {', '.join(SHAPES)}")
    parsed = parse_labels(labels, shape)
    _sdk()
    from sam3_agent.model.replicas import load_segmenter  # imports torch

    return CvatFunction(Workspace(load_segmenter(model, device=device, dtype=dtype)), parsed, simplify)


def _points(rle: Rle, kind: Shape, tolerance: float) -> list[list[float]]:
    """Numbers of a shape as CVAT writes them: a mask as runs over its box by rows, then the box, ends included."""
    x0, y0, x1, y1 = (int(v) for v in masks.box(rle))
    if kind == "rectangle":
        return [[float(x0), float(y0), float(x1), float(y1)]]
    if kind == "mask":
        runs = row_runs(masks.decode(rle)[y0:y1, x0:x1])
        return [[float(n) for n in (*runs, x0, y0, x1 - 1, y1 - 1)]]
    return [[float(v) for v in ring.ravel()] for ring in outline_of(rle, tolerance).rings if len(ring) >= 3]


def _sdk() -> Any:
    try:
        return import_module("cvat_sdk.auto_annotation")
    except ModuleNotFoundError as error:
        raise Sam3AgentError("this function is for CVAT, whose SDK is missing: pip install cvat-cli") from error
