"""The desk: open images, features, masks by stable id."""

from sam3_agent.workspace.colours import ColourShare
from sam3_agent.workspace.combination import Operation
from sam3_agent.workspace.facts import Facts
from sam3_agent.workspace.images import OpenImage
from sam3_agent.workspace.measure import Measurement, MeasurementTable, Neighbour, OrderBy, Ranks
from sam3_agent.workspace.question import TileMode
from sam3_agent.workspace.source import Source
from sam3_agent.workspace.workspace import Workspace

__all__ = [
    "ColourShare",
    "Facts",
    "Measurement",
    "MeasurementTable",
    "Neighbour",
    "OpenImage",
    "Operation",
    "OrderBy",
    "Ranks",
    "Source",
    "TileMode",
    "Workspace",
]
