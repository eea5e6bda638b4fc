"""One mask in words and as data: the same facts twice."""

from typing import Any

from sam3_agent.types import Instance
from sam3_agent.workspace import Facts


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


def percent(share: float) -> str:
    """A share as a short percentage."""
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"
