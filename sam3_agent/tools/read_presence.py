"""The tool that reads presence scores."""

from sam3_agent.tools.arguments import Concepts, ImageId
from sam3_agent.tools.results import PresenceReading
from sam3_agent.workspace import Workspace


def read_presence(workspace: Workspace, image_id: ImageId, concepts: Concepts) -> PresenceReading:
    """Ask whether concepts are in the picture at all, without masks: the cheapest question.

    presence is a belief from 0 to 1, not proof, and can be wrong both ways; where it matters, segment and look.
    """
    return PresenceReading(image_id, workspace.presence(image_id, concepts))
