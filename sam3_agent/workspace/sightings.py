"""One object seen under several phrases: its scores side by side, its masks drawn as one."""

from collections.abc import Sequence

import numpy as np

from sam3_agent import masks
from sam3_agent.render import Mark
from sam3_agent.workspace.colours import ColourShare
from sam3_agent.workspace.geometry import SAME_OBJECT
from sam3_agent.workspace.mask_facts import Facts, centre_of
from sam3_agent.workspace.mask_store import Record

_ONE_LABEL = 0.9
"""Masks that overlap more than this (IoU) share one outline and one label in a picture."""


def concept_scores(wanted: Sequence[Record], all_records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mask id -> phrase asked on the image -> best score that this same object (mask IoU > 0.7) has under it."""
    asked = [record for record in all_records if record.asked is not None]
    overlap = masks.iou([r.instance.rle for r in wanted], [r.instance.rle for r in asked])  # (wanted, asked)
    result: dict[str, dict[str, float]] = {}
    for row, record in enumerate(wanted):
        best: dict[str, float] = {}
        for column in np.flatnonzero(overlap[row] > SAME_OBJECT):
            other = asked[column]
            phrase = other.asked or ""
            best[phrase] = max(best.get(phrase, 0.0), other.instance.score)
        result[record.instance.id] = dict(sorted(best.items(), key=lambda item: -item[1]))
    return result


def facts_of(record: Record, colours: tuple[ColourShare, ...], scores: dict[str, float]) -> Facts:
    """Gather what is known of one mask."""
    instance = record.instance
    height, width = instance.rle.size
    area = instance.area
    return Facts(record.phrase, centre_of(instance.box), area, area / (height * width), colours, scores)


def marks_of(records: Sequence[Record]) -> list[Mark]:
    """Marks to draw; an object found twice gets one mark, labelled "m2=m7". Labels leave out a desk's suffix."""
    ordered = sorted(records, key=lambda record: not record.kept)  # a kept mask speaks for its near-miss twins
    rles = [record.instance.rle for record in ordered]
    overlap = masks.iou(rles, rles)
    marks: list[Mark] = []
    done: set[int] = set()
    for index, record in enumerate(ordered):
        if index in done:
            continue
        twins = [int(t) for t in np.flatnonzero(overlap[index] > _ONE_LABEL) if t > index and t not in done]
        done.update(twins)
        names = [record.instance.id, *(ordered[t].instance.id for t in twins)]
        label = "=".join(name.partition("-")[0] for name in names)
        marks.append(Mark(label, record.instance.rle, record.instance.box, dashed=not record.kept))
    return marks
