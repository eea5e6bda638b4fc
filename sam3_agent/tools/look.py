"""The tool that shows a picture."""

from typing import Annotated

from pydantic import Field

from sam3_agent.render import Style
from sam3_agent.tools.arguments import ImageId, MaskIds, Region, region_of
from sam3_agent.tools.results import Looked
from sam3_agent.workspace import Workspace


def look(
    workspace: Workspace,
    image_id: ImageId,
    mask_ids: MaskIds = (),
    region: Region = (),
    style: Annotated[
        Style,
        Field(
            description="marks: outlines with ids; outline: without ids; fill: colored, hides true colors; cutout: "
            "only the masks, on grey; contact_sheet: one cell a mask, enlarged; plain: no masks."
        ),
    ] = "marks",
) -> Looked:
    """See the image, or a region of it at full resolution, with masks drawn on it.

    Use it to judge masks before you submit them, and with a region to see small things. Without mask_ids it shows all
    found masks. Outlines lie outside of the objects and change no color; near misses are dashed. The caption says how
    to turn picture pixels into image pixels; every tool speaks in image pixels.
    """
    part = region_of(region)
    picture = workspace.look(image_id, mask_ids, part, style)
    shown = list(dict.fromkeys(mask_ids)) or [m.id for m in workspace.masks_of(image_id, near_misses=False)]
    return Looked(image_id, () if style == "plain" else tuple(shown), part, style, picture)
