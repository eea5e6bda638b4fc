"""Dependencies of a workspace that differ from session to session."""

from collections.abc import Callable
from dataclasses import dataclass

from sam3_agent.video import Video, open_video
from sam3_agent.workspace.feature_cache import FeatureCache
from sam3_agent.workspace.image_loading import Reader, read_source
from sam3_agent.workspace.output_folder import NO_OUTPUT, OutputFolder


def _admit_all(_: int) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceConfig:
    """Per-session dependencies of a Workspace; the defaults are those of one that stands alone."""

    read: Reader = read_source
    """Turns the sources that `open` is given into pixels: the place to decide what may be opened."""
    read_video: Callable[..., Video] = open_video
    """The same for `open_video`; takes the source and `fps`."""
    admit: Callable[[int], None] = _admit_all
    """Told the bytes of a frame of a video before it is kept as an image; may refuse."""
    output: OutputFolder = NO_OUTPUT
    """Folder that tools may write into."""
    suffix: str = ""
    """Ends every id, as in "m7-k3v9": ids of workspaces beside each other do not meet and cannot be guessed."""
    memory: FeatureCache | None = None
    """Shared with other workspaces, whose suffixes must then differ; None for one of its own."""


ALONE = WorkspaceConfig()
