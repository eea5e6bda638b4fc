"""The tools: defined once, read by MCP hosts, by the loop and by Python."""

from sam3_agent.tools.combine_masks import combine_masks
from sam3_agent.tools.export_masks import export_masks
from sam3_agent.tools.forget_image import forget_image
from sam3_agent.tools.learn_concept import learn_concept
from sam3_agent.tools.list_images import list_images
from sam3_agent.tools.look import look
from sam3_agent.tools.measure_masks import measure_masks
from sam3_agent.tools.open_image import open_image
from sam3_agent.tools.present import Presentation
from sam3_agent.tools.read_presence import read_presence
from sam3_agent.tools.refine_with_exemplars import refine_with_exemplars
from sam3_agent.tools.report_no_match import report_no_match
from sam3_agent.tools.segment_at import segment_at
from sam3_agent.tools.segment_concepts import segment_concepts
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.submit_answer import submit_answer

_OPEN = ToolSpec.of(open_image)
_SEGMENTER = (
    ToolSpec.of(segment_concepts),
    ToolSpec.of(read_presence),
    ToolSpec.of(refine_with_exemplars),
    ToolSpec.of(segment_at),
    ToolSpec.of(combine_masks),
    ToolSpec.of(measure_masks),
    ToolSpec.of(look),
)
_WORKSPACE = (
    ToolSpec.of(learn_concept),
    ToolSpec.of(export_masks, read_only=False),
    ToolSpec.of(list_images),
    ToolSpec.of(forget_image, read_only=False),
)
_END = (ToolSpec.of(submit_answer), ToolSpec.of(report_no_match))

HOST_TOOLS: tuple[ToolSpec, ...] = (_OPEN, *_SEGMENTER, *_WORKSPACE)
"""For MCP hosts, which end their own runs."""
LOOP_TOOLS: tuple[ToolSpec, ...] = (*_SEGMENTER, *_END)
"""For the loop, which opens the image itself."""
ALL_TOOLS: tuple[ToolSpec, ...] = (_OPEN, *_SEGMENTER, *_WORKSPACE, *_END)

__all__ = ["ALL_TOOLS", "HOST_TOOLS", "LOOP_TOOLS", "Presentation", "ToolSpec"]
