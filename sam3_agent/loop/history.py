"""Conversation as an LLM is shown it: what is old shrinks to a ledger, and the beginning stays the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam3_agent.llm.base import Message, ToolResult
from sam3_agent.masks import Box
from sam3_agent.tools.combine_masks import Combined
from sam3_agent.tools.presentation import marked_picture, picture_line, retold
from sam3_agent.tools.read_presence import PresenceReading
from sam3_agent.tools.segment_at import SegmentedAt
from sam3_agent.tools.segment_concepts import Segmented
from sam3_agent.types import Instance, Segmentation
from sam3_agent.workspace import Workspace

KEPT = 3
"""The latest turns with tool results keep their pictures and words, at least."""
STRIDE = 4
"""Older turns shrink in groups of so many, so that a provider's cache of the beginning is lost rarely."""
_WORDS = 160
SEE_LAST = "picture: see the last of these calls"


@dataclass(frozen=True, slots=True)
class _Marks:
    """Subject of a result's picture: an image, the part of it that is shown, the masks of the call."""

    image_id: str
    region: Box | None
    instances: Sequence[Instance]


def as_shown(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with old results as a ledger: what was tried, how it scored, and no pictures.

    The task with its preview always stays, and so does every word of the LLM. What a message becomes depends only
    on how many turns follow it, so the same conversation always looks the same.
    """
    turns = [index for index, message in enumerate(messages) if message.results]
    old = max(0, (len(turns) - KEPT) // STRIDE * STRIDE)
    shrunk = set(turns[:old])
    return tuple(_shrunk(message) if index in shrunk else message for index, message in enumerate(messages))


def share_pictures(workspace: Workspace, results: Sequence[ToolResult]) -> tuple[ToolResult, ...]:
    """The results of one turn; those that mark the same image share one picture, which the last of them holds.

    It marks all that they found, in the smallest part of the image that holds what each of them showed.
    """
    marks = [_marks(result) for result in results]
    shared = list(results)
    for image_id in {each.image_id for each in marks if each is not None}:
        those = [(index, each) for index, each in enumerate(marks) if each is not None and each.image_id == image_id]
        if len(those) < 2:
            continue
        new = list({instance.id: instance for _, each in those for instance in each.instances}.values())
        picture = marked_picture(workspace, image_id, _hull([each.region for _, each in those]), new)
        *before, (last, _) = those
        for index, _ in before:
            shared[index] = replace(results[index], text=retold(results[index].text, SEE_LAST), pictures=())
        text = retold(results[last].text, picture_line(image_id, picture.caption))
        shared[last] = replace(results[last], text=text, pictures=(picture,))
    return tuple(shared)


def _marks(result: ToolResult) -> _Marks | None:
    """Name what the picture of a result marks; None where it marks nothing new."""
    if len(result.pictures) != 1 or result.is_error:
        return None
    match result.result:
        case Segmented() as found:
            return _Marks(found.image_id, found.region, found.shown)
        case SegmentedAt(result=clicked, region=region):
            return _Marks(clicked.image_id, region, [*clicked.instances, *clicked.near_misses])
        case Combined(image_id=image_id, region=region, instances=instances):
            return _Marks(image_id, region, list(instances))
        case _:
            return None


def _hull(regions: Sequence[Box | None]) -> Box | None:
    """The smallest box around all regions; None, the whole image, where one of them is that."""
    boxes = [region for region in regions if region is not None]
    if len(boxes) < len(regions):
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return (min(left), min(top), max(right), max(bottom))


def _shrunk(message: Message) -> Message:
    return replace(message, results=tuple(_ledger(result) for result in message.results))


def _ledger(result: ToolResult) -> ToolResult:
    """One result in a few lines; its data stays, for LLMs that read it."""
    match result.result:
        case Segmented(results=answers):
            lines = [_concept(answer) for answer in answers]
        case PresenceReading(presence=presence):
            lines = [f"'{phrase}': presence {value:.2f}" for phrase, value in presence.items()]
        case _:
            lines = [_cut(result.text)]
    dropped = [
        f"[picture no longer shown: {_cut(picture.caption)}; call look to see it again]" for picture in result.pictures
    ]
    return replace(result, text="\n".join([*lines, *dropped]), pictures=())


def _concept(answer: Segmentation) -> str:
    """Such as: 'cup': presence 0.97; m1 0.93 at (40, 52), m2 0.90 at (80, 60); near misses m3 0.21."""
    found = ", ".join(_mask(instance) for instance in answer.instances) or "nothing found"
    near = ", ".join(f"{miss.id} {miss.score:.2f}" for miss in answer.near_misses[:4])
    missed = f"; near misses {near}" if near else ""
    return f"'{answer.prompt.label}': presence {answer.presence:.2f}; {found}{missed}"


def _mask(instance: Instance) -> str:
    x0, y0, x1, y1 = instance.box
    return f"{instance.id} {instance.score:.2f} at ({(x0 + x1) / 2:.0f}, {(y0 + y1) / 2:.0f})"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 3] + "..."
