"""Tool that turns examples into a concept for other images."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sam3_agent.errors import InputError
from sam3_agent.tools.arguments import Boxes, ImageId, MaskIds, Name, Phrase, box_of
from sam3_agent.tools.presentation import Presentation
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import Concept
from sam3_agent.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Learned:
    """Concept learned from examples."""

    concept: Concept


def learn_concept(
    workspace: Workspace,
    name: Annotated[
        Name, Field(description="1-64 letters, digits, '.', '_' or '-': 'tilted_logo', asked for as '@tilted_logo'.")
    ],
    phrase: Annotated[Phrase, Field(description="Noun phrase to ask together with the examples, or ''.")] = "",
    positive_masks: MaskIds = (),
    negative_masks: MaskIds = (),
    image_id: Annotated[
        ImageId, Field(description="The image that the boxes are on; '' when no boxes are given.")
    ] = "",
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


def present(_: Workspace, result: Learned) -> Presentation:
    """Tell the name to ask for."""
    concept = result.concept
    words = f", asked with the phrase '{concept.phrase}'" if concept.phrase else ""
    count = concept.example_count
    lines = [f"learned '@{concept.name}' from {count} example{'' if count == 1 else 's'}{words}."]
    lines += [f"It {concept.estimate}."] if concept.estimate is not None else []
    lines += [f"Note: {note}." for note in concept.notes]
    lines += [f"Use '@{concept.name}' as a concept on any image."]
    data = {
        "concept": f"@{concept.name}",
        "phrase": concept.phrase or "",
        "examples": count,
        "threshold": concept.threshold,
        "estimate": concept.estimate.to_json() if concept.estimate is not None else None,
        "notes": list(concept.notes),
    }
    return Presentation(" ".join(lines), data)


LEARN_CONCEPT = ToolSpec.of(learn_concept, present)
