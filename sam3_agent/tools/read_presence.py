"""Tool that reads presence scores."""

from dataclasses import dataclass

from sam3_agent.tools.arguments import Concepts, ImageId
from sam3_agent.tools.model_scope import scope_hints
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace

_LOW = 0.5
"""Presence below it says "rather not": the model's own threshold."""


@dataclass(frozen=True, slots=True)
class PresenceReading:
    """Presence by phrase, 0-1."""

    image_id: str
    presence: dict[str, float]


def read_presence(workspace: Workspace, image_id: ImageId, concepts: Concepts) -> PresenceReading:
    """Ask whether concepts are in the image at all, without masks: the cheapest question.

    presence is a belief from 0 to 1, not proof.
    """
    return PresenceReading(image_id, workspace.presence(image_id, concepts))


def present(workspace: Workspace, result: PresenceReading) -> Presentation:
    """Tell one line a phrase, with a reminder where presence is low."""
    lines = [f"presence on {result.image_id}:"]
    lines += [f"  '{phrase}': {value:.2f}" for phrase, value in result.presence.items()]
    low = ", ".join(f"'{phrase}'" for phrase, value in result.presence.items() if value < _LOW)
    if low:
        lines.append(f"hint: low for {low}: presence is a belief, not proof; segment_concepts shows near misses")
        lines += [f"hint: {line}" for line in scope_hints(workspace.info)]
    rows = [{"concept": phrase, "presence": round(value, 3)} for phrase, value in result.presence.items()]
    return Presentation("\n".join(lines), {"image_id": result.image_id, "results": rows})


READ_PRESENCE = ToolSpec.of(read_presence, present)
