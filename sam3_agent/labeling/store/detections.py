"""What the model and the agent said about one image, as it is kept: everything that labels are made of."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import LabelClass
from sam3_agent.masks import Box, Rle, from_json
from sam3_agent.types import Instance

SAME_IOU = 0.6
"""Two masks of a class that overlap more than this are one object."""
INSIDE = 0.85
"""A mask of which more than this share lies in another one is a part of it."""
GROUP_COVER = 0.7
"""A mask is a group when two or more separate finds cover more than this share of it."""
GROUP_RATIO = 0.7
"""... and each of them scores at least this share of what the group scores."""
RIVAL_IOU = 0.5
"""A negative, or another class, is about the same pixels from this overlap on."""


Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One mask that was found."""

    rle: Rle
    box: Box
    score: float
    object_score: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """The answer to one phrase ("fish", or "@name" for a class's exemplars): everything over the floor, best first."""

    phrase: str
    presence: float
    found: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The agent's answer to the query of one class."""

    outcome: str
    reason: str
    found: tuple[Seen, ...]
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageFinds:
    """All that was found on one image."""

    sha: str
    sightings: Mapping[str, Sighting]
    """By folded phrase."""
    answers: Mapping[str, QueryAnswer]
    """By class name."""
    model: str


def asked_phrases(each: LabelClass) -> tuple[str, ...]:
    """The phrases of a class, and the name of what its exemplars taught."""
    return (*each.phrases, learned_name(each)) if each.exemplars else each.phrases


def learned_name(each: LabelClass) -> str:
    """What the exemplars of a class teach is asked for as "@this"; any class name will do."""
    return "@" + "".join(c if c.isalnum() else "-" for c in f"class-{each.name}")[:60]


def seen_of(instance: Instance) -> Seen:
    """The part of an instance that is kept; scores to six digits, so that a journal and a run compare."""
    return Seen(instance.rle, instance.box, round(instance.score, 6), round(instance.object_score, 6))


def pack_sightings(sightings: Sequence[Sighting]) -> bytes:
    """Sightings of one image as compressed JSON."""
    return _pack([[s.phrase, round(s.presence, 6), [_seen_json(each) for each in s.found]] for s in sightings])


def unpack_sightings(data: bytes, size: Size) -> list[Sighting]:
    """What `pack_sightings` packed."""
    return [Sighting(p, presence, tuple(_seen(f, size) for f in found)) for p, presence, found in _unpack(data)]


def pack_answer(answer: QueryAnswer) -> bytes:
    """An answer as compressed JSON."""
    return _pack([answer.outcome, answer.reason, [_seen_json(each) for each in answer.found], answer.usd])


def unpack_answer(data: bytes, size: Size) -> QueryAnswer:
    """What `pack_answer` packed."""
    outcome, reason, found, usd = _unpack(data)
    return QueryAnswer(outcome, reason, tuple(_seen(f, size) for f in found), usd)


def _seen_json(seen: Seen) -> list[Any]:
    return [seen.rle.counts, [round(v, 3) for v in seen.box], seen.score, seen.object_score]


def _seen(value: Sequence[Any], size: Size) -> Seen:
    counts, box, score, object_score = value
    return Seen(from_json({"size": size, "counts": counts}), cast(Box, tuple(box)), score, object_score)


def _pack(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)


def _unpack(data: bytes) -> Any:
    try:
        return json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise InputError(
            f"the journal holds a damaged record ({error}); label those images into a new folder"
        ) from error
