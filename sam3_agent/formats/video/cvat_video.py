"""CVAT for video 1.1: one XML file, a track with a shape a frame and a closing one that says "outside".

Shapes are masks (what CVAT itself draws), polygons (every reader of tracks knows them; the same pixels, with parts and
holes tied by lines of no width) or boxes.
"""

from pathlib import Path
from typing import Any, Literal, cast, get_args
from xml.etree import ElementTree as Xml

import numpy as np
from pycocotools import mask as coco  # pyright: ignore[reportMissingTypeStubs]

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import xml_text
from sam3_agent.formats.cvat import row_runs
from sam3_agent.formats.files import write_text
from sam3_agent.formats.palette import voc_colors
from sam3_agent.formats.polygons_exact import joined, parts_of
from sam3_agent.formats.reading import read_text
from sam3_agent.formats.video.track_set import TrackSet, box_mask, check_extent, numbers_of, track_of
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track, TrackFrame

Shape = Literal["mask", "polygon", "box"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


def write_cvat_video(video: TrackSet, path: Path, shape: Shape = "mask") -> list[str]:
    """Write the file; gives warnings. Raises InputError for an unknown shape."""
    if shape not in SHAPES:
        raise InputError(f"shape must be one of {', '.join(SHAPES)}; got {shape!r}")
    numbers, warnings = numbers_of(video.tracks, 10**9)
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    root.append(_meta(video))
    for track in video.tracks:
        element = Xml.SubElement(
            root, "track", {"id": str(numbers[track.id]), "label": xml_text(track.concept), "source": "auto"}
        )
        _add_shapes(element, track, video, shape)
    Xml.indent(root)
    write_text(path, f'<?xml version="1.0" encoding="utf-8"?>\n{Xml.tostring(root, encoding="unicode")}\n')
    return warnings


def read_cvat_video(path: Path) -> TrackSet:
    """Read masks, polygons and boxes of tracks; other shapes are left out. Between keyframes boxes move in a line.

    Raises:
        InputError: the file is no such XML; the message says what is wrong.
    """
    try:
        root = Xml.fromstring(read_text(path))
    except Xml.ParseError as error:
        raise InputError(f"{path}: not XML ({error})") from error
    size = root.find(".//original_size")
    if size is None or not root.tag == "annotations":
        raise InputError(f"{path}: not CVAT for video (there is no <original_size>)")
    try:
        height, width = int(size.findtext("height", "")), int(size.findtext("width", ""))
        check_extent(path, (height, width))
        shapes = {element.attrib["id"]: _shapes(element, (height, width)) for element in root.iter("track")}
        labels = {element.attrib["id"]: element.attrib["label"] for element in root.iter("track")}
        count = int(root.findtext(".//task/size") or 0)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: broken track ({error!r})") from error
    tracks = [track_of(f"t{key}", labels[key], entries) for key, entries in shapes.items()]
    kept = tuple(track for track in tracks if track is not None)
    frames = max(count, *(track.last + 1 for track in kept), 0) if kept else count
    return TrackSet(path.stem, width, height, frames, kept, source=root.findtext(".//source") or "")


def _meta(video: TrackSet) -> Xml.Element:
    meta = Xml.Element("meta")
    task = Xml.SubElement(meta, "task")
    values = {"name": video.name, "size": video.frames, "mode": "interpolation", "start_frame": 0}
    values |= {"stop_frame": max(video.frames - 1, 0), "frame_filter": ""}
    for name, value in values.items():
        Xml.SubElement(task, name).text = xml_text(str(value))
    labels = Xml.SubElement(task, "labels")
    colors = voc_colors().tolist()[1:]
    for number, concept in enumerate(video.concepts):
        entry = Xml.SubElement(labels, "label")
        Xml.SubElement(entry, "name").text = xml_text(concept)
        Xml.SubElement(entry, "color").text = "#" + "".join(f"{v:02x}" for v in colors[number % len(colors)])
        Xml.SubElement(entry, "type").text = "any"
        known = Xml.SubElement(entry, "attributes")
        for name in ("score", "track"):
            attribute = Xml.SubElement(known, "attribute")
            for key, value in (("name", name), ("mutable", str(name == "score")), ("input_type", "text"),
                               ("default_value", ""), ("values", "")):  # fmt: skip
                Xml.SubElement(attribute, key).text = value
    size = Xml.SubElement(task, "original_size")
    Xml.SubElement(size, "width").text = str(video.width)
    Xml.SubElement(size, "height").text = str(video.height)
    Xml.SubElement(meta, "source").text = xml_text(video.source or video.name)
    return meta


def _add_shapes(element: Xml.Element, track: Track, video: TrackSet, shape: Shape) -> None:
    seen = track.visible
    for place, frame in enumerate(seen):
        _add_shape(element, track, frame, frame.index, shape, outside=False)
        following = seen[place + 1].index if place + 1 < len(seen) else video.frames
        if following > frame.index + 1:
            # CVAT shows a shape until the next keyframe: the track is closed where it ends and before every gap.
            _add_shape(element, track, frame, frame.index + 1, shape, outside=True)


def _add_shape(
    element: Xml.Element, track: Track, frame: TrackFrame, index: int, shape: Shape, *, outside: bool
) -> None:
    values = {"frame": str(index), "outside": str(int(outside)), "occluded": "0", "keyframe": "1", "z_order": "0"}
    made = Xml.SubElement(element, shape, values | _geometry(frame.rle, shape))
    for name, value in (("score", f"{frame.score:.4f}"), ("track", track.id)):
        Xml.SubElement(made, "attribute", {"name": name}).text = value


def _geometry(rle: Rle, shape: Shape) -> dict[str, str]:
    x0, y0, x1, y1 = (int(v) for v in masks.box(rle))
    if shape == "box":
        return {"xtl": f"{x0:.2f}", "ytl": f"{y0:.2f}", "xbr": f"{x1:.2f}", "ybr": f"{y1:.2f}"}
    if shape == "polygon":
        ring = joined(parts_of(masks.decode(rle)))
        return {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in ring.tolist())}
    crop = masks.decode(rle)[y0:y1, x0:x1]
    place = {"left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}
    return {"rle": ", ".join(str(n) for n in row_runs(crop)), **place}


def _shapes(track: Xml.Element, size: tuple[int, int]) -> dict[int, tuple[Rle, float]]:
    entries: dict[int, tuple[Rle, float]] = {}
    before: Xml.Element | None = None
    for element in track:
        if element.tag not in SHAPES:
            continue
        index = int(element.attrib["frame"])
        check_extent("a shape", size, index)
        if before is not None and before.tag == element.tag == "box" and before.attrib.get("outside") != "1":
            entries |= _between(before, element, size)
        if element.attrib.get("outside") != "1":
            score = next((a.text for a in element if a.attrib.get("name") == "score"), None)
            entries[index] = (_rle(element, size), float(score or 1.0))
        before = element
    return entries


def _between(one: Xml.Element, other: Xml.Element, size: tuple[int, int]) -> dict[int, tuple[Rle, float]]:
    """The boxes that CVAT shows between two keyframes."""
    first, last = int(one.attrib["frame"]), int(other.attrib["frame"])
    if other.attrib.get("outside") == "1":
        other = one  # it stays where it was until it is outside
    found: dict[int, tuple[Rle, float]] = {}
    for index in range(first + 1, last):
        share = (index - first) / (last - first)
        a, b = _corners(one), _corners(other)
        x0, y0, x1, y1 = (u + (v - u) * share for u, v in zip(a, b, strict=True))
        found[index] = (box_mask((x0, y0, x1, y1), size), 1.0)
    return found


def _corners(element: Xml.Element) -> list[float]:
    return [float(element.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]


def _rle(element: Xml.Element, size: tuple[int, int]) -> Rle:
    if element.tag == "box":
        x0, y0, x1, y1 = _corners(element)
        return box_mask((x0, y0, x1, y1), size)
    if element.tag == "polygon":
        return _filled(element.attrib["points"], size)
    left, top, width, height = (int(element.attrib[key]) for key in ("left", "top", "width", "height"))
    if min(left, top, width, height) < 0 or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"a mask of {width}x{height} at {left}, {top} in frames of {size[1]}x{size[0]}")
    runs = [int(value) for value in element.attrib["rle"].split(",")]
    if sum(runs) != width * height or min(runs) < 0:
        raise ValueError(f"runs of {sum(runs)} pixels in a mask of {width}x{height}")
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return masks.place(masks.encode(crop), size[0], size[1], left, top)


def _filled(points: str, size: tuple[int, int]) -> Rle:
    ring = [float(v) for pair in points.split(";") for v in pair.split(",")]
    # Filling by area gives back what `outlines` wrote; painting the outline too would thicken the lines of no width.
    return masks.union([masks.from_json(part) for part in cast(Any, coco).frPyObjects([ring], *size)])
