"""From options to a workspace with an eye in it."""

from sam3_agent.cli.options import Eye
from sam3_agent.cli.output import progress_console
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.image_loading import read_source


def check_picture(source: str) -> None:
    """Fail early, before seconds are spent on loading a model; raises InputError when it is no usable picture."""
    read_source(source)


def open_workspace(eye: Eye) -> Workspace:
    """Load the eye; raises ModelUnavailable."""
    with progress_console().status(f"loading {eye.model}"):
        from sam3_agent.model.replicas import load_eye  # imports torch

        return Workspace(load_eye(eye.model, device=eye.device, dtype=eye.dtype))
