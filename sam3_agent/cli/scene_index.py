"""The index files of a COCO folder of scenes, made of its parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam3_agent import masks
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, write_coco
from sam3_agent.formats.files import write_json
from sam3_agent.scenes import NOUNS, SUPERCATEGORY

CATEGORY_IDS = {noun: number for number, noun in enumerate(NOUNS, 1)}


def write_coco_index(out: Path, parts: Sequence[dict[str, Any]]) -> None:
    """Write instances.json, queries.json and concepts.json, each atomically (docs/scenes.md says what is in them)."""
    images = tuple(_image(part["image"]) for part in parts)
    annotations = tuple(_annotation(thing, part["image"]["id"]) for part in parts for thing in part["objects"])
    categories = tuple(CocoCategory(number, noun, SUPERCATEGORY[noun]) for noun, number in CATEGORY_IDS.items())
    info = {"description": "procedural scenes with exact truth", "contributor": "sam3-agent scenes"}
    write_coco(CocoDataset(images, annotations, categories, info), out / "instances.json")
    for name in ("queries", "concepts"):
        entries = [entry for part in parts for entry in part[name]]
        write_json(out / f"{name}.json", [{"id": number, **entry} for number, entry in enumerate(entries, 1)])


def _image(entry: dict[str, Any]) -> CocoImage:
    return CocoImage(entry["id"], entry["file_name"], entry["width"], entry["height"], {"seed": entry["seed"]})


def _annotation(thing: dict[str, Any], image_id: int) -> CocoAnnotation:
    rle = masks.from_json(thing["rle"])
    further = {key: thing[key] for key in ("colour", "pattern", "visible_fraction", "depth")}
    area = float(masks.area(rle))
    category = CATEGORY_IDS[thing["noun"]]
    return CocoAnnotation(thing["id"], image_id, category, masks.box(rle), rle, area, attributes=further)
