"""`sam3-agent scenes`: procedural scenes with their truth, as COCO or ReasonSeg folders.

Each scene is finished by one small file in `.scenes/parts/`; a later call of the same order draws only what lacks it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sam3_agent import masks
from sam3_agent.cli.output import progress_console
from sam3_agent.cli.scene_files import write_coco_scene, write_reasonseg_scene
from sam3_agent.errors import InputError
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
    further = {key: thing[key] for key in ("color", "pattern", "visible_fraction", "depth")}
    area = float(masks.area(rle))
    category = CATEGORY_IDS[thing["noun"]]
    return CocoAnnotation(thing["id"], image_id, category, masks.box(rle), rle, area, attributes=further)


MANIFEST = Path(".scenes", "manifest.json")
PARTS = Path(".scenes", "parts")


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; scene n of a seed is the same in every order."""

    count: int
    seed: int
    format: Literal["coco", "reasonseg"]


@dataclass(frozen=True, slots=True)
class ScenesReport:
    """What lies in the folder now."""

    out: Path
    order: Order
    images: int
    objects: int
    queries: int

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        counted = {"images": self.images, "objects": self.objects, "queries": self.queries}
        return {"out": str(self.out), **asdict(self.order), **counted}

    def words(self) -> str:
        """One line for a person."""
        return (
            f"{self.order.count} scenes in {self.out}: {self.images} pictures, {self.objects} objects,"
            f" {self.queries} queries ({self.order.format}, seed {self.order.seed})"
        )


def write_scenes(order: Order, out: Path) -> ScenesReport:
    """Write what is still missing of an order.

    Raises:
        InputError: the folder holds something else.
    """
    if _begin(order, out) == "finished":
        return _report(order, out)
    parts = out / PARTS
    missing = [number for number in range(order.count) if not (parts / f"{number:06d}.json").is_file()]
    columns = (TextColumn("drawing scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = progress_console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=order.count, completed=order.count - len(missing))
        for number in missing:
            write = write_coco_scene if order.format == "coco" else write_reasonseg_scene
            write_json(parts / f"{number:06d}.json", write(order.seed, number, out))
            progress.advance(task)
    return _finish(order, out)


def _begin(order: Order, out: Path) -> Literal["started", "finished"]:
    """Claim a new folder, or check that it was claimed by the same order."""
    manifest = out / MANIFEST
    if manifest.is_file():
        known = _read(manifest)
        if {key: known.get(key) for key in asdict(order)} != asdict(order):
            raise InputError(
                f"{out} holds {known.get('count')} scenes of seed {known.get('seed')} as {known.get('format')};"
                " give the same options to go on with it, or another --out"
            )
        for left in out.rglob(".writing-*"):  # of a call that was killed
            left.unlink()
        return "finished" if known.get("finished") is True else "started"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty and was not made by this command; give another --out")
    write_json(manifest, {**asdict(order), "finished": False}, indent=2)
    return "started"


def _finish(order: Order, out: Path) -> ScenesReport:
    """Put the parts together; the manifest says "finished" last of all."""
    parts = [_read(out / PARTS / f"{number:06d}.json") for number in range(order.count)]
    if order.format == "coco":
        write_coco_index(out, parts)
    counted = {key: sum(int(part["counted"][key]) for part in parts) for key in ("images", "objects", "queries")}
    write_json(out / MANIFEST, {**asdict(order), "finished": True, **counted}, indent=2)
    shutil.rmtree(out / PARTS)
    return _report(order, out)


def _report(order: Order, out: Path) -> ScenesReport:
    known = _read(out / MANIFEST)
    shutil.rmtree(out / PARTS, ignore_errors=True)  # left by an interruption between the last two steps
    return ScenesReport(out, order, *(int(known[key]) for key in ("images", "objects", "queries")))


def _read(path: Path) -> dict[str, Any]:
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); remove the folder or give another --out") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is no manifest of this command; give another --out")
    return cast(dict[str, Any], value)
