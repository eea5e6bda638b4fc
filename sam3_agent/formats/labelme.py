"""LabelMe: one JSON a picture, polygons grouped by object."""

from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.formats.files import write_json
from sam3_agent.formats.label_set import LabelSet
from sam3_agent.formats.polygons_exact import inset, parts_of

VERSION = "5.5.0"
"""Of the LabelMe whose files these are like."""


def write_labelme(labels: LabelSet, out: Path) -> list[str]:
    """Write SPLIT/STEM.json beside where the picture belongs; gives warnings.

    The parts of an object share a group_id. A hole is cut open by a bridge of no width.
    """
    holed = 0
    for image in labels.images:
        shapes: list[dict[str, Any]] = []
        for number, label in enumerate(image.labels):
            described = str(label.provenance.get("phrase", ""))
            made, holes = labelme_shapes(labels.classes[label.class_index], label.rle, number, described)
            attributes = {**label.attributes, "score": round(label.score, 4), "label_id": label.id}
            shapes += [{**shape, "attributes": attributes} for shape in made]
            holed += holes
        name = f"{image.stem.rsplit('/', 1)[-1]}.{image.name.rsplit('.', 1)[-1]}"
        document = labelme_document(name, image.width, image.height, shapes)
        write_json(out / image.split / f"{image.stem}.json", document, indent=1)
    return [f"labelme: {holed} labels have holes, which are cut open by bridges of no width"] if holed else []


def labelme_shapes(name: str, rle: masks.Rle, group: int, description: str) -> tuple[list[dict[str, Any]], bool]:
    """A polygon for each part of an object, and whether any of them has holes."""
    parts = parts_of(masks.decode(rle))
    shapes: list[dict[str, Any]] = [
        {
            "label": name,
            "points": [[round(x, 2), round(y, 2)] for x, y in inset(part.ring).tolist()],
            "group_id": group,
            "description": description,
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for part in parts
    ]
    return shapes, any(part.holes for part in parts)


def labelme_document(picture: str, width: int, height: int, shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """The file of one picture, which lies beside it or is named by its path; sizes in pixels."""
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
