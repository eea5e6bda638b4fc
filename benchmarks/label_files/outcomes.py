"""The outcome of reading one label file, and what an independent count says that there was to read."""

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import yaml
from sam3_evals.datasets import open_dataset

from benchmarks.label_files.originals import SIZES
from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.concept_file import read_concept
from sam3_agent.formats.known_images import KnownImages
from sam3_agent.formats.label_files import read_labels
from sam3_agent.labeling.ontology.yaml_file import read_ontology

KINDS = ("coco", "yolo", "labelme", "cvat", "reasonseg", "saco", "yaml", "concept")
SOURCES = {
    "coco": "labels.json", "yolo": "data.yaml", "labelme": "", "cvat": "annotations.xml", "reasonseg": "",
    "saco": "gold.json", "yaml": "concepts.yaml", "concept": "mug.concept.json",
}  # fmt: skip
"""Path that a user gives, in the folder of the format; "" for the folder."""


def outcome(kind: str, folder: Path, changed: Path) -> str:
    """Read a file as a user would, and give "whole", "in part", "refused", or what is wrong.

    "in part": something is left out, and said. "silent loss": less was read and named as left out than there is.
    "unnamed": a refusal that does not say which file is meant.
    """
    try:
        read, lost = _READERS[kind](folder)
    except InputError as error:
        return "refused" if changed.name in str(error) or folder.name in str(error) else f"unnamed: {error}"
    except Exception:  # noqa: BLE001 - whatever it is, it is what this benchmark looks for
        return f"traceback: {traceback.format_exc()[-600:]}"
    there = _COUNTERS[kind](folder)
    if there is None:
        return "silent loss: read what no plain parser can read"
    if read + lost < there:
        return f"silent loss: {read} read and {lost} left out of {there}"
    return "in part" if lost else "whole"


def _labels(source: str) -> Callable[[Path], tuple[int, int]]:
    def read(folder: Path) -> tuple[int, int]:
        images = KnownImages(folder.parent / "images", tuple(SIZES))
        found = read_labels(folder / source if source else folder, images)
        for labels in found.labels.values():
            for label in labels:
                assert masks.decode(label.rle).sum() == masks.area(label.rle) > 0
        again = sum(1 for note in found.notes if "read once" in note.words)
        return found.count, found.lost + again

    return read


def _cases(spec: str) -> Callable[[Path], tuple[int, int]]:
    def read(folder: Path) -> tuple[int, int]:
        cases = list(open_dataset(f"{spec.split(':')[0]}:{folder / spec.split(':')[1]}", "agent").cases(None))
        return sum(len(case.targets) if case.by_instance else 1 for case in cases), 0

    return read


def _classes(folder: Path) -> tuple[int, int]:
    return len(read_ontology(folder / SOURCES["yaml"]).classes), 0


def _concept(folder: Path) -> tuple[int, int]:
    concept = read_concept(folder / SOURCES["concept"])
    return concept.tokens.count, 0


_READERS: Mapping[str, Callable[[Path], tuple[int, int]]] = {
    **{kind: _labels(SOURCES[kind]) for kind in ("coco", "yolo", "labelme", "cvat")},
    "reasonseg": _cases("reasonseg:"),
    "saco": _cases("saco:gold.json"),
    "yaml": _classes,
    "concept": _concept,
}


def _json(path: Path) -> Any:
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "cp1252"):
        try:
            return json.loads(data.decode(encoding))
        except ValueError:
            continue
        except RecursionError:  # nested so deeply that nothing in it can be counted
            return None
    return None


def _coco_entries(folder: Path) -> int | None:
    document = _json(folder / "labels.json")
    return len(document["annotations"]) if isinstance(document, dict) else None


def _yolo_entries(folder: Path) -> int:
    """Lines with anything on them, in whatever encoding."""
    total = 0
    for path in (folder / "labels").rglob("*.txt"):
        text = path.read_bytes().decode("latin-1").removeprefix("\xef\xbb\xbf")
        lines = {
            tuple(line.split()) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
        }
        total += len({line for line in lines if line}) if "\0" not in text else 1
    return total


def _labelme_entries(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.json"):
        document = _json(path)
        shapes = document.get("shapes") if isinstance(document, dict) else None
        groups: set[str] = set()
        for number, shape in enumerate(shapes if isinstance(shapes, list) else []):
            group = shape.get("group_id") if isinstance(shape, dict) else None
            groups.add(f"{number}" if group is None else f"{shape.get('label')} {group!s:.60}")
        total += len(groups)
    return total


def _cvat_entries(folder: Path) -> int | None:
    try:
        root = Xml.fromstring((folder / "annotations.xml").read_bytes())
    except (Xml.ParseError, ValueError, LookupError):
        return None
    return sum(1 for image in root.iter("image") for child in image if child.tag != "tag")


def _saco_entries(folder: Path) -> int:
    document = _json(folder / "gold.json")
    asked = {pair["id"] for pair in document["images"] if pair["is_instance_exhaustive"]}
    return sum(1 for entry in document["annotations"] if entry["image_id"] in asked)


def _yaml_entries(folder: Path) -> int:
    node = yaml.compose((folder / "concepts.yaml").read_bytes(), Loader=yaml.SafeLoader)
    return sum(len(value.value) for key, value in node.value if key.value == "classes")


def _concept_entries(folder: Path) -> int:
    return int(_json(folder / "mug.concept.json")["tokens"]["shape"][0])


_COUNTERS: Mapping[str, Callable[[Path], int | None]] = {
    "coco": _coco_entries,
    "yolo": _yolo_entries,
    "labelme": _labelme_entries,
    "cvat": _cvat_entries,
    "reasonseg": lambda _: 1,
    "saco": _saco_entries,
    "yaml": _yaml_entries,
    "concept": _concept_entries,
}
