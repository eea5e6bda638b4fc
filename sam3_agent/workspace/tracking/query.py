"""A question about a video: what is to be tracked, where, and how."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.types import ClickPrompt, ConceptPrompt
from sam3_agent.workspace.tracking.profiles import PAPER, Profile

CLICKED = "object"
"""Name of a track that a person pointed at without a word for it."""


@dataclass(frozen=True, slots=True)
class FrameExample:
    """A box on a frame around something to be found in all frames (positive), or not to be taken for it."""

    frame: int
    box: Box
    positive: bool = True


@dataclass(frozen=True, slots=True)
class ExampledConcept:
    """A concept by example boxes on frames, with or without a phrase; it is found on every frame.

    Raises:
        InputError: there is no positive example.
    """

    examples: tuple[FrameExample, ...]
    phrase: str | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing to look for."""
        if not any(example.positive for example in self.examples):
            raise InputError("give at least one positive example box to look for")


@dataclass(frozen=True, slots=True)
class AskedConcept:
    """A prompt that holds on every frame, and what its tracks are called."""

    label: str
    prompt: ConceptPrompt


@dataclass(frozen=True, slots=True)
class ObjectClick:
    """One object, pointed at on a frame; `track_id` names a track that this corrects, None begins a new one.

    A mask alone, without points or a box, is taken as it is: it says where the object is.
    """

    frame: int
    prompt: ClickPrompt
    track_id: str | None = None
    concept: str = CLICKED


@dataclass(frozen=True, slots=True)
class TrackingQuery:
    """A question about a video.

    Raises:
        InputError: nothing is asked, two concepts have one name, or the range, stride or a click's frame is unusable.
    """

    prompts: tuple[AskedConcept, ...]
    """Example boxes are read into tokens beforehand, so that they hold on every frame."""
    clicks: tuple[ObjectClick, ...]
    first: int
    last: int
    """Frames, both included."""
    stride: int = 1
    """The detector is asked in every so many frames; tracks are followed in all of them."""
    reverse: bool = False
    """Concepts are looked for from the last frame to the first one."""
    profile: Profile = field(default=PAPER)

    def __post_init__(self) -> None:
        """Refuse what cannot be answered."""
        if not self.prompts and not self.clicks:
            raise InputError("nothing to track: give a concept such as 'person', an example box, or a click")
        if not 0 <= self.first <= self.last:
            raise InputError(f"the frames to track are a range such as 0-99, got {self.first}-{self.last}")
        if self.stride < 1:
            raise InputError(f"the stride is 1 (every frame) or more, got {self.stride}")
        labels = [asked.label for asked in self.prompts]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"the concept {label!r} is asked for twice")
        for click in self.clicks:
            if not self.first <= click.frame <= self.last:
                raise InputError(f"the click on frame {click.frame} is outside frames {self.first}-{self.last}")

    @property
    def frames(self) -> range:
        """Frames in the order in which concepts are looked for."""
        return range(self.last, self.first - 1, -1) if self.reverse else range(self.first, self.last + 1)

    def detects(self, frame: int) -> bool:
        """Whether the detector is asked on a frame: by stride, and where the profile may correct tracks."""
        start = self.last if self.reverse else self.first
        every = self.profile.reprompt_every
        return abs(frame - start) % self.stride == 0 or (every > 0 and frame % every == 0)

    @property
    def key(self) -> str:
        """16 hex digits that tell equal questions from others."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Everything that decides the answer, as plain values."""
        return {
            "prompts": [_prompt_json(asked) for asked in self.prompts],
            "clicks": [_click_json(click) for click in self.clicks],
            "frames": [self.first, self.last],
            "stride": self.stride,
            "reverse": self.reverse,
            "profile": repr(self.profile),
        }


def _prompt_json(asked: AskedConcept) -> dict[str, Any]:
    learned = asked.prompt.learned
    tokens = hashlib.sha256(learned.tokens.values).hexdigest()[:16] if learned else None
    return {"label": asked.label, "phrase": asked.prompt.phrase, "tokens": tokens}


def _click_json(click: ObjectClick) -> dict[str, Any]:
    prompt = click.prompt
    return {
        "frame": click.frame,
        "points": [list(point) for point in prompt.points],
        "labels": list(prompt.labels),
        "box": None if prompt.box is None else list(prompt.box),
        "mask": None if prompt.mask is None else prompt.mask.to_json(),
        "track": click.track_id,
        "concept": click.concept,
    }
