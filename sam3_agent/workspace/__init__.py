"""The workspace: open images, features, masks by stable id."""

from sam3_agent.workspace.config import WorkspaceConfig
from sam3_agent.workspace.geometry import Measurement, MeasurementTable, Neighbor, Operation, OrderBy, Ranks
from sam3_agent.workspace.image_loading import Source
from sam3_agent.workspace.image_store import OpenImage
from sam3_agent.workspace.mask_facts import JUNK, ONE_LABEL, STRAY, ColorShare, Facts, outside_share
from sam3_agent.workspace.output_folder import NO_OUTPUT, OutputFolder
from sam3_agent.workspace.query import TileMode
from sam3_agent.workspace.tracking.query import ExampledConcept, FrameExample, ObjectClick
from sam3_agent.workspace.video_store import AskedFor, TrackOptions
from sam3_agent.workspace.workspace import Workspace

__all__ = [
    "JUNK",
    "NO_OUTPUT",
    "ONE_LABEL",
    "STRAY",
    "AskedFor",
    "ColorShare",
    "ExampledConcept",
    "Facts",
    "FrameExample",
    "Measurement",
    "MeasurementTable",
    "Neighbor",
    "ObjectClick",
    "OpenImage",
    "Operation",
    "OrderBy",
    "OutputFolder",
    "Ranks",
    "Source",
    "TileMode",
    "TrackOptions",
    "Workspace",
    "WorkspaceConfig",
    "outside_share",
]
