"""Pascal VOC: a box file a picture, and PNG masks of classes and of objects."""

from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet
from sam3_agent.formats.palette import index_picture, painted, voc_colors

MOST_CLASSES = 254
MOST_OBJECTS = 254


def write_voc(labels: LabelSet, out: Path) -> list[str]:
    """Write Annotations, SegmentationClass, SegmentationObject, ImageSets and labelmap.txt; gives warnings.

    Object n of a box file has the value n in the object mask. Slashes in names become "__".

    Raises:
        InputError: there are more classes than the masks can name.
    """
    if len(labels.classes) > MOST_CLASSES:
        raise InputError(f"voc: {len(labels.classes)} classes; a VOC mask can name {MOST_CLASSES}")
    hidden = crowded = 0
    for image in labels.images:
        hidden += _write_masks(image, out)
        crowded += len(image.labels) > MOST_OBJECTS
        write_text(out / "Annotations" / f"{flat(image.stem)}.xml", _annotation(image, labels))
    for kind in ("Main", "Segmentation"):
        for split in labels.splits():
            names = "".join(f"{flat(image.stem)}\n" for image in labels.of_split(split))
            write_text(out / "ImageSets" / kind / f"{split}.txt", names)
    write_text(out / "labelmap.txt", _labelmap(labels))
    warnings = [f"voc: {hidden} labels are partly under smaller ones: a pixel has one object"] if hidden else []
    if crowded:
        warnings.append(f"voc: {crowded} object masks are 16-bit pictures, as they have over {MOST_OBJECTS} objects")
    return warnings


def flat(stem: str) -> str:
    """The name in a folder without folders."""
    return stem.replace("/", "__")


def _write_masks(image: LabeledImage, out: Path) -> int:
    size = (image.height, image.width)
    classes, hidden = painted(image.labels, [label.class_index + 1 for label in image.labels], size)
    objects, _ = painted(image.labels, range(1, len(image.labels) + 1), size)
    with replacing(out / "SegmentationClass" / f"{flat(image.stem)}.png") as temporary:
        index_picture(classes.astype(np.uint8)).save(temporary, "PNG")
    with replacing(out / "SegmentationObject" / f"{flat(image.stem)}.png") as temporary:
        few = len(image.labels) <= MOST_OBJECTS
        picture = index_picture(objects.astype(np.uint8)) if few else Image.fromarray(objects.astype(np.uint16))
        picture.save(temporary, "PNG")
    return hidden


def _annotation(image: LabeledImage, labels: LabelSet) -> str:
    root = Xml.Element("annotation")
    _text(root, "folder", "JPEGImages")
    _text(root, "filename", flat(image.name))
    size = Xml.SubElement(root, "size")
    for name, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        _text(size, name, str(value))
    _text(root, "segmented", "1")
    for label in image.labels:
        thing = Xml.SubElement(root, "object")
        _text(thing, "name", labels.classes[label.class_index])
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
    Xml.SubElement(parent, name).text = text


def _labelmap(labels: LabelSet) -> str:
    colors = voc_colors(len(labels.classes) + 1).tolist()
    rows = zip(("background", *labels.classes), colors, strict=True)
    head = "# label:color_rgb:parts:actions\n"
    return head + "".join(f"{name}:{','.join(str(v) for v in color)}::\n" for name, color in rows)
