"""`sam3-agent scenes`: procedural scenes and videos with their truth, in the formats of their benchmarks.

Each scene is finished by one small file in `.scenes/parts/`; a later call of the same order draws only what lacks it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer import BadParameter

from sam3_agent import masks
from sam3_agent.cli.output import progress_console
from sam3_agent.cli.scene_files import write_coco_scene, write_reasonseg_scene
from sam3_agent.cli.video_scene_files import write_video_index, write_video_scene
from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, write_coco
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.scenes import NOUNS, SUPERCATEGORY
from sam3_agent.scenes.video import MOST_EVALUATION_SEED

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


Format = Literal["coco", "reasonseg", "mp4", "webm", "frames"]
USUAL_FRAMES = 24
"""Videos that the bars of the tracker are measured on."""
MANIFEST = Path(".scenes", "manifest.json")
PARTS = Path(".scenes", "parts")


@dataclass(frozen=True, slots=True)
class Order:
    """Order for scenes; scene n of a seed is the same in every order."""

    count: int
    seed: int
    format: Format
    frames: int | None = None
    """Frames of each video; None for images."""


def make_order(count: int, seed: int, form: Format | None, video: bool, frames: int | None) -> Order:
    """Read the options of the command.

    Raises:
        BadParameter: they contradict each other, or the seed is one of training.
    """
    if not video:
        if frames is not None or form not in (None, "coco", "reasonseg"):
            raise BadParameter("--frames and the formats mp4, webm and frames are of videos; add --video")
        return Order(count, seed, form or "coco")
    if form in ("coco", "reasonseg"):
        raise BadParameter(f"{form} is a format of images; with --video choose mp4, webm or frames")
    if seed > MOST_EVALUATION_SEED:
        raise BadParameter(f"with --video the seed is at most {MOST_EVALUATION_SEED}; larger ones are for training")
    return Order(count, seed, form or "mp4", frames or USUAL_FRAMES)


@dataclass(frozen=True, slots=True)
class ScenesReport:
    """Report of the folder's scenes."""

    out: Path
    order: Order
    images: int
    objects: int
    queries: int

    def to_json(self) -> dict[str, Any]:
        """One document for `--json`."""
        counted = {"images": self.images, "objects": self.objects, "queries": self.queries}
        if self.order.frames is not None:
            counted = {"videos": self.images, "objects": self.objects, "queries": self.queries}
        return {"out": str(self.out), **_asked(self.order), **counted}

    def words(self) -> str:
        """One line for a person."""
        if self.order.frames is not None:
            return (
                f"{self.order.count} videos of {self.order.frames} frames in {self.out}: {self.objects} objects,"
                f" {self.queries} queries ({self.order.format}, seed {self.order.seed})"
            )
        return (
            f"{self.order.count} scenes in {self.out}: {self.images} images, {self.objects} objects,"
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
            write_json(parts / f"{number:06d}.json", _write_one(order, number, out))
            progress.advance(task)
    return _finish(order, out)


def _write_one(order: Order, number: int, out: Path) -> dict[str, Any]:
    """Write one scene or video; returns the part that the index is made of."""
    if order.format == "coco":
        return write_coco_scene(order.seed, number, out)
    if order.format == "reasonseg":
        return write_reasonseg_scene(order.seed, number, out)
    return write_video_scene(order.seed, number, order.frames or USUAL_FRAMES, order.format, out)


def _asked(order: Order) -> dict[str, Any]:
    """The order as JSON; one of images says nothing of frames."""
    return {key: value for key, value in asdict(order).items() if value is not None}


def _begin(order: Order, out: Path) -> Literal["started", "finished"]:
    """Claim a new folder, or check that it was claimed by the same order."""
    manifest = out / MANIFEST
    if manifest.is_file():
        known = _read(manifest)
        if {key: known.get(key) for key in asdict(order)} != asdict(order):  # frames: None where the file has none
            raise InputError(
                f"{out} holds {known.get('count')} scenes of seed {known.get('seed')} as {known.get('format')};"
                " give the same options to go on with it, or another --out"
            )
        for left in out.rglob(".writing-*"):  # of a call that was killed
            left.unlink()
        return "finished" if known.get("finished") is True else "started"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty and was not made by this command; give another --out")
    write_json(manifest, {**_asked(order), "finished": False}, indent=2)
    return "started"


def _finish(order: Order, out: Path) -> ScenesReport:
    """Put the parts together; the manifest says "finished" last of all."""
    parts = [_read(out / PARTS / f"{number:06d}.json") for number in range(order.count)]
    if order.format == "coco":
        write_coco_index(out, parts)
    elif order.format != "reasonseg":
        write_video_index(out, parts)
    counted = {key: sum(int(part["counted"][key]) for part in parts) for key in ("images", "objects", "queries")}
    write_json(out / MANIFEST, {**_asked(order), "finished": True, **counted}, indent=2)
    shutil.rmtree(out / PARTS)
    return _report(order, out)


def _report(order: Order, out: Path) -> ScenesReport:
    known = _read(out / MANIFEST)
    shutil.rmtree(out / PARTS, ignore_errors=True)  # left by an interruption between the last two steps
    return ScenesReport(out, order, *(int(known[key]) for key in ("images", "objects", "queries")))


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise FileNotFoundError
        value: object = read_json(path, most=2**20)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is gone: another call works on this folder, or has just finished it; give this one again"
        ) from error
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}); remove the folder or give another --out") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is no manifest of this command; give another --out")
    return cast(dict[str, Any], value)
