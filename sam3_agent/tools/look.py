"""Tool that shows a picture of an image."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam3_agent.masks import Box
from sam3_agent.render import Picture, Style
from sam3_agent.tools.arguments import ImageId, MaskIds, Region, coordinate_hints, refuse_outside, region_of
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Looked:
    """Picture with what it shows."""

    image_id: str
    mask_ids: tuple[str, ...]
    region: Box | None
    style: Style
    picture: Picture


def look(
    workspace: Workspace,
    image_id: ImageId,
    mask_ids: MaskIds = (),
    region: Region = (),
    style: Annotated[
        Style,
        Field(
            description="cutout: masks on grey; contact_sheet: one enlarged cell a mask; grid: lines at coordinates."
        ),
    ] = "marks",
) -> Looked:
    """See the image, or a region of it at full resolution, with masks drawn on it.

    Without mask_ids it shows all found masks; near misses are dashed. The caption turns picture pixels into the
    image's.
    """
    part = region_of(region)
    if part is not None:
        refuse_outside(workspace.image(image_id), [part])
    picture = workspace.look(image_id, mask_ids, part, style)
    shown = list(dict.fromkeys(mask_ids)) or [m.id for m in workspace.masks_of(image_id, near_misses=False)]
    return Looked(image_id, () if style == "plain" else tuple(shown), part, style, picture)


def present(workspace: Workspace, result: Looked) -> Presentation:
    """Tell what the picture shows."""
    hints = coordinate_hints(workspace.image(result.image_id), [result.region])
    data = {
        "image_id": result.image_id,
        "mask_ids": list(result.mask_ids),
        "region": list(result.region) if result.region is not None else [],
        "scale": round(result.picture.scale, 5),
        "style": result.style,
        "hints": hints,
    }
    lines = [f"{result.image_id}: {result.picture.caption}", *(f"hint: {hint}" for hint in hints)]
    return Presentation("\n".join(lines), data, (result.picture,))


LOOK = ToolSpec.of(look, present, has_picture=True)
