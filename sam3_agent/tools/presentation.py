"""Presentation of a result: text, pictures and data with the same facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sam3_agent.masks import Box
from sam3_agent.render import Picture
from sam3_agent.types import Instance
from sam3_agent.workspace import Facts, Workspace

_CROWD = 40
"""With more masks on an image than this, a picture shows only those of the call: more labels than that hide objects."""


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
    """Draw all found masks that are alive, and the masks of this call, near misses included."""
    alive, ids = workspace.masks_of(image_id, near_misses=False), [instance.id for instance in new]
    if len(alive) + len(ids) <= _CROWD:
        ids = list(dict.fromkeys([instance.id for instance in alive] + ids))
    return workspace.look(image_id, ids, region, "marks" if ids else "plain")


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
    }


def instance_line(instance: Instance, facts: Facts) -> str:
    """The same facts on one line; scores under phrases other than its own are named."""
    box = ", ".join(f"{v:.0f}" for v in instance.box)
    parts = [
        f"{instance.id} '{facts.phrase}': score {instance.score:.2f} (object {instance.object_score:.2f})",
        f"box [{box}]",
        f"center ({facts.center[0]:.0f}, {facts.center[1]:.0f})",
        f"area {facts.area} px ({percent(facts.area_share)})",
    ]
    if facts.colors:
        parts.append(", ".join(f"{c.name} {percent(c.share)}" for c in facts.colors))
    others = [f"'{phrase}' {score:.2f}" for phrase, score in facts.concept_scores.items() if phrase != facts.phrase]
    if others:
        parts.append("also as " + ", ".join(others))
    return "; ".join(parts)
