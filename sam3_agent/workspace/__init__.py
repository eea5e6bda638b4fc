"""The desk: open images, features, masks by stable id."""

from sam3_agent.workspace.geometry import Measurement, MeasurementTable, Neighbour, Operation, OrderBy, Ranks
from sam3_agent.workspace.image_loading import Source
from sam3_agent.workspace.image_store import OpenImage
from sam3_agent.workspace.mask_facts import ColourShare, Facts
from sam3_agent.workspace.output_folder import NO_OUTPUT, OutputFolder
from sam3_agent.workspace.query import TileMode
from sam3_agent.workspace.workspace import Setting, Workspace

__all__ = [
    "NO_OUTPUT",
    "ColourShare",
    "Facts",
    "Measurement",
    "MeasurementTable",
    "Neighbour",
    "OpenImage",
    "Operation",
    "OrderBy",
    "OutputFolder",
    "Ranks",
    "Setting",
    "Source",
    "TileMode",
    "Workspace",
]
