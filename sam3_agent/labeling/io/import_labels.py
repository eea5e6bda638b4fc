"""Labels that were there before, from COCO or YOLO files: they are extended and never touched."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sam3_agent import masks
from sam3_agent.labeling.pipeline.merge import INSIDE, SAME_IOU
from sam3_agent.labeling.store.journal import ImageRow, Journal
from sam3_agent.labeling.store.label import Evidence, Label
from sam3_agent.labeling.verify.score_rule import REPEATS

IMPORT = "import"
"""The reviewer of labels that came from files."""


def beside_imported(labels: Sequence[Label], existing: Sequence[Label]) -> list[Label]:
    """Without the labels that say again what is labelled already, by a file or a person: those are rejected."""
    kept = [label for label in existing if label.reviewer and label.route == "accepted"]
    return [_beside(label, [k for k in kept if k.class_name == label.class_name]) for label in labels]


def _beside(label: Label, known: Sequence[Label]) -> Label:
    if not known or label.route == "rejected":
        return label
    rles = [each.rle for each in known]
    overlap = masks.iou([label.rle], rles)[0]
    inside = np.maximum(masks.containment([label.rle], rles)[0], masks.containment(rles, [label.rle])[:, 0])
    index = int(np.argmax(np.maximum(overlap, inside)))
    if overlap[index] > SAME_IOU or inside[index] > INSIDE:
        return replace(label, verdict="right", route="rejected", reason=f"{REPEATS}{known[index].id}")
    return label


def put_imported(
    journal: Journal,
    files: Sequence[ImageRow],
    labels: Mapping[str, Sequence[tuple[str, masks.Rle, bool]]],
    source: str,
) -> int:
    """Enter (class, mask, whether only a box is known) by file name into the journal; gives how many were new.

    Names are compared whole, then by their last part where that is unique. Entering the same file again adds nothing.
    """
    shas = _by_name(files)
    fresh: list[Label] = []
    for name, entries in labels.items():
        sha = shas.get(name) or shas.get(name.rsplit("/", 1)[-1])
        if sha is None:
            continue
        known = {label.id for label in journal.labels(sha)}
        for number, (class_name, rle, box_only) in enumerate(entries):
            label = _imported(f"{sha[:16]}.i{number:03d}", sha, class_name, rle, source, box_only=box_only)
            if label.id not in known:
                fresh.append(label)
    journal.put_labels(fresh)
    return len(fresh)


def _imported(name: str, sha: str, class_name: str, rle: masks.Rle, source: str, *, box_only: bool) -> Label:
    note = "only the box is known; the mask is that box" if box_only else ""
    return Label(
        id=name,
        sha=sha,
        class_name=class_name,
        rle=rle,
        box=masks.box(rle),
        score=1.0,
        object_score=1.0,
        presence=1.0,
        source="imported",
        phrase=source,
        evidence=Evidence(asked=0, note=note),
        quality=1.0,
        verdict="right",
        reason=f"imported from {source}",
        route="accepted",
        reviewer=IMPORT,
    )


def _by_name(files: Sequence[ImageRow]) -> dict[str, str]:
    """File name -> content; last parts only where one file has it."""
    whole = {row.path: row.sha for row in files if row.sha and row.state != "unreadable"}
    last: dict[str, list[str]] = {}
    for path, sha in whole.items():
        last.setdefault(path.rsplit("/", 1)[-1], []).append(sha)
    return {name: shas[0] for name, shas in last.items() if len(set(shas)) == 1} | whole
