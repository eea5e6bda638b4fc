"""Tool that finds more of the same by example."""

from typing import Annotated

from pydantic import Field

from sam3_agent.tools.arguments import Boxes, ImageId, MaskIds, Phrase, Threshold, box_of, refuse_outside
from sam3_agent.tools.segment_concepts import Segmented, present, without_junk
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.workspace import Workspace

_DROPPED = (
    "with the negative examples the positive ones were no longer found, so that they were left out; what lies on them"
    " is dropped from the answer"
)


def refine_with_exemplars(
    workspace: Workspace,
    image_id: ImageId,
    concept: Annotated[Phrase, Field(description="Noun phrase; '' for examples alone.")] = "",
    positive_masks: MaskIds = (),
    negative_masks: MaskIds = (),
    positive_boxes: Boxes = (),
    negative_boxes: Boxes = (),
    threshold: Threshold = 0.5,
) -> Segmented:
    """Find everything like some examples and unlike others: "more like m3, not like m7".

    For a phrase that misses objects, finds too much, or is no name of it. The result holds all of the kind.
    """
    positive = [box_of(box, "each of positive_boxes") for box in positive_boxes]
    negative = [box_of(box, "each of negative_boxes") for box in negative_boxes]
    refuse_outside(workspace.image(image_id), [*positive, *negative])
    found = workspace.refine(
        image_id,
        concept.strip() or None,
        positive_masks=positive_masks,
        negative_masks=negative_masks,
        positive_boxes=positive,
        negative_boxes=negative,
        threshold=threshold,
    )
    given = len(negative_masks) + len(negative)
    dropped = given > 0 and all(exemplar.positive for exemplar in found.prompt.exemplars)
    notes = (_DROPPED,) if dropped else ()
    results, junk = without_junk([found])
    return Segmented(image_id, threshold, results, None, (*positive, *negative), notes=notes, junk=junk)


REFINE_WITH_EXEMPLARS = ToolSpec.of(refine_with_exemplars, present, makes="masks", has_picture=True, shows_masks=True)
