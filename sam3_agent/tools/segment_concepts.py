"""Tool that finds all instances of concepts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam3_agent.masks import Box
from sam3_agent.tools.arguments import (
    AssumePresent,
    Concepts,
    ImageId,
    Region,
    Threshold,
    Tiles,
    coordinate_hints,
    region_of,
)
from sam3_agent.tools.presentation import Presentation, facts_by_id, instance_data, instance_line, marked_picture
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.types import Segmentation
from sam3_agent.workspace import Facts, Workspace

_CONFLICT_SHARE = 0.5
"""A second concept counts as a conflict from this share of the first one's score."""
_LEAST_CONFLICT = 0.25
_GOOD_OBJECT = 0.5


@dataclass(frozen=True, slots=True)
class Segmented:
    """Answers to one or more concept prompts on one image."""

    image_id: str
    threshold: float
    results: tuple[Segmentation, ...]
    region: Box | None = None
    examples: tuple[Box, ...] = ()
    """Boxes that were given as examples."""


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


def present(workspace: Workspace, result: Segmented) -> Presentation:
    """Tell every mask with its facts, conflicts between phrases, and what to try."""
    shown = [instance for each in result.results for instance in (*each.instances, *each.near_misses)]
    facts = facts_by_id(workspace, shown)
    warnings = _warnings(result.results, facts)
    boxes = coordinate_hints(workspace.image(result.image_id), [result.region, *result.examples])
    hints = [*(hint for each in result.results if (hint := _hint(each))), *boxes]
    picture = marked_picture(workspace, result.image_id, result.region, shown)
    lines = [line for each in result.results for line in _lines(each, facts)]
    lines += [f"warning: {line}" for line in warnings] + [f"hint: {line}" for line in hints]
    lines.append(f"picture of {result.image_id}: {picture.caption}")
    data = {
        "image_id": result.image_id,
        "threshold": result.threshold,
        "results": [_data(each, facts) for each in result.results],
        "warnings": warnings,
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _lines(result: Segmentation, facts: Mapping[str, Facts]) -> list[str]:
    count = len(result.instances)
    assumed = " (assumed)" if result.assume_present else ""
    compared = " by object score alone" if result.assume_present else ""
    closer = f"; looked at more closely in {result.tiles} tiles" if result.tiles else ""
    lines = [
        f"'{result.prompt.label}' ({result.id}): presence {result.presence:.2f}{assumed}; "
        f"{count} found above the threshold {result.threshold:g}{compared}{closer}"
    ]
    lines += [f"  {instance_line(instance, facts[instance.id])}" for instance in result.instances]
    if result.near_misses:
        lines.append(f"  near misses, below the threshold ({len(result.near_misses)}):")
        lines += [f"    {instance_line(instance, facts[instance.id])}" for instance in result.near_misses]
    return lines


def _data(result: Segmentation, facts: Mapping[str, Facts]) -> dict[str, Any]:
    return {
        "segmentation_id": result.id,
        "concept": result.prompt.label,
        "presence": round(result.presence, 3),
        "presence_assumed": result.assume_present,
        "tiles": result.tiles,
        "instances": [instance_data(instance, facts[instance.id]) for instance in result.instances],
        "near_misses": [instance_data(instance, facts[instance.id]) for instance in result.near_misses],
    }


def _warnings(results: Sequence[Segmentation], facts: Mapping[str, Facts]) -> list[str]:
    """One line for each found mask that fits another phrase nearly as well or better."""
    lines: list[str] = []
    asked_now = {result.prompt.label for result in results}
    for result in results:
        own = result.prompt.label
        for instance in result.instances:
            for phrase, score in facts[instance.id].concept_scores.items():
                if score < max(_LEAST_CONFLICT, _CONFLICT_SHARE * instance.score) or _nested(own, phrase):
                    continue
                if phrase in asked_now and score > instance.score:
                    continue  # the same object under that phrase says it
                lines.append(f"{instance.id} ('{own}' {instance.score:.2f}) also scores {score:.2f} as '{phrase}'")
    return lines


def _nested(first: str, second: str) -> bool:
    """Whether one phrase only narrows the other ('cup', 'red cups'), so that both may hold."""
    one, other = (
        {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in phrase.lower().split()}
        for phrase in (first, second)
    )
    return one <= other or other <= one


def _hint(result: Segmentation) -> str | None:
    """What to try where a concept was not found, or where presence and objects disagree."""
    if result.instances:
        return None
    concept, presence = result.prompt.label, f"presence {result.presence:.2f}"
    good = [m for m in result.near_misses if m.object_score >= _GOOD_OBJECT]
    if good:
        ids = ", ".join(f"{m.id} (object {m.object_score:.2f})" for m in good)
        return (
            f"'{concept}': nothing above the threshold {result.threshold:g}, but these objects fit well: {ids}. "
            f"{presence} is a belief, not proof: look at them before you say no"
        )
    if result.near_misses:
        ids = ", ".join(m.id for m in result.near_misses)
        return (
            f"'{concept}': nothing above the threshold {result.threshold:g} ({presence}); weak candidates: {ids}. "
            f"Look at them, or try a more general noun, 'object', an exemplar or a region"
        )
    return (
        f"'{concept}': nothing found ({presence}). Try a more general noun, 'object', an exemplar box "
        f"(refine_with_exemplars), or for small things a region of the image or tiles='always'"
    )


SEGMENT_CONCEPTS = ToolSpec.of(segment_concepts, present, makes="masks", has_picture=True, shows_masks=True)
