"""Tools, defined once, for MCP hosts, for the loop and for Python."""

from sam3_agent.tools.combine_masks import COMBINE_MASKS
from sam3_agent.tools.edit_tracks import EDIT_TRACKS
from sam3_agent.tools.export_masks import EXPORT_MASKS
from sam3_agent.tools.export_tracks import EXPORT_TRACKS
from sam3_agent.tools.forget_image import FORGET_IMAGE
from sam3_agent.tools.forget_video import FORGET_VIDEO
from sam3_agent.tools.learn_concept import LEARN_CONCEPT
from sam3_agent.tools.list_images import LIST_IMAGES
from sam3_agent.tools.list_tracks import LIST_TRACKS
from sam3_agent.tools.look import LOOK
from sam3_agent.tools.look_frames import LOOK_FRAMES
from sam3_agent.tools.measure_masks import MEASURE_MASKS
from sam3_agent.tools.measure_tracks import MEASURE_TRACKS
from sam3_agent.tools.open_image import OPEN_IMAGE
from sam3_agent.tools.open_video import OPEN_VIDEO
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.read_presence import READ_PRESENCE
from sam3_agent.tools.refine_with_exemplars import REFINE_WITH_EXEMPLARS
from sam3_agent.tools.report_no_match import REPORT_NO_MATCH
from sam3_agent.tools.segment_at import SEGMENT_AT
from sam3_agent.tools.segment_concepts import SEGMENT_CONCEPTS
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.submit_answer import SUBMIT_ANSWER
from sam3_agent.tools.submit_tracks import SUBMIT_TRACKS
from sam3_agent.tools.track_at import TRACK_AT
from sam3_agent.tools.track_concepts import TRACK_CONCEPTS

_SEGMENTER = (
    SEGMENT_CONCEPTS,
    READ_PRESENCE,
    REFINE_WITH_EXEMPLARS,
    SEGMENT_AT,
    COMBINE_MASKS,
    MEASURE_MASKS,
    LOOK,
)
_WORKSPACE = (LEARN_CONCEPT, EXPORT_MASKS, LIST_IMAGES, FORGET_IMAGE)
_VIDEO = (
    OPEN_VIDEO,
    LOOK_FRAMES,
    TRACK_CONCEPTS,
    TRACK_AT,
    LIST_TRACKS,
    MEASURE_TRACKS,
    EDIT_TRACKS,
    EXPORT_TRACKS,
    FORGET_VIDEO,
)
_END = (SUBMIT_ANSWER, REPORT_NO_MATCH)

HOST_TOOLS: tuple[ToolSpec, ...] = (OPEN_IMAGE, *_SEGMENTER, *_WORKSPACE, *_VIDEO)
"""For MCP hosts, which end their own runs."""
LOOP_TOOLS: tuple[ToolSpec, ...] = (*_SEGMENTER, *_END)
"""For the loop, which opens the image itself."""
VIDEO_LOOP_TOOLS: tuple[ToolSpec, ...] = (
    TRACK_CONCEPTS,
    TRACK_AT,
    LOOK_FRAMES,
    LIST_TRACKS,
    MEASURE_TRACKS,
    EDIT_TRACKS,
    SUBMIT_TRACKS,
    REPORT_NO_MATCH,
)
"""For the loop over a video, which opens it itself."""
ALL_TOOLS: tuple[ToolSpec, ...] = (OPEN_IMAGE, *_SEGMENTER, *_WORKSPACE, *_VIDEO, *_END, SUBMIT_TRACKS)

__all__ = ["ALL_TOOLS", "HOST_TOOLS", "LOOP_TOOLS", "VIDEO_LOOP_TOOLS", "Presentation", "ToolSpec"]
