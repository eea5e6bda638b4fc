"""Labels as COCO instances: run lengths, or polygons in which holes are cut open and parts kept."""

from pathlib import Path
from typing import Any, Literal

from sam3_agent import masks
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, to_json
from sam3_agent.formats.files import write_json
from sam3_agent.formats.label_set import LabelSet
from sam3_agent.formats.polygons_reduced import outline_of

CocoMasks = Literal["rle", "polygons"]


def write_coco_labels(labels: LabelSet, out: Path, form: CocoMasks = "rle") -> list[str]:
    """Write annotations/instances_SPLIT.json, provenance under "provenance" of each annotation; gives warnings."""
    number = 0
    for split in labels.splits():
        images: list[CocoImage] = []
        annotations: list[CocoAnnotation] = []
        for image_id, image in enumerate(labels.of_split(split), start=1):
            images.append(CocoImage(image_id, image.name, image.width, image.height))
            for label in image.labels:
                number += 1
                extra = {"label_id": label.id, "attributes": dict(label.attributes)}
                extra["provenance"] = dict(label.provenance)
                area = float(masks.area(label.rle))
                category = label.class_index + 1
                annotations.append(
                    CocoAnnotation(
                        number, image_id, category, label.box, label.rle, area, score=label.score, attributes=extra
                    )
                )
        categories = tuple(CocoCategory(i + 1, name) for i, name in enumerate(labels.classes))
        info = {"description": "labels by sam3-agent", "model": labels.model}
        document = to_json(CocoDataset(tuple(images), tuple(annotations), categories, info))
        if form == "polygons":
            _to_polygons(document, [annotation.rle for annotation in annotations], labels.simplify)
        write_json(out / "annotations" / f"instances_{split}.json", document)
    return []


def _to_polygons(document: dict[str, Any], rles: list[masks.Rle | None], simplify: float) -> None:
    """Put polygons in the place of run lengths; reduced ones have the exact mask beside them, under "rle"."""
    for entry, rle in zip(document["annotations"], rles, strict=True):
        rings = outline_of(rle, simplify).rings if rle is not None else ()
        entry["segmentation"] = [[round(v, 2) for v in ring.ravel().tolist()] for ring in rings]
        if simplify and rle is not None:
            entry["rle"] = rle.to_json()
