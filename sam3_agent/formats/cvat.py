"""CVAT for images 1.1: one XML file, masks as CVAT's own run lengths, so holes and parts are kept."""

from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.formats.files import write_text
from sam3_agent.formats.label_set import LabelSet, MaskLabel
from sam3_agent.formats.palette import voc_colors


def write_cvat(labels: LabelSet, out: Path) -> list[str]:
    """Write annotations.xml; gives warnings (there are none)."""
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    root.append(_meta(labels))
    for number, image in enumerate(labels.images):
        attributes = {"id": str(number), "name": image.name}
        attributes |= {"subset": image.split} if len(labels.splits()) > 1 else {}  # some readers skip named subsets
        attributes |= {"width": str(image.width), "height": str(image.height)}
        entry = Xml.SubElement(root, "image", attributes)
        for order, label in enumerate(image.labels):
            _add_mask(entry, label, labels.classes[label.class_index], order)
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode")
    write_text(out / "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    return []


def row_runs(crop: NDArray[np.bool_]) -> list[int]:
    """CVAT's run lengths of a (H, W) crop: row by row, beginning with those outside."""
    flat = crop.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def _meta(labels: LabelSet) -> Xml.Element:
    meta = Xml.Element("meta")
    task = Xml.SubElement(meta, "task")
    Xml.SubElement(task, "name").text = "sam3-agent"
    Xml.SubElement(task, "size").text = str(len(labels.images))
    Xml.SubElement(task, "mode").text = "annotation"
    listed = Xml.SubElement(task, "labels")
    colors = voc_colors().tolist()[1:]
    for number, (name, attributes) in enumerate(_used_attributes(labels).items()):
        color = colors[number % len(colors)]
        entry = Xml.SubElement(listed, "label")
        Xml.SubElement(entry, "name").text = name
        Xml.SubElement(entry, "color").text = "#" + "".join(f"{v:02x}" for v in color)
        Xml.SubElement(entry, "type").text = "any"
        known = Xml.SubElement(entry, "attributes")
        for attribute in attributes:
            one = Xml.SubElement(known, "attribute")
            Xml.SubElement(one, "name").text = attribute
            Xml.SubElement(one, "mutable").text = "False"
            Xml.SubElement(one, "input_type").text = "text"
            Xml.SubElement(one, "default_value").text = ""
            Xml.SubElement(one, "values").text = ""
    return meta


def _used_attributes(labels: LabelSet) -> dict[str, list[str]]:
    """Class -> the attributes that its labels carry."""
    used: dict[str, dict[str, None]] = {name: {"score": None, "label_id": None} for name in labels.classes}
    for image in labels.images:
        for label in image.labels:
            used[labels.classes[label.class_index]] |= dict.fromkeys(label.attributes)
    return {name: list(attributes) for name, attributes in used.items()}


def _add_mask(entry: Xml.Element, label: MaskLabel, name: str, order: int) -> None:
    x0, y0, x1, y1 = (int(v) for v in masks.box(label.rle))
    if x1 <= x0:
        return
    crop = masks.decode(label.rle)[y0:y1, x0:x1]
    values = {"label": name, "source": "auto", "occluded": "0", "rle": ", ".join(str(n) for n in row_runs(crop))}
    values |= {"left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0), "z_order": str(order)}
    element = Xml.SubElement(entry, "mask", values)
    for key, value in {**label.attributes, "score": round(label.score, 4), "label_id": label.id}.items():
        Xml.SubElement(element, "attribute", {"name": key}).text = str(value)
