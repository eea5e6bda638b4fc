"""The tool that turns examples into a concept for other images."""

from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import Boxes, MaskIds, box_of
from sam3_agent.tools.results import Learned
from sam3_agent.workspace import Workspace


def learn_concept(
    workspace: Workspace,
    name: Annotated[str, Field(description="A name of your choice, such as 'logo'; it is then asked for as '@logo'.")],
    phrase: Annotated[str, Field(description="Noun phrase to ask together with the examples, or ''.")] = "",
    positive_masks: MaskIds = (),
    negative_masks: MaskIds = (),
    image_id: Annotated[str, Field(description="The image that the boxes are on; '' when no boxes are given.")] = "",
    positive_boxes: Boxes = (),
    negative_boxes: Boxes = (),
) -> Learned:
    """Learn a kind of thing from examples and look for it on other images: "find what looks like m3 there too".

    Masks may be of several images. Afterwards '@name' is a concept like any other, on every image, in every tool that
    takes a phrase. To find more of the same on one image refine_with_exemplars is surer.
    """
    if (positive_boxes or negative_boxes) and not image_id:
        raise InputError("say with image_id on which image the boxes are")
    concept = workspace.learn(
        name.strip().removeprefix("@"),
        phrase,
        positive_masks=positive_masks,
        negative_masks=negative_masks,
        positive_boxes=[(image_id, box_of(box, "each of positive_boxes")) for box in positive_boxes],
        negative_boxes=[(image_id, box_of(box, "each of negative_boxes")) for box in negative_boxes],
    )
    return Learned(concept)
