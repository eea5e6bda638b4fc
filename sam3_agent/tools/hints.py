"""Warnings and hints: what a reader of a result should doubt, and what to try next."""

from collections.abc import Mapping, Sequence

from sam3_agent.types import ClickSegmentation, ModelInfo, Segmentation
from sam3_agent.workspace import Facts, OpenImage

_CONFLICT_SHARE = 0.5
"""A second concept counts as a conflict from this share of the first one's score."""
_LEAST_CONFLICT = 0.25
_LOW_PRESENCE = 0.5
_GOOD_OBJECT = 0.5
_DOUBTFUL_CLICK = 0.7
"""An expected IoU below this is worth a correction."""

_LARGE = 2
"""A picture is large from so many times the eye's own side on."""


def size_hints(image: OpenImage, info: ModelInfo) -> list[str]:
    """What the eye hardly sees in a picture much larger than what it is shown."""
    if max(image.width, image.height) < _LARGE * info.input_side:
        return []
    side = info.patch_in(image.width, image.height)
    return [
        f"the picture is large for the eye, which hardly sees what is under {side:.0f} pixels a side in it: look for "
        "small things in a region of the image, or with tiles='always'"
    ]


def warnings_for(results: Sequence[Segmentation], facts: Mapping[str, Facts]) -> list[str]:
    """One line for each found mask that fits another phrase nearly as well or better."""
    lines: list[str] = []
    asked_now = {result.prompt.label for result in results}
    for result in results:
        own = result.prompt.label
        for instance in result.instances:
            for phrase, score in facts[instance.id].concept_scores.items():
                if _nested(own, phrase) or score < max(_LEAST_CONFLICT, _CONFLICT_SHARE * instance.score):
                    continue
                if phrase in asked_now and score > instance.score:
                    continue  # the same object under that phrase says it
                lines.append(f"{instance.id} ('{own}' {instance.score:.2f}) also scores {score:.2f} as '{phrase}'")
    return lines


def hints_for(results: Sequence[Segmentation]) -> list[str]:
    """What to try where a concept was not found, or where presence and objects disagree."""
    return [hint for result in results if (hint := _hint(result))]


def click_hints(result: ClickSegmentation) -> list[str]:
    """What to try where clicks gave nothing, or a mask that the eye itself doubts."""
    if not result.instances:
        return ["no mask came of it. Put a point deeper inside the object, or draw a tight box around it"]
    best = result.instances[0]
    if best.score >= _DOUBTFUL_CLICK:
        return []
    return [
        f"the eye doubts {best.id}. Look at it; add a point (label 1 or 0) with mask_id {best.id}, or give a tight box"
    ]


def presence_hint(presence: Mapping[str, float]) -> list[str]:
    """A reminder where presence is low."""
    low = [phrase for phrase, value in presence.items() if value < _LOW_PRESENCE]
    if not low:
        return []
    return [f"low for {_quoted(low)}: presence is a belief, not proof; segment_concepts shows near misses"]


def _hint(result: Segmentation) -> str | None:
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


def _nested(first: str, second: str) -> bool:
    """Whether one phrase only narrows the other ('cup', 'red cups'), so that both may hold."""
    one, other = _words(first), _words(second)
    return one <= other or other <= one


def _words(phrase: str) -> set[str]:
    return {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in phrase.lower().split()}


def _quoted(phrases: Sequence[str]) -> str:
    return ", ".join(f"'{phrase}'" for phrase in phrases)
