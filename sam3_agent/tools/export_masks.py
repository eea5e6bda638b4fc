"""Tool that writes masks to files."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, to_json
from sam3_agent.formats.control_characters import visible_line
from sam3_agent.formats.labelme import labelme_document, labelme_shapes
from sam3_agent.formats.yolo import yolo_line
from sam3_agent.tools.arguments import MOST_MASKS, MaskId, OutputPath
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.viewer import viewer_of
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace

ExportFormat = Literal["coco", "png", "yolo", "labelme", "viewer"]


@dataclass(frozen=True, slots=True)
class Exported:
    """Masks that were written to files."""

    format: str
    mask_ids: tuple[str, ...]
    paths: tuple[str, ...]


def export_masks(
    workspace: Workspace,
    mask_ids: Annotated[
        Sequence[MaskId],
        Field(min_length=1, max_length=MOST_MASKS, description="The masks to write, such as ['m1', 'm4']."),
    ],
    format: Annotated[
        ExportFormat,
        Field(
            description="coco: one JSON with run lengths and boxes; png: one picture a mask; yolo: "
            "polygons in a text file an image, with classes.txt; labelme: one JSON of polygons an image; viewer: an "
            "HTML page an image, for people to look at in a browser."
        ),
    ] = "coco",
    path: Annotated[
        OutputPath,
        Field(description="Where in the output folder: a file for coco (.json is added), a folder for the others."),
    ] = "masks",
    overwrite: Annotated[bool, Field(description="True to replace files that are there already.")] = False,
) -> Exported:
    """Write masks to files for other programs, in a usual label format, under the server's output folder.

    The class of a mask is the phrase by which it was found. Files that exist are never replaced unless you say so. Call
    it last, with the masks that you have judged to be right.
    """
    ids = list(dict.fromkeys(mask_ids))
    groups: dict[str, list[str]] = {}
    for mask_id in ids:
        groups.setdefault(workspace.image_of(mask_id), []).append(mask_id)
    files = _WRITERS[format](workspace, groups, relative_path(path, workspace.output.root))
    written = workspace.output.write(files, overwrite=overwrite)
    return Exported(format, tuple(ids), tuple(str(each) for each in written))


def present(_: Workspace, result: Exported) -> Presentation:
    """Name the files."""
    data = {"format": result.format, "mask_ids": list(result.mask_ids), "paths": list(result.paths)}
    files = ", ".join(result.paths[:20]) + (", ..." if len(result.paths) > 20 else "")
    return Presentation(f"wrote {len(result.mask_ids)} masks as {result.format} to {files}", data)


EXPORT_MASKS = ToolSpec.of(export_masks, present, removes=True, idempotent=False, writes=True)


def relative_path(path: str, root: Path | None) -> str:
    """A path in the output folder, relative to it; models like to give it whole."""
    given = PurePath(path)
    if root is None or not given.is_absolute():
        return path
    for known in (root, root.resolve()):
        if given.is_relative_to(known) and given != known:
            return str(given.relative_to(known))
    raise InputError(f"{path[:120]!r} is outside the output folder; give a relative path such as 'cats/m1.png'")


Groups = dict[str, list[str]]
"""Image id -> ids of its masks."""


def _coco(workspace: Workspace, groups: Groups, path: str) -> dict[str, bytes]:
    classes = _classes(workspace, groups)
    images = {image_id: number for number, image_id in enumerate(groups, 1)}
    found = [(images[image_id], workspace.instance(m), m) for image_id, ids in groups.items() for m in ids]
    annotations = [
        CocoAnnotation(
            number,
            image,
            classes.index(workspace.phrase_of(mask_id)) + 1,
            instance.box,
            instance.rle,
            float(instance.area),
            score=round(instance.score, 4),
            attributes={"mask_id": mask_id},
        )
        for number, (image, instance, mask_id) in enumerate(found, 1)
    ]
    opened = {image_id: workspace.image(image_id) for image_id in groups}
    dataset = CocoDataset(
        tuple(CocoImage(images[i], o.source, o.width, o.height) for i, o in opened.items()),
        tuple(annotations),
        tuple(CocoCategory(number, name) for number, name in enumerate(classes, 1)),
    )
    name = path if path.lower().endswith(".json") else f"{path}.json"
    return {name: _text(json.dumps(to_json(dataset), ensure_ascii=False))}


def _png(workspace: Workspace, groups: Groups, path: str) -> dict[str, bytes]:
    return {f"{path}/{m}.png": _picture(workspace.instance(m)) for ids in groups.values() for m in ids}


def _yolo(workspace: Workspace, groups: Groups, path: str) -> dict[str, bytes]:
    """One line a mask: class, then x y pairs as shares of width and height; YOLO pairs label and image by stem."""
    classes = _classes(workspace, groups)
    files = {f"{path}/classes.txt": _text("".join(f"{visible_line(name)}\n" for name in classes))}
    names = _stems(workspace, groups)
    for image_id, ids in groups.items():
        lines = [yolo_line(classes.index(workspace.phrase_of(m)), workspace.instance(m).rle)[0] for m in ids]
        files[f"{path}/{names[image_id]}.txt"] = _text("".join(f"{line}\n" for line in lines if line))
    return files


def _labelme(workspace: Workspace, groups: Groups, path: str) -> dict[str, bytes]:
    """Labelme's JSON; the parts of a mask share a group_id."""
    files: dict[str, bytes] = {}
    names = _stems(workspace, groups)
    for image_id, ids in groups.items():
        image = workspace.image(image_id)
        shapes: list[dict[str, Any]] = []
        for number, m in enumerate(ids, 1):
            shapes += labelme_shapes(workspace.phrase_of(m), workspace.instance(m).rle, number, m)[0]
        document = labelme_document(image.source, image.width, image.height, shapes)
        files[f"{path}/{names[image_id]}.json"] = _text(json.dumps(document, ensure_ascii=False, indent=1))
    return files


def _viewer(workspace: Workspace, groups: Groups, path: str) -> dict[str, bytes]:
    return {f"{path}/{image_id}.html": _text(viewer_of(workspace, image_id, ids)) for image_id, ids in groups.items()}


_WRITERS = {"coco": _coco, "png": _png, "yolo": _yolo, "labelme": _labelme, "viewer": _viewer}


def _classes(workspace: Workspace, groups: Groups) -> list[str]:
    return list(dict.fromkeys(workspace.phrase_of(m) for ids in groups.values() for m in ids))


def _stems(workspace: Workspace, groups: Groups) -> dict[str, str]:
    """Image id -> name of its label file: the stem of its image; the id where it has none or shares it."""
    stems: dict[str, str] = {}
    for image_id in groups:
        source = workspace.image(image_id).source
        stem = PurePath(source).stem.lstrip(".~") if PurePath(source).suffix else ""
        stems[image_id] = stem if stem and stem.isprintable() and not set(stem) & set("\\:") else image_id
    taken = list(stems.values())
    return {image_id: stem if taken.count(stem) == 1 else image_id for image_id, stem in stems.items()}


def _picture(instance: Instance) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(instance.mask.astype(np.uint8) * 255).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _text(words: str) -> bytes:
    return words.encode("utf-8")
