"""Labeling configuration of a Label Studio project, as far as masks and boxes on images go."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from sam3_agent.errors import InputError

Kind = Literal["brush", "polygon", "rectangle", "keypoint"]
_KINDS: dict[str, Kind] = {
    "BrushLabels": "brush",
    "PolygonLabels": "polygon",
    "RectangleLabels": "rectangle",
    "KeyPointLabels": "keypoint",
}
"""Tag -> kind; other tags of a project are for people alone."""
MOST_CHARACTERS = 1_000_000
"""Of a configuration; 10,000 labels have about half as many."""
_DECLARATION = re.compile(r"<!(?!--)")
"""Document types and entities: no project needs them, and they are how XML grows without end."""


@dataclass(frozen=True, slots=True)
class ConfigLabel:
    """Label of a control."""

    value: str
    """Name in results."""
    phrase: str
    """Asked of the model: `model_phrase`, or the name; "" where the label is not asked."""


@dataclass(frozen=True, slots=True)
class Control:
    """Tag that people label with, on one image of a task."""

    kind: Kind
    name: str
    to_name: str
    data_key: str
    """Field of a task's data that holds the image."""
    labels: tuple[ConfigLabel, ...]
    exemplars: bool = False
    """Whether its boxes are examples of all that is to be found (`model_exemplars="true"`), not of one object."""

    def label(self, value: str) -> ConfigLabel | None:
        """The label of this name, if it has one."""
        return next((label for label in self.labels if label.value == value), None)


@dataclass(frozen=True, slots=True)
class LabelingConfig:
    """Controls of a project in their order."""

    controls: tuple[Control, ...]

    def control(self, name: str) -> Control | None:
        """The control of this name, if there is one."""
        return next((control for control in self.controls if control.name == name), None)

    def output_of(self, value: str, data_key: str) -> tuple[Control, ConfigLabel] | None:
        """Give the control that results of a label belong to, and its label: the first for masks, else the first for
        boxes.

        A label that no such control has belongs to a control of a single label, if that is the first one.
        """
        outputs = [control for control in self._outputs() if control.data_key == data_key]
        for control in outputs:
            if (label := control.label(value)) is not None:
                return control, label
        if outputs and len(outputs[0].labels) == 1:
            return outputs[0], outputs[0].labels[0]
        return None

    def asked(self) -> list[tuple[Control, ConfigLabel]]:
        """Every label that has a phrase, once for each image, with the control that its results belong to."""
        found: dict[tuple[str, str], tuple[Control, ConfigLabel]] = {}
        for control in self._outputs():
            for label in control.labels:
                found.setdefault((control.data_key, label.value), (control, label))
        return [(control, label) for control, label in found.values() if label.phrase]

    def _outputs(self) -> Iterator[Control]:
        for kinds in (("brush", "polygon"), ("rectangle",)):
            yield from (c for c in self.controls if c.kind in kinds and not c.exemplars)


def read_labeling_config(text: str) -> LabelingConfig:
    """Read the XML of a project.

    Raises:
        InputError: it is no such XML, or it has nothing to answer with: no BrushLabels, PolygonLabels or
            RectangleLabels on an Image.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"the labeling configuration has {len(text)} characters; at most {MOST_CHARACTERS} are read")
    if _DECLARATION.search(text):
        raise InputError("the labeling configuration declares a document type, which is not read; remove '<!...>'")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"the labeling configuration is no XML: {error}") from error
    images = {tag.get("name", ""): tag.get("value", "").removeprefix("$") for tag in root.iter("Image")}
    controls = tuple(
        _control(tag, _KINDS[tag.tag], images[tag.get("toName", "")])
        for tag in root.iter()
        if tag.tag in _KINDS and images.get(tag.get("toName", ""))
    )
    config = LabelingConfig(controls)
    if not any(control.kind != "keypoint" and not control.exemplars for control in controls):
        raise InputError(
            "the labeling configuration has no BrushLabels, PolygonLabels or RectangleLabels on an Image to answer with"
        )
    return config


def _control(tag: ElementTree.Element, kind: Kind, data_key: str) -> Control:
    labels = tuple(_labels(tag))
    exemplars = kind == "rectangle" and tag.get("model_exemplars", "").lower() == "true"
    return Control(kind, tag.get("name", ""), tag.get("toName", ""), data_key, labels, exemplars)


def _labels(tag: ElementTree.Element) -> Iterator[ConfigLabel]:
    for label in tag.iter("Label"):
        value = label.get("value", "")
        if value:
            phrase = label.get("model_phrase", value)
            yield ConfigLabel(label.get("alias") or value, " ".join(phrase.split()))
