"""Second attempts where a run found nothing: rival answers by other phrases and by boxes, in a tournament.

One call proposes phrases and boxes; all phrases are segmented together on features that are there already, boxes as
clicks. What they find are rival answers. Each is compared with the best so far in both orders (see `Judge.better`), and
the one that is left must pass the judge, so that an honest "no match" stays one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sam3_agent import masks
from sam3_agent.errors import ToolError
from sam3_agent.llm.base import Message
from sam3_agent.loop.dialogue import picture_json
from sam3_agent.loop.judge import Judge, force_call
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.run import Run
from sam3_agent.masks import Box
from sam3_agent.tools import ToolSpec
from sam3_agent.workspace import Workspace

MOST_PHRASES, MOST_BOXES = 4, 4
MOST_RIVALS = 5
"""Answers in the tournament; each costs two calls."""
SAME_ANSWER = 0.9
"""IoU from which on two answers mean the same objects, as in `votes.AGREE`."""
NEAR_BOX = 0.5
"""IoU of a box with that of a mask from which on the box means it, where the model knows no clicks."""
LONGEST = 1024
"""Longest side of the picture in pixels, as the judge's."""


class ProposeCandidates(BaseModel):
    """Propose phrases and boxes that may find what the query means; both empty where nothing is meant."""

    model_config = ConfigDict(extra="forbid")

    phrases: Annotated[Sequence[str], Field(description="Up to four short noun phrases for what the query means.")] = ()
    boxes: Annotated[
        Sequence[Sequence[float]], Field(description="A box [x0, y0, x1, y1] in pixels around each thing meant.")
    ] = ()


PROPOSE = ToolSpec.from_model("propose_candidates", ProposeCandidates)


@dataclass(frozen=True, slots=True)
class Rival:
    """One possible answer."""

    ids: tuple[str, ...]
    words: str
    """Origin: the phrase or box that found it."""


def second_attempt(run: Run, reason: str) -> Rival | None:
    """Propose, compare, judge; None where nothing that was proposed passes.

    Raises:
        Stopped: the run was told to stop.
    """
    workspace, image_id = run.workspace, run.task.image_id
    prompt, picture = read_prompt("rescue"), workspace.look(image_id, style="plain", longest=LONGEST)
    text = f"{run.task.text(picture.scale)}\nthe answer was: no match; {reason or 'no reason given'}"
    messages = [Message("system", prompt.text), Message("user", text, (picture,))]
    run.record("rescue", 0.0, rescue=prompt.id, text=text, pictures=[picture_json(picture, run.keep(picture))])
    given = force_call(partial(run.ask, kind="proposal"), messages, PROPOSE)
    if isinstance(given, str):
        return None
    fields = given.model_dump()
    rivals = rivals_of(workspace, image_id, fields["phrases"], fields["boxes"])
    judge = Judge("strict")
    best = tournament(rivals, lambda first, second: tuple(judge.better(run, second, first)) == tuple(first))
    if best is None:
        return None
    verdict = judge.judge(run, best.ids, best.words)
    passes = verdict.passes and not verdict.missing_because
    run.record("rescued", 0.0, rivals=[each.words for each in rivals], best=best.words, passes=passes)
    return best if passes else None


def tournament(rivals: Sequence[Rival], stays: Callable[[Sequence[str], Sequence[str]], bool]) -> Rival | None:
    """Let each challenger meet the best so far; `stays` tells whether the first of two answers is to stay."""
    best: Rival | None = None
    for each in rivals:
        if best is None or not stays(best.ids, each.ids):
            best = each
    return best


def rivals_of(
    workspace: Workspace, image_id: str, phrases: Sequence[str], boxes: Sequence[Sequence[float]]
) -> list[Rival]:
    """Find the answers that boxes and phrases give, each once, the surest first: boxes, then phrases as given."""
    found: list[Rival] = []
    by_box = tuple(dict.fromkeys(i for box in boxes[:MOST_BOXES] for i in _in_box(workspace, image_id, box)))
    if by_box:
        found.append(Rival(by_box, "the box"))
    for phrase in list(dict.fromkeys(" ".join(p.split()) for p in phrases if p.strip()))[:MOST_PHRASES]:
        ids = _by_phrase(workspace, image_id, phrase)
        if ids:
            found.append(Rival(ids, f"the phrase '{phrase}'"))
        if len(ids) > 1:
            found.append(Rival(ids[:1], f"the surest find of '{phrase}'"))
    distinct: list[Rival] = []
    for each in found:
        if not any(_overlap(workspace, each.ids, other.ids) >= SAME_ANSWER for other in distinct):
            distinct.append(each)
    return distinct[:MOST_RIVALS]


def _by_phrase(workspace: Workspace, image_id: str, phrase: str) -> tuple[str, ...]:
    """Ids of what a phrase finds, best first; nothing for one that no model takes."""
    try:
        (answer,) = workspace.segment(image_id, [phrase], tiles="never")
    except ToolError:
        return ()
    return tuple(each.id for each in answer.instances)


def _in_box(workspace: Workspace, image_id: str, given: Sequence[float]) -> list[str]:
    """The mask that a box means: by clicks, or the known one that lies there where the model knows none."""
    if len(given) != 4:
        return []
    box: Box = (given[0], given[1], given[2], given[3])
    try:
        return [each.id for each in workspace.segment_at(image_id, box=box).instances]
    except ToolError:
        known = workspace.masks_of(image_id)
        near = [(_box_iou(each.box, box), each.id) for each in known]
        return [max(near)[1]] if near and max(near)[0] >= NEAR_BOX else []


def _box_iou(one: Box, other: Box) -> float:
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


def _overlap(workspace: Workspace, one: Sequence[str], other: Sequence[str]) -> float:
    unions = [masks.union([workspace.instance(i).rle for i in ids]) for ids in (one, other)]
    return float(masks.iou(unions[:1], unions[1:])[0, 0])
