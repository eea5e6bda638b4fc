"""Presentation of a result: text, pictures and data with the same facts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sam3_agent import masks
from sam3_agent.masks import Box
from sam3_agent.render import LONGEST, Picture
from sam3_agent.types import Instance
from sam3_agent.workspace import ONE_LABEL, STRAY, Facts, Workspace

_CROWD = 40
"""With more masks on an image than this, a picture shows only those of the call: more labels than that hide objects."""

_OTHER_OUTLINE = 0.3
"""Masks that overlap this much (IoU) show the same thing: in a blind trial up to five outlines of one key lay over each
other, and the new one could not be made out."""
_FEW = 12
FEW_LONGEST = 768
"""Longest side of a picture with few masks: so many labels can be read on it, and pictures cost by their area."""
_LEAST_PART = 0.01
"""Smaller parts of a mask are crumbs at its edge."""
_SAME_SCORE = 0.15
"""Up to this difference the heading's presence explains it, and no decision hangs on it."""
_ONE_COLOR = 0.85
"""The rest is edge and shading."""
_LEAST_OTHER = 0.2
"""Lower scores under another phrase are those of anything."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """Text for a model or a person, the same facts as JSON-able data without RLE or base64, and pictures."""

    text: str
    data: dict[str, Any]
    pictures: tuple[Picture, ...] = ()
    result: object = None
    """The value that the tool returned, for programs."""


def facts_by_id(workspace: Workspace, instances: Sequence[Instance]) -> dict[str, Facts]:
    """Facts of each mask, by its id."""
    ids = list(dict.fromkeys(instance.id for instance in instances))
    return dict(zip(ids, workspace.facts(ids), strict=True))


def marked_picture(workspace: Workspace, image_id: str, region: Box | None, new: Sequence[Instance]) -> Picture:
    """Draw the masks of this call, near misses included, and thinly the masks found earlier.

    Of what was found earlier, other outlines of the same things are left out: they would hide the new ones.
    """
    ids = [instance.id for instance in new]
    others = [m for m in workspace.masks_of(image_id, near_misses=False) if m.id not in ids]
    earlier = [m.id for m in _beside(others, new)]
    if len(earlier) + len(ids) <= _CROWD:
        ids = list(dict.fromkeys(earlier + ids))
    longest = FEW_LONGEST if len(ids) <= _FEW else LONGEST
    return workspace.look(image_id, ids, region, "marks" if ids else "plain", longest=longest, earlier=earlier)


_PICTURE = "picture of "


def picture_line(image_id: str, caption: str) -> str:
    """The line of a result's text on its picture."""
    return f"{_PICTURE}{image_id}: {caption}"


def retold(text: str, line: str) -> str:
    """A result's text with another line on its picture."""
    return "\n".join([*(each for each in text.split("\n") if not each.startswith(_PICTURE)), line])


def _beside(earlier: Sequence[Instance], new: Sequence[Instance]) -> list[Instance]:
    """The earlier masks that are no other outline of a new one; the same outline is drawn once, under both names."""
    if not earlier or not new:
        return list(earlier)
    overlap = masks.iou([m.rle for m in earlier], [m.rle for m in new]).max(axis=1)  # (earlier,)
    return [m for m, iou in zip(earlier, overlap, strict=True) if iou < _OTHER_OUTLINE or iou > ONE_LABEL]


def percent(share: float) -> str:
    """A share as a short percentage."""
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def instance_data(instance: Instance, facts: Facts) -> dict[str, Any]:
    """The JSON of a mask for models: facts, but no RLE."""
    return {
        "id": instance.id,
        "concept": facts.phrase,
        "score": round(instance.score, 3),
        "object_score": round(instance.object_score, 3),
        "box": [round(v, 1) for v in instance.box],
        "center": [round(v, 1) for v in facts.center],
        "area": facts.area,
        "area_share": round(facts.area_share, 5),
        "colors": [{"name": c.name, "share": c.share} for c in facts.colors],
        "concept_scores": {phrase: round(score, 3) for phrase, score in facts.concept_scores.items()},
        "parts": [round(share, 3) for share in facts.part_shares if share >= _LEAST_PART],
        "outside_box": round(facts.outside, 3),
        "at_border": facts.at_border,
    }


def instance_line(instance: Instance, facts: Facts, *, named: bool = True, untold: Collection[str] = ()) -> str:
    """A mask on one line, no fact twice: id, score, box, pixels, colors, what is wrong with it, other phrases it fits.

    Its center is that of its box. `named` tells its phrase, where no heading does; the object score is told where it
    differs from the score. Phrases in `untold` are told elsewhere.
    """
    name = f"{instance.id} '{facts.phrase}'" if named else instance.id
    score = f"{instance.score:.2f}"
    if instance.object_score - instance.score > _SAME_SCORE:
        score += f" (object {instance.object_score:.2f})"
    box = ", ".join(f"{v:.0f}" for v in instance.box)
    colors = facts.colors[:1] if facts.colors and facts.colors[0].share >= _ONE_COLOR else facts.colors[:2]
    told = [c.name if c.share >= _ONE_COLOR else f"{c.name} {c.share * 100:.0f} %" for c in colors]
    parts = [
        f"{name} {score}",
        f"box [{box}]",
        f"{facts.area} px",
        *([", ".join(told)] if told else []),
        *quality(facts),
    ]
    others = [
        f"'{phrase}' {score:.2f}"
        for phrase, score in facts.concept_scores.items()
        if phrase != facts.phrase and phrase not in untold and score >= _LEAST_OTHER
    ]
    return "; ".join([*parts, "also as " + ", ".join(others)] if others else parts)


def quality(facts: Facts) -> list[str]:
    """Say what a reader has to know before trusting the area and the place of a mask; nothing for a clean one."""
    lines: list[str] = []
    shares = [share for share in facts.part_shares if share >= _LEAST_PART]
    if len(shares) > 1:
        lines.append(f"{len(shares)} parts: {', '.join(f'{share * 100:.0f}' for share in shares[:4])} %")
    if facts.outside >= STRAY:
        lines.append(f"{facts.outside * 100:.0f} % outside its box")
    return [*lines, "at the border"] if facts.at_border else lines
