"""Meta's agent protocol, re-created for comparison only, with the same perfect LLM and the same model.

As in facebookresearch/sam3 at 99d02f2: a system prompt of 66,050 characters with every call; one phrase a call, each
with its own encode; earlier masks are deleted; then each mask is verified in a call of its own that sends three
pictures and a second prompt of 5,851 characters; then the answer is selected from the masks of that one phrase.
Pictures go out at full resolution. What the model writes is counted at its shortest, without any of the prose that
the prompt demands, so that the figures favor this protocol.
"""

from dataclasses import dataclass

from benchmarks.loop.perfect_llm import Bill, Box, choose, fallbacks_for, head_of, phrases_for
from sam3_agent.scenes import SUPERCATEGORY_PHRASE, Query, Scene, SceneObject
from sam3_agent.types import Instance
from sam3_agent.workspace import Workspace

SYSTEM, VERIFYING = 66_050, 5_851
"""Characters of the two system prompts."""
SEGMENT_CALL, SELECT_CALL, TOLD = 90, 70, 220
"""Characters of a call to segment, of one to select, and of what the loop says with a picture."""
ZOOM = (610, 341)
"""Pixels of the close-up that goes with each verification."""


@dataclass(frozen=True)
class Outcome:
    """The masks of the answer, and its price with each mask verified and with none."""

    instances: list[Instance]
    verified: Bill
    unverified: Bill


def run_meta(workspace: Workspace, scene: Scene, query: Query) -> Outcome:
    """Answer one query. The image is opened anew for every phrase, as the original sets it anew."""
    targets = [obj for obj in scene.objects if obj.id in query.target_ids]
    size = (scene.width, scene.height)
    plain, verified = Bill(), Bill()
    asked = len(query.text) + TOLD
    found: list[Instance] = []
    for number, phrase in enumerate(_phrases(targets, query)):
        _charge((plain, verified), SYSTEM + asked, [size] if number == 0 or not found else [size, size])
        image = workspace.open(scene.image)
        [result] = workspace.segment(image.id, [phrase], tiles="never")
        found = list(result.instances)
        workspace.forget(image.id)
        plain.encodes += 1
        verified.encodes += 1
        asked += SEGMENT_CALL + TOLD
        boxes: dict[str, Box] = {instance.id: instance.box for instance in found}
        if targets and all(choose(obj.box, boxes) for obj in targets):
            break
    for _ in found:
        verified.charge(VERIFYING + asked, [size, size, ZOOM])
    shown = [size, size] if found else [size]
    if found:  # the survivors are drawn again before the selection
        verified.charge(SYSTEM + asked + TOLD, shown)
    _charge((plain, verified), SYSTEM + asked + SELECT_CALL, shown)
    boxes = {instance.id: instance.box for instance in found}
    chosen = {choose(obj.box, boxes) for obj in targets}
    return Outcome([instance for instance in found if instance.id in chosen], verified, plain)


def _phrases(targets: list[SceneObject], query: Query) -> list[str]:
    """One phrase that covers all targets, then more general ones: the answer must come from a single call."""
    if not targets:
        return [head_of(query.text)]
    nouns = phrases_for(targets)
    kinds = list(dict.fromkeys(SUPERCATEGORY_PHRASE[obj.supercategory] for obj in targets))
    first = nouns if len(nouns) == 1 else kinds if len(kinds) == 1 else []
    rest = [phrase for phrase in fallbacks_for(targets) if len(nouns) == 1 or phrase == "object"]
    return list(dict.fromkeys([*first, *rest, "object"]))[:3]


def _charge(bills: tuple[Bill, ...], characters: int, pictures: list[tuple[int, int]]) -> None:
    for bill in bills:
        bill.charge(characters, pictures)
