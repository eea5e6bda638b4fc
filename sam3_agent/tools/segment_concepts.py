"""Tool that finds all instances of concepts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    refuse_outside,
    region_of,
)
from sam3_agent.tools.model_scope import is_generic, known_nouns, scope_hints, unknown_word_hint
from sam3_agent.tools.open_image import size_hints
from sam3_agent.tools.presentation import (
    Presentation,
    facts_by_id,
    instance_data,
    instance_line,
    marked_picture,
    picture_line,
)
from sam3_agent.tools.spec import ToolSpec
from sam3_agent.tools.synonyms import alternatives
from sam3_agent.types import Instance, ModelInfo, Segmentation
from sam3_agent.workspace import JUNK, Facts, OpenImage, Workspace, outside_share

_CONFLICT_SHARE = 0.5
"""A second concept counts as a conflict from this share of the first one's score."""
_LEAST_CONFLICT = 0.25
_GOOD_OBJECT = 0.5
_BELIEVED = 0.5
"""From this presence on the model knows the word, and says that the thing is there."""
_DOUBTED = 0.4
"""From this presence on a near miss is a doubt: a trial had things in plain sight that read .40 to .49."""
_MOST_TILES = 16
"""Encodes of one call with tiles="auto": nobody has asked for the wait that more of them are (a trial saw 42 to 99 for
one question, and no better answer)."""


@dataclass(frozen=True, slots=True)
class Segmented:
    """Answers to one or more concept prompts on one image."""

    image_id: str
    threshold: float
    results: tuple[Segmentation, ...]
    region: Box | None = None
    examples: tuple[Box, ...] = ()
    """Boxes that were given as examples."""
    instead: tuple[tuple[str, Segmentation], ...] = ()
    """(phrase that found nothing, answer to another wording of it that found something)."""
    tried: tuple[str, ...] = ()
    """All other wordings that were asked for phrases that found nothing."""
    notes: tuple[str, ...] = ()
    """Remarks of the tool about how it asked."""
    junk: Mapping[str, int] = field(default_factory=dict[str, int])
    """Id of a result -> near misses left out of it, as most of their mask lies outside of their own box."""

    @property
    def shown(self) -> list[Instance]:
        """Instances that its picture marks: found ones, near misses, those found under other words."""
        marked = [instance for each in self.results for instance in (*each.instances, *each.near_misses)]
        return marked + [instance for _, each in self.instead for instance in each.instances]


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

    A concept is a short singular noun phrase: no relations, superlatives, counts or negations, which measure_masks is
    for. presence: belief that it is in the image; object_score: how well a mask fits; score: their product. Near
    misses lie below the threshold; their ids are as good. What finds nothing is asked in other words too. A region is
    seen in full resolution, for small things.
    """
    part = region_of(region)
    if part is not None:
        refuse_outside(workspace.image(image_id), [part])
    found = workspace.segment(
        image_id,
        concepts,
        threshold=threshold,
        region=part,
        tiles=tiles,
        assume_present=assume_present,
        **({} if tiles == "always" else {"max_tiles": _MOST_TILES}),
    )
    instead, tried = _in_other_words(workspace, image_id, found, threshold, part)
    results, junk = without_junk(found)
    return Segmented(image_id, threshold, results, part, instead=instead, tried=tried, junk=junk)


def without_junk(found: Sequence[Segmentation]) -> tuple[tuple[Segmentation, ...], dict[str, int]]:
    """The results without near misses that are mostly spill, and how many those were, by the result's id."""
    kept = tuple(
        replace(each, near_misses=tuple(m for m in each.near_misses if outside_share(m) <= JUNK)) for each in found
    )
    lost = {each.id: len(each.near_misses) - len(clean.near_misses) for each, clean in zip(found, kept, strict=True)}
    return kept, {result_id: count for result_id, count in lost.items() if count}


def _in_other_words(
    workspace: Workspace, image_id: str, found: Sequence[Segmentation], threshold: float, region: Box | None
) -> tuple[tuple[tuple[str, Segmentation], ...], tuple[str, ...]]:
    """Ask other wordings of what was not found, all in one call: a word may be unknown and its thing there."""
    asked = {each.prompt.label.lower() for each in found}
    wanted: dict[str, str] = {}
    for each in found:
        if each.instances or each.presence >= _BELIEVED or each.prompt.phrase is None or not each.prompt.words_alone:
            continue
        for other in alternatives(each.prompt.phrase, workspace.info):
            if other not in asked:
                wanted.setdefault(other, each.prompt.phrase)
    if not wanted:
        return (), ()
    answers = workspace.segment(image_id, list(wanted), threshold=threshold, region=region, tiles="never")
    hits = tuple((wanted[each.prompt.label], each) for each in answers if each.instances)
    return hits, tuple(wanted)


def present(workspace: Workspace, result: Segmented) -> Presentation:
    """Tell every mask with its facts, conflicts between phrases, and what to try."""
    shown = result.shown
    facts = facts_by_id(workspace, shown)
    warnings, better, notes = _conflicts(result.results, facts)
    image = workspace.image(result.image_id)
    boxes = coordinate_hints(image, [result.region, *result.examples])
    info = workspace.info
    hints = [hint for each in result.results if (hint := _hint(each, result, image, info))]
    hints += [*(_vocabulary(result, info) if hints else []), *boxes, *result.notes]
    hints += scope_hints(info) if any(not each.instances for each in result.results) else []
    picture = marked_picture(workspace, result.image_id, result.region, shown)
    lines = [line for each in result.results for line in _lines(each, facts, better, result.junk.get(each.id, 0))]
    for phrase, each in result.instead:
        lines.append(f"asked instead of '{phrase}', which found nothing:")
        lines += _lines(replace(each, near_misses=()), facts)
    lines += [f"warning: {line}" for line in warnings]  # what the notes say stands beside the masks: "also as"
    lines += [f"hint: {line}" for line in hints]
    lines.append(picture_line(result.image_id, picture.caption))
    data = {
        "image_id": result.image_id,
        "threshold": result.threshold,
        "results": [_data(each, facts) for each in result.results],
        "asked_instead": [
            {"instead_of": phrase, **_data(replace(each, near_misses=()), facts)} for phrase, each in result.instead
        ],
        "warnings": warnings,
        "notes": notes,
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _lines(
    result: Segmentation, facts: Mapping[str, Facts], warned: Collection[tuple[str, str]] = (), junk: int = 0
) -> list[str]:
    """A heading and a line a mask; phrases that a mask is `warned` of, as (id, phrase), stand in the warning alone."""
    count = len(result.instances)
    assumed = " (assumed)" if result.assume_present else ""
    compared = " by object score alone" if result.assume_present else ""
    closer = f"; looked at more closely in {result.tiles} tiles" if result.tiles else ""
    lines = [
        f"'{result.prompt.label}' ({result.id}): presence {result.presence:.2f}{assumed}; "
        f"{count} found above the threshold {result.threshold:g}{compared}{closer}"
    ]
    for instance in result.instances:
        untold = {phrase for mask_id, phrase in warned if mask_id == instance.id}
        lines.append(f"  {instance_line(instance, facts[instance.id], named=False, untold=untold)}")
    if result.near_misses or junk:
        more = f"; {junk} junk left out" if junk else ""
        lines.append(f"  near misses, below the threshold ({len(result.near_misses)}{more}):")
        lines += [f"    {instance_line(miss, facts[miss.id], named=False)}" for miss in result.near_misses]
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


def _conflicts(
    results: Sequence[Segmentation], facts: Mapping[str, Facts]
) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """(warnings, what they are about as (id, phrase), notes) on found masks that fit another phrase better, or well."""
    warnings: list[str] = []
    about: list[tuple[str, str]] = []
    notes: list[str] = []
    asked_now = {result.prompt.label for result in results}
    for result in results:
        own = result.prompt.label
        for instance in result.instances:
            for phrase, score in facts[instance.id].concept_scores.items():
                if score < max(_LEAST_CONFLICT, _CONFLICT_SHARE * instance.score) or _nested(own, phrase):
                    continue
                if phrase in asked_now and score > instance.score:
                    continue  # the same object under that phrase says it
                better = score > instance.score
                told = f"fits '{phrase}' better: {score:.2f}" if better else f"also scores {score:.2f} as '{phrase}'"
                (warnings if better else notes).append(f"{instance.id} ('{own}' {instance.score:.2f}) {told}")
                about += [(instance.id, phrase)] if better else []
    return warnings, about, notes


def _nested(first: str, second: str) -> bool:
    """Whether one phrase only narrows the other ('cup', 'red cups', 'yellow thing'), so that both may hold."""
    if is_generic(first) or is_generic(second):
        return True
    one, other = (
        {word[:-1] if word.endswith("s") and len(word) > 3 else word for word in phrase.lower().split()}
        for phrase in (first, second)
    )
    return one <= other or other <= one


def _hint(result: Segmentation, call: Segmented, image: OpenImage, info: ModelInfo) -> str | None:
    """Explain what to make of a concept that was not found: a doubt, an unknown word, or a thing that is absent."""
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
    if result.presence >= _BELIEVED:
        return (
            f"'{concept}': believed to be there ({presence}) but not seen. Look for it in a region, with "
            f"tiles='always', or point at it (segment_at)"
        )
    if result.presence >= _DOUBTED and result.near_misses:
        best = max(result.near_misses, key=lambda miss: miss.object_score)
        return (
            f"'{concept}': in doubt ({presence}), not absent: the best near miss is {best.id}"
            f" (object {best.object_score:.2f}). Look at it before you say no"
        )
    if any(phrase == result.prompt.phrase for phrase, _ in call.instead):
        return (
            f"'{concept}' may be a word that the model does not know: see what was found instead. Take it only if you"
            f" see that it is what '{concept}' means"
        )
    others = alternatives(concept, info) if result.prompt.words_alone else []
    asked = {*call.tried, *(each.prompt.label for each in call.results if not each.instances)}
    failed = [f"'{other}'" for other in others if other in asked]
    also = f", nor as {' or '.join(failed)}" if failed else ""
    small = ", or too small to be seen in the whole: look in a region" if size_hints(image, info) else ""
    if _is_unknown(result, info):
        return f"'{concept}' is no word of this model{also and '; nothing was found' + also.removeprefix(', nor')}"
    return f"'{concept}': not found ({presence}){also}: absent{small}. If you see it in the image, use segment_at"


def _is_unknown(result: Segmentation, info: ModelInfo) -> bool:
    """Whether a phrase that found nothing holds no noun that the model was taught."""
    known, words = known_nouns(info), result.prompt.label.lower()
    if known is None or result.instances or not result.prompt.words_alone:
        return False
    return not known & {words, *words.split()}


def _vocabulary(call: Segmented, info: ModelInfo) -> list[str]:
    """The words that the model knows, where it does not know one and nothing was found under another word for it."""
    found = {each.prompt.label.lower() for each in call.results if each.instances}
    unknown = [each.prompt.label for each in call.results if _is_unknown(each, info)]
    if not unknown or call.instead or any(found & set(alternatives(word, info)) for word in unknown):
        return []
    return [unknown_word_hint(info)]


SEGMENT_CONCEPTS = ToolSpec.of(segment_concepts, present, makes="masks", has_picture=True, shows_masks=True)
