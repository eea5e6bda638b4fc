"""A result -> what a reader gets: text, pictures and data with the same facts, in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam3_agent.masks import Box
from sam3_agent.render import Picture
from sam3_agent.tools.formatting import instance_data, instance_line, percent
from sam3_agent.tools.results import (
    Combined,
    Exported,
    Forgotten,
    Learned,
    Listing,
    Looked,
    NoMatch,
    PresenceReading,
    Result,
    Segmented,
    SegmentedAt,
    Submission,
)
from sam3_agent.types import ClickSegmentation, Instance, ModelInfo, Segmentation
from sam3_agent.workspace import Facts, Measurement, MeasurementTable, OpenImage, Workspace

_CONFLICT_SHARE = 0.5
"""A second concept counts as a conflict from this share of the first one's score."""
_LEAST_CONFLICT = 0.25
_LOW_PRESENCE = 0.5
_GOOD_OBJECT = 0.5
_DOUBTFUL_CLICK = 0.7
"""An expected IoU below this is worth a correction."""

_LARGE = 2
"""A picture is large from so many times the model's own side on."""


def size_hints(image: OpenImage, info: ModelInfo) -> list[str]:
    """What the model hardly sees in a picture much larger than what it is shown."""
    if max(image.width, image.height) < _LARGE * info.input_side:
        return []
    side = info.patch_in(image.width, image.height)
    return [
        f"the picture is large for the model, which hardly sees what is under {side:.0f} pixels a side in it: look for "
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
    """What to try where clicks gave nothing, or a mask that the model itself doubts."""
    if not result.instances:
        return ["no mask came of it. Put a point deeper inside the object, or draw a tight box around it"]
    best = result.instances[0]
    if best.score >= _DOUBTFUL_CLICK:
        return []
    return [
        f"the model doubts {best.id}. Look at it; add a point (label 1 or 0) with mask_id {best.id}, or give a"
        f" tight box"
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


_CROWD = 40
"""With more masks on an image than this, a picture shows only those of the call."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """Text for a model or a person, the same facts as JSON-able data without RLE or base64, and pictures."""

    text: str
    data: dict[str, Any]
    pictures: tuple[Picture, ...] = ()


def present(workspace: Workspace, result: Result) -> Presentation:
    """Put a result into words, data and pictures."""
    match result:
        case OpenImage():
            return _opened(workspace, result)
        case Segmented():
            return _segmented(workspace, result)
        case SegmentedAt():
            return _segmented_at(workspace, result)
        case Learned():
            return _learned(result)
        case PresenceReading():
            return _presence(result)
        case Combined():
            return _combined(workspace, result)
        case MeasurementTable():
            return _measured(result)
        case Looked():
            return _looked(result)
        case Submission():
            return _submitted(workspace, result)
        case NoMatch():
            text = f"No match reported. Reason: {result.reason or 'none given'}"
            return Presentation(text, {"outcome": "no_match", "reason": result.reason})
        case Exported():
            data = {"format": result.format, "mask_ids": list(result.mask_ids), "paths": list(result.paths)}
            files = ", ".join(result.paths[:20]) + (", ..." if len(result.paths) > 20 else "")
            return Presentation(f"wrote {len(result.mask_ids)} masks as {result.format} to {files}", data)
        case Forgotten():
            return Presentation(f"{result.image_id} and its masks are freed.", {"image_id": result.image_id})
        case Listing():
            return _listed(result)


def _opened(workspace: Workspace, image: OpenImage) -> Presentation:
    info = workspace.info
    picture, hints = workspace.look(image.id, style="plain"), size_hints(image, info)
    lines = [
        f"{image.id}: {image.width}x{image.height} pixels, {image.source}. "
        f"Seen by {info.name} ({info.device}, {info.dtype}).",
        *(f"hint: {line}" for line in hints),
        f"preview: {picture.caption}",
    ]
    data = {
        "image_id": image.id,
        "width": image.width,
        "height": image.height,
        "source": image.source,
        "model": info.to_json(),
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _segmented(workspace: Workspace, result: Segmented) -> Presentation:
    shown = [instance for each in result.results for instance in (*each.instances, *each.near_misses)]
    facts = _facts_by_id(workspace, shown)
    warnings, hints = warnings_for(result.results, facts), hints_for(result.results)
    picture = _picture_of(workspace, result.image_id, result.region, [instance.id for instance in shown])
    lines = [line for each in result.results for line in _segmentation_lines(each, facts)]
    lines += [f"warning: {line}" for line in warnings] + [f"hint: {line}" for line in hints]
    lines.append(f"picture of {result.image_id}: {picture.caption}")
    data = {
        "image_id": result.image_id,
        "threshold": result.threshold,
        "results": [_segmentation_data(each, facts) for each in result.results],
        "warnings": warnings,
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _segmented_at(workspace: Workspace, result: SegmentedAt) -> Presentation:
    found = result.result
    shown = [*found.instances, *found.near_misses]
    facts = _facts_by_id(workspace, shown)
    picture = _picture_of(workspace, found.image_id, result.region, [instance.id for instance in shown])
    hints = click_hints(found)
    lines = [f"{_asked_at(found)} ({found.id}): {len(found.instances)} found; scores are the overlap (IoU) expected"]
    lines += [f"  {instance_line(instance, facts[instance.id])}" for instance in found.instances]
    if found.near_misses:
        lines.append(f"  other readings of the same clicks ({len(found.near_misses)}):")
        lines += [f"    {instance_line(instance, facts[instance.id])}" for instance in found.near_misses]
    lines += [f"hint: {line}" for line in hints] + [f"picture of {found.image_id}: {picture.caption}"]
    data = {
        "image_id": found.image_id,
        "segmentation_id": found.id,
        "asked": _asked_at(found),
        "instances": [instance_data(instance, facts[instance.id]) for instance in found.instances],
        "near_misses": [instance_data(instance, facts[instance.id]) for instance in found.near_misses],
        "hints": hints,
    }
    return Presentation("\n".join(lines), data, (picture,))


def _asked_at(found: ClickSegmentation) -> str:
    """What was pointed at: "on (40, 60), not on (90, 20), in box [0, 0, 80, 80], from a mask"."""
    prompt = found.prompt
    parts = [
        f"{'on' if label else 'not on'} ({x:g}, {y:g})"
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True)
    ]
    parts += [f"in box [{', '.join(f'{v:g}' for v in prompt.box)}]"] if prompt.box is not None else []
    parts += ["from a mask"] if prompt.mask is not None else []
    return ", ".join(parts)


def _facts_by_id(workspace: Workspace, instances: list[Instance]) -> dict[str, Facts]:
    ids = list(dict.fromkeys(instance.id for instance in instances))
    return dict(zip(ids, workspace.facts(ids), strict=True))


def _picture_of(workspace: Workspace, image_id: str, region: Box | None, new: list[str]) -> Picture:
    """All found masks that are alive, and the near misses of this call."""
    alive = [instance.id for instance in workspace.masks_of(image_id, near_misses=False)]
    ids = list(dict.fromkeys([*alive, *new])) if len(alive) + len(new) <= _CROWD else new
    return workspace.look(image_id, ids, region, "marks" if ids else "plain")


def _segmentation_lines(result: Segmentation, facts: dict[str, Facts]) -> list[str]:
    concept = result.prompt.label
    count = len(result.instances)
    assumed = " (assumed)" if result.assume_present else ""
    compared = " by object score alone" if result.assume_present else ""
    closer = f"; looked at more closely in {result.tiles} tiles" if result.tiles else ""
    lines = [
        f"'{concept}' ({result.id}): presence {result.presence:.2f}{assumed}; "
        f"{count} found above the threshold {result.threshold:g}{compared}{closer}"
    ]
    lines += [f"  {instance_line(instance, facts[instance.id])}" for instance in result.instances]
    if result.near_misses:
        lines.append(f"  near misses, below the threshold ({len(result.near_misses)}):")
        lines += [f"    {instance_line(instance, facts[instance.id])}" for instance in result.near_misses]
    return lines


def _segmentation_data(result: Segmentation, facts: dict[str, Facts]) -> dict[str, Any]:
    return {
        "segmentation_id": result.id,
        "concept": result.prompt.label,
        "presence": round(result.presence, 3),
        "presence_assumed": result.assume_present,
        "tiles": result.tiles,
        "instances": [instance_data(instance, facts[instance.id]) for instance in result.instances],
        "near_misses": [instance_data(instance, facts[instance.id]) for instance in result.near_misses],
    }


def _presence(result: PresenceReading) -> Presentation:
    lines = [f"presence on {result.image_id}:"]
    lines += [f"  '{phrase}': {value:.2f}" for phrase, value in result.presence.items()]
    lines += [f"hint: {line}" for line in presence_hint(result.presence)]
    rows = [{"concept": phrase, "presence": round(value, 3)} for phrase, value in result.presence.items()]
    return Presentation("\n".join(lines), {"image_id": result.image_id, "results": rows})


def _learned(result: Learned) -> Presentation:
    concept = result.concept
    words = f", asked with the phrase '{concept.phrase}'" if concept.phrase else ""
    count = concept.tokens.count
    text = (
        f"learned '@{concept.name}' from {count} example{'' if count == 1 else 's'}{words}. "
        f"Use '@{concept.name}' as a concept on any image."
    )
    return Presentation(text, {"concept": f"@{concept.name}", "phrase": concept.phrase or "", "examples": count})


def _combined(workspace: Workspace, result: Combined) -> Presentation:
    instance = result.instance
    image_id = workspace.image_of(instance.id)
    facts = workspace.facts([instance.id])[0]
    picture = workspace.look(image_id, [instance.id])
    text = (
        f"new mask on {image_id}, {result.operation} of {', '.join(result.sources)}:\n"
        f"  {instance_line(instance, facts)}\npicture: {picture.caption}"
    )
    data = {
        "image_id": image_id,
        "operation": result.operation,
        "sources": list(result.sources),
        "mask": instance_data(instance, facts),
    }
    return Presentation(text, data, (picture,))


def _measured(table: MeasurementTable) -> Presentation:
    lines = [f"{len(table.rows)} masks of {table.image_id}, ordered by {table.order_by}:"]
    lines += [_measurement_line(row) for row in table.rows]
    if not table.rows:
        lines.append("  none; segment something first, or name near misses by mask_ids")
    lines += ["rules:"] + [f"  {name}: {rule}" for name, rule in table.rules.items()]
    rows = [_measurement_data(row) for row in table.rows]
    data = {"image_id": table.image_id, "order_by": table.order_by, "masks": rows, "rules": table.rules}
    return Presentation("\n".join(lines), data)


def _measurement_line(row: Measurement) -> str:
    ranks, nearest = row.ranks, row.nearest
    parts = [
        f"  {instance_line(row.instance, row.facts)}",
        f"rank {ranks.left_to_right} from the left, {ranks.top_to_bottom} from the top, {ranks.largest_first} by size",
    ]
    parts += [f"contains {', '.join(row.contains)}"] if row.contains else []
    parts += [f"inside {', '.join(row.inside)}"] if row.inside else []
    parts += [f"nearest {nearest.id} at {nearest.distance:.0f} px"] if nearest is not None else []
    return "; ".join(parts)


def _measurement_data(row: Measurement) -> dict[str, Any]:
    ranks, nearest = row.ranks, row.nearest
    return instance_data(row.instance, row.facts) | {
        "ranks": {
            "left_to_right": ranks.left_to_right,
            "top_to_bottom": ranks.top_to_bottom,
            "largest_first": ranks.largest_first,
        },
        "contains": list(row.contains),
        "inside": list(row.inside),
        "nearest": {"id": nearest.id, "distance": round(nearest.distance, 1)} if nearest is not None else {},
    }


def _looked(result: Looked) -> Presentation:
    data = {
        "image_id": result.image_id,
        "mask_ids": list(result.mask_ids),
        "region": list(result.region) if result.region is not None else [],
        "scale": round(result.picture.scale, 5),
        "style": result.style,
    }
    return Presentation(f"{result.image_id}: {result.picture.caption}", data, (result.picture,))


def _submitted(workspace: Workspace, result: Submission) -> Presentation:
    ids = [instance.id for instance in result.instances]
    areas = [instance.area for instance in result.instances]
    image = workspace.image(result.image_id)
    size = image.width * image.height
    parts = ", ".join(f"{i} ({area} px, {percent(area / size)})" for i, area in zip(ids, areas, strict=True))
    picture = workspace.look(result.image_id, ids)
    text = f"Answer submitted: {parts}. Reason: {result.reason or 'none given'}\npicture: {picture.caption}"
    data = {"outcome": "answered", "mask_ids": ids, "areas": areas, "reason": result.reason}
    return Presentation(text, data, (picture,))


def _listed(result: Listing) -> Presentation:
    rows = [
        {"image_id": image.id, "width": image.width, "height": image.height, "source": image.source, "masks": count}
        for image, count in result.images
    ]
    lines = [
        f"{row['image_id']}: {row['width']}x{row['height']}, {row['masks']} masks, {row['source']}" for row in rows
    ]
    return Presentation("\n".join(lines) or "no image is open; call open_image", {"images": rows})
