"""Writer and reader of CVAT for images 1.1: one XML file, masks as CVAT's own run lengths."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import xml_text
from sam3_agent.formats.files import replacing
from sam3_agent.formats.found_labels import FoundImage, FoundLabel
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.notes import Notes
from sam3_agent.formats.palette import voc_colors
from sam3_agent.formats.reading import decode_text, read_bytes
from sam3_agent.masks import Rle


def write_cvat(labels: LabelSet, out: Path) -> list[str]:
    """Write annotations.xml, an image at a time: a large set is never held. Gives warnings."""
    splits, renamed = labels.splits(), 0
    with replacing(out / "annotations.xml") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{_INSIDE}<version>1.1</version>')
        file.write(_INSIDE + _text(_meta(labels, splits)))
        for number, image in enumerate(labels.images):
            file.write(_INSIDE + _text(_image(image, number, labels, subset=len(splits) > 1)))
            renamed += image.name != xml_text(image.name)
        file.write("\n</annotations>\n")
    return [f"cvat: {renamed} names of images hold characters that XML cannot, written as escapes"] if renamed else []


def row_runs(crop: NDArray[np.bool_]) -> list[int]:
    """CVAT's run lengths of a (H, W) crop: row by row, beginning with those outside."""
    flat = crop.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


_INSIDE = "\n  "


def _text(element: Xml.Element) -> str:
    """Give the text of an element that stands right under the root."""
    Xml.indent(element, level=1)
    return Xml.tostring(element, encoding="unicode")


def _image(image: LabeledImage, number: int, labels: LabelSet, *, subset: bool) -> Xml.Element:
    attributes = {"id": str(number), "name": xml_text(image.name)}
    attributes |= {"subset": image.split} if subset else {}
    attributes |= {"width": str(image.width), "height": str(image.height)}
    entry = Xml.Element("image", attributes)
    for order, label in enumerate(image.labels):
        _add_mask(entry, label, labels.classes[label.class_index], order)
    return entry


def _meta(labels: LabelSet, splits: Mapping[str, int]) -> Xml.Element:
    """Give the head: a task, or for several splits a project of a task each, as readers look for subsets there."""
    meta = Xml.Element("meta")
    whole = Xml.SubElement(meta, "task" if len(splits) < 2 else "project")
    Xml.SubElement(whole, "name").text = "sam3-agent"
    Xml.SubElement(whole, "size").text = str(len(labels.images))
    Xml.SubElement(whole, "mode").text = "annotation"
    if len(splits) > 1:
        tasks = Xml.SubElement(whole, "tasks")
        for split, count in splits.items():
            task = Xml.SubElement(tasks, "task")
            Xml.SubElement(task, "name").text = split
            Xml.SubElement(task, "size").text = str(count)
            Xml.SubElement(task, "subset").text = split
    listed = Xml.SubElement(whole, "labels")
    colors = voc_colors().tolist()[1:]
    for number, (name, attributes) in enumerate(_used_attributes(labels).items()):
        color = colors[number % len(colors)]
        entry = Xml.SubElement(listed, "label")
        Xml.SubElement(entry, "name").text = xml_text(name)
        Xml.SubElement(entry, "color").text = "#" + "".join(f"{v:02x}" for v in color)
        Xml.SubElement(entry, "type").text = "any"
        known = Xml.SubElement(entry, "attributes")
        for attribute in attributes:
            one = Xml.SubElement(known, "attribute")
            Xml.SubElement(one, "name").text = xml_text(attribute)
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
    values = {
        "label": xml_text(name),
        "source": "auto",
        "occluded": "0",
        "rle": ", ".join(str(n) for n in row_runs(crop)),
    }
    values |= {"left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0), "z_order": str(order)}
    element = Xml.SubElement(entry, "mask", values)
    for key, value in {**label.attributes, "score": round(label.score, 4), "label_id": label.id}.items():
        Xml.SubElement(element, "attribute", {"name": xml_text(key)}).text = xml_text(str(value))


_NO_AREA = ("points", "polyline", "skeleton", "cuboid", "tag")
_CORNERS = 64
"""Of the polygon of an ellipse: within 0.2 % of its area."""


def read_cvat(source: Path, images: KnownImages, notes: Notes) -> list[FoundImage]:
    """Read annotations.xml.

    Raises:
        InputError: it is no such file.
    """
    root = _parsed(source)
    if root.tag != "annotations":
        raise InputError(f"{source}: not CVAT for images: the root is <{root.tag:.40}>, not <annotations>")
    if root.find("track") is not None:
        raise InputError(f"{source}: this is CVAT for video 1.1; export it as CVAT for images 1.1")
    return list(_images(root, source.name, images, notes))


def _parsed(source: Path) -> Xml.Element:
    try:
        data = read_bytes(source)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from error
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities may be nested to any length
        raise InputError(f"{source}: a document type is not read; CVAT writes none")
    try:
        return Xml.fromstring(data)
    except (ValueError, LookupError):  # an encoding that the parser does not know
        return _parsed_text(decode_text(data, source), source)
    except Xml.ParseError as error:
        raise InputError(f"{source}: not XML ({error})") from error


def _parsed_text(text: str, source: Path) -> Xml.Element:
    try:
        return Xml.fromstring(text)
    except (Xml.ParseError, ValueError) as error:
        raise InputError(f"{source}: not XML ({error})") from error


def _images(root: Xml.Element, name: str, images: KnownImages, notes: Notes) -> Iterator[FoundImage]:
    for number, entry in enumerate(root.iter("image")):
        given = entry.get("name", "")
        place = f"{name}: image {number} ({given:.200})"
        count = sum(1 for child in entry if child.tag != "tag")
        if not given.strip():
            notes.leave_out(place, "it has no name", count)
            continue
        size = _stated_size(entry) or images.size_of(given)
        if size is None:
            notes.leave_out(place, "no usable width and height, and no image to take them from", count)
            continue
        labels: list[FoundLabel] = []
        for child in entry:
            try:
                labels.append(_label(child, size))
            except InputError as error:
                notes.leave_out(place, f"<{child.tag:.40}>: {error}", int(child.tag != "tag"))
        yield FoundImage(given, size, tuple(labels), place)


def _stated_size(entry: Xml.Element) -> tuple[int, int] | None:
    sides = (entry.get("height", ""), entry.get("width", ""))
    if not all(side.isascii() and side.isdigit() and len(side) < 8 and int(side) > 0 for side in sides):
        return None
    height, width = int(sides[0]), int(sides[1])
    return (height, width) if height * width <= masks.MOST_PIXELS else None


def _label(entry: Xml.Element, size: tuple[int, int]) -> FoundLabel:
    if entry.tag in _NO_AREA:
        raise InputError("it has no area, and is not read")
    name = entry.get("label", "").strip()
    if not name:
        raise InputError("it has no label")
    readers = {"box": _box, "polygon": _polygon, "ellipse": _ellipse, "mask": _mask}
    if entry.tag not in readers:
        raise InputError("it is not known")
    return FoundLabel(name, readers[entry.tag](entry, size), entry.tag == "box")


def _number(entry: Xml.Element, key: str, default: str = "") -> float:
    try:
        value = float(entry.get(key, default))
    except ValueError as error:
        raise InputError(f"{key}: not a number: {entry.get(key, default)!r:.40}") from error
    if not math.isfinite(value):
        raise InputError(f"{key}: not a finite number")
    return value


def _box(entry: Xml.Element, size: tuple[int, int]) -> Rle:
    x0, y0, x1, y1 = (_number(entry, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = _number(entry, "rotation", "0")
    if not angle:
        return masks.from_box((x0, y0, x1, y1), size)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return _filled(_turned(corners, ((x0 + x1) / 2, (y0 + y1) / 2), angle), size)


def _ellipse(entry: Xml.Element, size: tuple[int, int]) -> Rle:
    x, y, rx, ry = (_number(entry, key) for key in ("cx", "cy", "rx", "ry"))
    angles = [2 * math.pi * number / _CORNERS for number in range(_CORNERS)]
    corners = [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]
    return _filled(_turned(corners, (x, y), _number(entry, "rotation", "0")), size)


def _polygon(entry: Xml.Element, size: tuple[int, int]) -> Rle:
    try:
        corners = [tuple(float(value) for value in pair.split(",")) for pair in entry.get("points", "").split(";")]
    except ValueError as error:
        raise InputError(f"points: expected x,y;x,y;..., got {entry.get('points', '')!r:.60}") from error
    if not all(len(corner) == 2 for corner in corners):
        raise InputError(f"points: expected x,y;x,y;..., got {entry.get('points', '')!r:.60}")
    return _filled([(corner[0], corner[1]) for corner in corners], size)


def _mask(entry: Xml.Element, size: tuple[int, int]) -> Rle:
    """Give the mask of CVAT's run lengths: row by row in its box, beginning with those outside."""
    left, top, width, height = (int(_number(entry, key)) for key in ("left", "top", "width", "height"))
    words = entry.get("rle", "").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 12 for word in words):
        raise InputError("rle: expected run lengths")
    inside = left >= 0 and top >= 0 and width > 0 and height > 0 and left + width <= size[1] and top + height <= size[0]
    if not inside:
        raise InputError(f"a mask of {width}x{height} at ({left}, {top}) does not fit into {size[1]}x{size[0]}")
    runs = [int(word) for word in words]
    if sum(runs) != width * height:
        raise InputError(f"rle: its runs fill {sum(runs)} pixels, not the {width * height} of {width}x{height}")
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return masks.place(masks.encode(crop), *size, left, top)


def _turned(
    corners: list[tuple[float, float]], center: tuple[float, float], degrees: float
) -> list[tuple[float, float]]:
    """Corners turned clockwise around a center, as CVAT turns boxes and ellipses."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    moved = [(x - center[0], y - center[1]) for x, y in corners]
    return [(center[0] + x * cos - y * sin, center[1] + x * sin + y * cos) for x, y in moved]


def _filled(corners: list[tuple[float, float]], size: tuple[int, int]) -> Rle:
    return masks.from_polygons([[value for corner in corners for value in corner]], size)
