"""What a desk takes from the house that it stands in."""

from dataclasses import dataclass

from sam3_agent.workspace.feature_cache import FeatureMemory
from sam3_agent.workspace.image_loading import Reader, read_source
from sam3_agent.workspace.output_folder import NO_OUTPUT, OutputFolder


@dataclass(frozen=True, slots=True)
class Setting:
    """The defaults are those of a desk that stands alone; a server gives each of its clients a desk of its own."""

    read: Reader = read_source
    """Turns the sources that `open` is given into pixels: the place to decide what may be opened."""
    output: OutputFolder = NO_OUTPUT
    """Where tools may write files."""
    suffix: str = ""
    """Ends every id, as in "m7-k3v9": ids of desks beside each other do not meet and cannot be guessed."""
    memory: FeatureMemory | None = None
    """Shared with other desks, whose suffixes must then differ; None for one of its own."""


ALONE = Setting()
