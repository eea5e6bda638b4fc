"""Writer of Pascal VOC: a box file an image, and PNG masks of classes and of objects."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.control_characters import xml_text
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet, readable_suffix
from sam3_agent.formats.palette import index_picture, painted, voc_colors

MOST_CLASSES = 254
MOST_OBJECTS = 254


def write_voc(labels: LabelSet, out: Path) -> list[str]:
    """Write Annotations, SegmentationClass, SegmentationObject, ImageSets and labelmap.txt; gives warnings.

    Object n of a box file has the value n in the object mask. Names have no folders, see `LabelSet.flat_stems`.

    Raises:
        InputError: there are more classes than the masks can name.
    """
    if len(labels.classes) > MOST_CLASSES:
        raise InputError(f"voc: {len(labels.classes)} classes; a VOC mask can name {MOST_CLASSES}")
    stems = labels.flat_stems()
    names = class_names(labels.classes)
    hidden = crowded = 0
    for image in labels.images:
        hidden += _write_masks(image, stems[image.name], out)
        crowded += len(image.labels) > MOST_OBJECTS
        document = _annotation(image, f"{stems[image.name]}{readable_suffix(image)}", names)
        write_text(out / "Annotations" / f"{stems[image.name]}.xml", document)
    for kind in ("Main", "Segmentation"):
        for split in labels.splits():
            listed = "".join(f"{stems[image.name]}\n" for image in labels.of_split(split))
            write_text(out / "ImageSets" / kind / f"{split}.txt", listed)
    write_text(out / "labelmap.txt", _labelmap(names))
    renamed = [f"{old!r} is {new!r}" for old, new in zip(labels.classes, names, strict=True) if old != new]
    warnings = [f"voc: a labelmap cannot hold ':' or '#': {', '.join(renamed)}"] if renamed else []
    warnings += [f"voc: {hidden} labels are partly under smaller ones: a pixel has one object"] if hidden else []
    if crowded:
        warnings.append(f"voc: {crowded} object masks are 16-bit images, as they have over {MOST_OBJECTS} objects")
    return warnings


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Give the names as a labelmap can hold them: without ":", and with no "#" in front, which begins a comment."""
    names: dict[str, str] = {}
    for name in classes:
        plain = name.replace(":", "_")
        plain = f"_{plain[1:]}" if plain.startswith("#") else plain
        taken = {*names.values(), *(other for other in classes if other != name)}
        numbered = (plain if n == 1 else f"{plain}-{n}" for n in count(1))
        names[name] = next(each for each in numbered if each not in taken)
    return tuple(names.values())


def _write_masks(image: LabeledImage, stem: str, out: Path) -> int:
    size = (image.height, image.width)
    classes, hidden = painted(image.labels, [label.class_index + 1 for label in image.labels], size)
    objects, _ = painted(image.labels, range(1, len(image.labels) + 1), size)
    with replacing(out / "SegmentationClass" / f"{stem}.png") as temporary:
        index_picture(classes.astype(np.uint8)).save(temporary, "PNG")
    with replacing(out / "SegmentationObject" / f"{stem}.png") as temporary:
        few = len(image.labels) <= MOST_OBJECTS
        picture = index_picture(objects.astype(np.uint8)) if few else Image.fromarray(objects.astype(np.uint16))
        picture.save(temporary, "PNG")
    return hidden


def _annotation(image: LabeledImage, filename: str, names: Sequence[str]) -> str:
    root = Xml.Element("annotation")
    _text(root, "folder", "JPEGImages")
    _text(root, "filename", filename)
    size = Xml.SubElement(root, "size")
    for name, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        _text(size, name, str(value))
    _text(root, "segmented", "1")
    for label in image.labels:
        thing = Xml.SubElement(root, "object")
        _text(thing, "name", names[label.class_index])
        for name in ("truncated", "difficult", "occluded"):
            _text(thing, name, "0")
        box = Xml.SubElement(thing, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), label.box, strict=True):
            _text(box, name, f"{value:g}")
        attributes = Xml.SubElement(thing, "attributes")
        for name, value in {**label.attributes, "score": round(label.score, 4), "label_id": label.id}.items():
            attribute = Xml.SubElement(attributes, "attribute")
            _text(attribute, "name", name)
            _text(attribute, "value", str(value))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _text(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, name).text = xml_text(text)


def _labelmap(names: Sequence[str]) -> str:
    colors = voc_colors(len(names) + 1).tolist()
    rows = zip(("background", *names), colors, strict=True)
    head = "# label:color_rgb:parts:actions\n"
    return head + "".join(f"{name}:{','.join(str(v) for v in color)}::\n" for name, color in rows)
