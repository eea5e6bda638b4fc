"""Semantic PNG: one image of class indices, 0 for background, beside a list of the classes."""

from pathlib import Path

import numpy as np

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.label_set import LabelSet
from sam3_agent.formats.palette import index_picture, painted, voc_colors


def write_semantic(labels: LabelSet, out: Path) -> list[str]:
    """Write SPLIT/STEM.png and classes.json; gives warnings.

    Raises:
        InputError: there are more classes than a byte can name.
    """
    if len(labels.classes) > 255:
        raise InputError(f"semantic: {len(labels.classes)} classes do not fit into an 8-bit image")
    hidden, stems = 0, labels.stems()
    for image in labels.images:
        values = [label.class_index + 1 for label in image.labels]
        canvas, lost = painted(image.labels, values, (image.height, image.width))
        hidden += lost
        with replacing(out / image.split / f"{stems[image.name]}.png") as temporary:
            index_picture(canvas.astype(np.uint8)).save(temporary, "PNG")
    colors = voc_colors(len(labels.classes) + 1).tolist()
    names = ("background", *labels.classes)
    table = [{"value": i, "name": n, "color": c} for i, (n, c) in enumerate(zip(names, colors, strict=True))]
    write_json(out / "classes.json", table, indent=1)
    lost_words = f"semantic: {hidden} labels are partly under smaller ones: a pixel has one class"
    return ["semantic: instances of a class are not told apart", *([lost_words] if hidden else [])]
