"""Pictures: images with masks drawn on them, honest about color and scale."""

from sam3_agent.render.draw import LONGEST, draw_picture
from sam3_agent.render.encode import encode_picture
from sam3_agent.render.frame_sheet import MOST_FRAMES, FrameCell, draw_frame_sheet
from sam3_agent.render.picture import STYLES, Mark, Picture, Style
from sam3_agent.render.viewer import viewer_page

__all__ = [
    "LONGEST",
    "MOST_FRAMES",
    "STYLES",
    "FrameCell",
    "Mark",
    "Picture",
    "Style",
    "draw_frame_sheet",
    "draw_picture",
    "encode_picture",
    "viewer_page",
]
