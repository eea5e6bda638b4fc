"""Detections of one image as they are kept: everything that labels are made of."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.labeling.ontology.ontology import LabelClass
from sam3_agent.masks import Box, Rle, from_json
from sam3_agent.types import Instance

# The shares below were chosen on 320 procedural scenes from seed 920000000, which docs/labeling.md does not measure on.
SAME_IOU = 0.6
"""Two masks of a class that overlap more than this are one object."""
INSIDE = 0.85
"""A mask of which more than this share lies in another one is a part of it; below, touching neighbors would be."""
GROUP_COVER = 0.7
"""A mask is a group when two or more separate detections cover more than this share of it."""
GROUP_RATIO = 0.7
"""... and each of them scores at least this share of what the group scores."""
COMPETING_IOU = 0.5
"""A negative, or another class, is about the same pixels from this overlap on: where COCO begins to match."""
MOST_UNPACKED = 256 * 2**20
"""Bytes of one record when unpacked: a few kB of a stranger's zeros must not become gigabytes."""

Size = tuple[int, int]
"""(height, width) in pixels."""
_T = TypeVar("_T")
_Found = tuple[str, Box, float, float]
"""Run lengths, box, score, object score."""
_FINITE = pydantic.ConfigDict(allow_inf_nan=False)
_PHRASES: pydantic.TypeAdapter[list[tuple[str, float, list[_Found]]]] = pydantic.TypeAdapter(
    list[tuple[str, float, list[_Found]]], config=_FINITE
)
_ANSWER: pydantic.TypeAdapter[tuple[str, str, list[_Found], float]] = pydantic.TypeAdapter(
    tuple[str, str, list[_Found], float], config=_FINITE
)


@dataclass(frozen=True, slots=True)
class Detection:
    """Mask that the model found, with its scores."""

    rle: Rle
    box: Box
    score: float
    object_score: float


@dataclass(frozen=True, slots=True)
class PhraseDetections:
    """Answer to one phrase ("fish", or "@name" for a class's exemplars): everything over the floor, best first."""

    phrase: str
    presence: float
    found: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """Answer of the agent to the query of one class."""

    outcome: str
    reason: str
    found: tuple[Detection, ...]
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """Answers of the model and the agent about one image."""

    sha: str
    by_phrase: Mapping[str, PhraseDetections]
    """By folded phrase."""
    answers: Mapping[str, QueryAnswer]
    """By class name."""
    model: str


def asked_phrases(each: LabelClass) -> tuple[str, ...]:
    """List the phrases of a class, and the name of what its exemplars taught; or what people's decisions taught."""
    if each.taught is not None:
        return (f"@{each.taught.name}",)
    return (*each.phrases, learned_name(each)) if each.exemplars else each.phrases


def learned_name(each: LabelClass) -> str:
    """Name the concept that the exemplars of a class teach, "@this"; any class name will do."""
    return "@" + "".join(c if c.isalnum() else "-" for c in f"class-{each.name}")[:60]


def detection_of(instance: Instance) -> Detection:
    """Take what is kept of an instance; scores to six digits, so that a journal and a run compare."""
    return Detection(instance.rle, instance.box, round(instance.score, 6), round(instance.object_score, 6))


def pack_detections(detections: Sequence[PhraseDetections]) -> bytes:
    """Write the detections of one image as compressed JSON."""
    return _pack([[s.phrase, round(s.presence, 6), [_detection_json(each) for each in s.found]] for s in detections])


def unpack_detections(data: bytes, size: Size) -> list[PhraseDetections]:
    """Read what `pack_detections` wrote; raises InputError where it is damaged."""
    given = _unpack(_PHRASES, data)
    return [PhraseDetections(p, presence, tuple(_detection(f, size) for f in found)) for p, presence, found in given]


def pack_answer(answer: QueryAnswer) -> bytes:
    """Write an answer as compressed JSON."""
    return _pack([answer.outcome, answer.reason, [_detection_json(each) for each in answer.found], answer.usd])


def unpack_answer(data: bytes, size: Size) -> QueryAnswer:
    """Read what `pack_answer` wrote; raises InputError where it is damaged."""
    outcome, reason, found, usd = _unpack(_ANSWER, data)
    return QueryAnswer(outcome, reason, tuple(_detection(f, size) for f in found), usd)


def _detection_json(found: Detection) -> list[Any]:
    return [found.rle.counts, [round(v, 3) for v in found.box], found.score, found.object_score]


def _detection(value: _Found, size: Size) -> Detection:
    counts, box, score, object_score = value
    return Detection(from_json({"size": size, "counts": counts}), box, score, object_score)


def _pack(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)


def _unpack(kind: pydantic.TypeAdapter[_T], data: bytes) -> _T:
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(data, MOST_UNPACKED)
        if unpacking.unconsumed_tail:
            raise ValueError(f"more than {MOST_UNPACKED} bytes when unpacked")
        return kind.validate_json(text)
    except (zlib.error, TypeError, ValueError) as error:  # a ValidationError of pydantic is a ValueError
        raise InputError(
            f"the journal holds a damaged record ({' '.join(str(error).split())[:200]}); "
            "label those images into a new folder"
        ) from error
