"""The tool that finds all instances of concepts."""

from sam3_agent.tools.arguments import AssumePresent, Concepts, ImageId, Region, Threshold, Tiles, region_of
from sam3_agent.tools.results import Segmented
from sam3_agent.workspace import Workspace


def segment_concepts(
    workspace: Workspace,
    image_id: ImageId,
    concepts: Concepts,
    threshold: Threshold = 0.5,
    region: Region = (),
    tiles: Tiles = "auto",
    assume_present: AssumePresent = False,
) -> Segmented:
    """Find and mask every instance of each concept in one call: several concepts cost little more than one.

    A good concept is a short singular noun phrase, attributes allowed ('yellow school bus', 'striped cup'). The model
    knows no relations, superlatives, counts or negations: segment the things, then use measure_masks and combine_masks.
    presence says how strongly the model believes that the concept is anywhere in the picture; object_score how well one
    mask fits; score is their product. Masks with score above the threshold are found; near_misses lie below it, have
    usable ids and are drawn dashed. Every mask comes with box, center, area, colors and its score under each phrase
    asked so far. For small things in a big picture use a region, which is looked at in its own full resolution, or
    tiles='always'.
    """
    part = region_of(region)
    found = workspace.segment(
        image_id, concepts, threshold=threshold, region=part, tiles=tiles, assume_present=assume_present
    )
    return Segmented(image_id, threshold, tuple(found), part)
