"""The nouns: frozen values that every room shares.

One convention: boxes are absolute xyxy pixels of the original, EXIF-upright image; masks are COCO RLE at original size.
"""

import bisect
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Box, Rle

Outcome = Literal["answered", "no_match", "budget", "failed"]
INTERRUPTED = "interrupted"
"""The reason of a run that Ctrl-C ended; its outcome is "budget"."""
_CONCEPT_NAME = re.compile(r"[^\W_][\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A box around an example of a concept (positive) or of what it must not be (negative)."""

    box: Box
    positive: bool = True

    def __post_init__(self) -> None:
        check_box(self.box)


@dataclass(frozen=True, slots=True)
class ExemplarTokens:
    """Prompt tokens that a model has read off exemplars, which may be appended to a prompt about any other image."""

    values: bytes
    """(count, width) little-endian float32."""
    count: int
    width: int
    segmenter: str
    """Fingerprint of the weights that read them; to any other weights they mean nothing."""

    def __post_init__(self) -> None:
        if self.count < 1 or len(self.values) != self.count * self.width * 4:
            raise InputError(f"expected {self.count} x {self.width} float32 tokens, got {len(self.values)} bytes")

    @property
    def array(self) -> NDArray[np.float32]:
        """(count, width) float32."""
        return np.frombuffer(self.values, dtype="<f4").reshape(self.count, self.width)


@dataclass(frozen=True, slots=True)
class ConceptEstimate:
    """Estimate of how well a concept is found, from the images of its own examples."""

    found: int
    """Positive examples that were found."""
    examples: int
    """Positive examples that were looked for."""
    false: int
    """Findings on a negative example, or on what one of the other words names."""
    words: int
    """Other words that were asked on the same images."""
    images: int
    held_out: bool
    """Whether each image was asked for what was learned from the others; otherwise the figures flatter."""

    def __str__(self) -> str:
        where = "" if self.held_out else ", on the image that it was learned from"
        return (
            f"finds {self.found} of {self.examples} of your own examples, {self.false} false on {self.words} other"
            f" words{where}"
        )

    def to_json(self) -> dict[str, Any]:
        """The same figures by name."""
        return {
            "found": self.found, "examples": self.examples, "false": self.false, "other_words": self.words,
            "images": self.images, "held_out": self.held_out,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept learned from examples on any images, under a name: it goes wherever a phrase goes, as "@name"."""

    name: str
    phrase: str | None
    """Asked together with the examples, if given."""
    tokens: ExemplarTokens
    """Asked with: pooled from those of the examples."""
    thumbnails: tuple[bytes, ...] = ()
    """JPEG pictures of the examples, for people."""
    examples: ExemplarTokens | None = None
    """Tokens of every example, positive ones first; None where `tokens` are those."""
    threshold: float = 0.5
    """Score above which it is taken for found where a phrase needs 0.5."""
    estimate: ConceptEstimate | None = None
    notes: tuple[str, ...] = ()
    """Remarks of the learning: what was given and left out, and why."""

    def __post_init__(self) -> None:
        if not _CONCEPT_NAME.fullmatch(self.name):
            raise InputError(
                f"a concept's name is 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit,"
                f" got {self.name!r}"
            )
        if not 0 < self.threshold < 1:
            raise InputError(f"a concept's threshold lies between 0 and 1, got {self.threshold}")

    @property
    def example_count(self) -> int:
        """Examples that it was learned from."""
        return (self.examples or self.tokens).count

    def threshold_at(self, asked: float) -> float:
        """Its own threshold, moved as far in log odds as the one asked for lies from 0.5; 0 and 1 stay."""
        if not 0 < asked < 1 or self.threshold == 0.5:
            return asked
        odds = asked / (1 - asked) * self.threshold / (1 - self.threshold)
        return odds / (1 + odds)


@dataclass(frozen=True, slots=True)
class ConceptPrompt:
    """Question about an image: a noun phrase, exemplar boxes on this image, a learned concept, or several of them."""

    phrase: str | None = None
    exemplars: tuple[Exemplar, ...] = ()
    learned: Concept | None = None

    def __post_init__(self) -> None:
        if self.phrase is not None and not self.phrase.strip():
            raise InputError("the concept is empty; give a short noun phrase such as 'yellow school bus'")
        if self.phrase is None and not self.exemplars and self.learned is None:
            raise InputError("a concept needs a phrase, an exemplar box, or both")

    @property
    def label(self) -> str:
        """A learned concept's "@name", else the phrase, or 'exemplar' where there is none."""
        if self.learned is not None:
            return f"@{self.learned.name}"
        return self.phrase if self.phrase is not None else "exemplar"

    @property
    def words_alone(self) -> bool:
        """Whether nothing but a phrase is asked; only scores of such prompts compare between phrases."""
        return not self.exemplars and self.learned is None


@dataclass(frozen=True, slots=True)
class Instance:
    """One object that was found; of a combined mask, the scores are those of its weakest part.

    `score = presence * object_score`, the presence being that of the view in which it was found: the whole picture, or
    the tile that saw it.
    """

    id: str
    """"m7": unique in a workspace, never renumbered."""
    rle: Rle
    box: Box
    score: float
    object_score: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool at original size, decoded anew at each access."""
        return masks.decode(self.rle)

    @property
    def area(self) -> int:
        """Pixels in the mask."""
        return masks.area(self.rle)

    def to_json(self) -> dict[str, Any]:
        """The public JSON of an instance (DESIGN section 5)."""
        return {
            "id": self.id,
            "score": round(self.score, 4),
            "object_score": round(self.object_score, 4),
            "box": [round(v, 2) for v in self.box],
            "area": self.area,
            "mask": self.rle.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The answer to one concept prompt on one image: presence ("is it there?") apart from the instances ("where?")."""

    id: str
    image_id: str
    prompt: ConceptPrompt
    presence: float
    threshold: float
    instances: tuple[Instance, ...]
    """Score above the threshold, best first."""
    near_misses: tuple[Instance, ...] = ()
    """Candidates under the threshold, best first; their ids are as good as any other."""
    assume_present: bool = False
    """The threshold was applied to `object_score`, not to `score`."""
    tiles: int = 0
    """Parts that were looked at more closely; 0 for one look at the whole."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One detection before it gets an id: mask and tight-enough box in original pixels."""

    rle: Rle
    box: Box
    object_score: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Answer of the model to one prompt."""

    presence: float
    kept: tuple[Candidate, ...]
    """presence * object_score > threshold (object_score alone where presence is assumed), best first."""
    near_misses: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Name, device and number format of a model."""

    name: str
    device: str
    dtype: str
    input_side: int = 1008
    """Pixels of the square that every picture is stretched to."""
    queries: int = 200
    """Instances that it can point at in one look."""
    patch: int = 14
    """Pixels of its square that make one token: what is much smaller is hardly seen."""

    def patch_in(self, width: int, height: int) -> float:
        """Side of one patch in pixels of a (height, width) picture seen whole, the mean of across and down."""
        return self.patch * math.sqrt(width * height) / self.input_side

    def to_json(self) -> dict[str, str]:
        """{"name", "device", "dtype"}."""
        return {"name": self.name, "device": self.device, "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class Usage:
    """Cost of a run. Tokens and dollars are 0 for LLMs that use none."""

    turns: int = 0
    llm_calls: int = 0
    encodes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, float]:
        """The public JSON of a usage (DESIGN section 5)."""
        return {
            "turns": self.turns,
            "llm_calls": self.llm_calls,
            "encodes": self.encodes,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "usd": round(self.usd, 6),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a run, as it is written to a trace; `kind` says what `data` holds."""

    kind: str
    seconds: float
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Trace:
    """All events of a run in order."""

    steps: tuple[Step, ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Key -> JPEG file of every picture that the steps name by key; empty unless the run kept them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """End of a run; always one of the four outcomes, never an exception."""

    query: str
    outcome: Outcome
    instances: tuple[Instance, ...]
    reason: str
    usage: Usage
    trace: Trace

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run: the loop turns it into an outcome, a front door turns it back."""
        return (self.outcome, self.reason) == ("budget", INTERRUPTED)


def check_box(box: Box) -> None:
    """Raise InputError unless the box is four finite numbers with x0 < x1 and y0 < y1."""
    if len(box) != 4 or not all(math.isfinite(v) for v in box):
        raise InputError(f"a box is four finite numbers x0,y0,x1,y1 in pixels, got {list(box)}")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"a box needs x0 < x1 and y0 < y1 (xyxy pixels), got {list(box)}")


def clip_box(box: Box, width: int, height: int) -> Box:
    """Clip a box to the image.

    Raises:
        InputError: the box is malformed or lies outside the image.
    """
    check_box(box)
    x0, y0, x1, y1 = box
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise InputError(f"box {list(box)} lies outside the {width}x{height} image")
    return clipped


Point = tuple[float, float]
"""(x, y) pixels of the original."""


@dataclass(frozen=True, slots=True)
class ClickPrompt:
    """Description of one object: points on it or beside it, a box around it, a mask of it to refine, or several of
    these.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[bool, ...] = ()
    """True where a point belongs to the object; left empty, all do."""
    box: Box | None = None
    mask: Rle | None = None

    def __post_init__(self) -> None:
        if not self.points and self.box is None and self.mask is None:
            raise InputError("nothing says which object: give a point on it, a box around it, or a mask to refine")
        if not self.labels:
            object.__setattr__(self, "labels", (True,) * len(self.points))
        if len(self.labels) != len(self.points):
            raise InputError(
                f"each point needs one label (1 on the object, 0 beside it): {len(self.points)} points,"
                f" {len(self.labels)} labels"
            )
        for point in self.points:
            if len(point) != 2 or not all(math.isfinite(v) for v in point):
                raise InputError(f"a point is two finite numbers x,y in pixels, got {list(point)}")
        if self.box is not None:
            check_box(self.box)

    @property
    def label(self) -> str:
        """Name its parts in words: "click", "box + 2 clicks", "mask + click"."""
        count = len(self.points)
        clicks = [] if not count else ["click" if count == 1 else f"{count} clicks"]
        return " + ".join((["mask"] if self.mask else []) + (["box"] if self.box else []) + clicks)


@dataclass(frozen=True, slots=True)
class ClickedMask:
    """One answer to a click prompt before it gets an id."""

    rle: Rle
    box: Box
    """Tight."""
    predicted_iou: float
    """What the model expects of its own mask, 0-1."""


@dataclass(frozen=True, slots=True)
class ClickSegmentation:
    """The answer to one click prompt on one image: the scores are the IoU that the model expects of each mask."""

    id: str
    image_id: str
    prompt: ClickPrompt
    instances: tuple[Instance, ...]
    """The best mask; empty where no candidate had a pixel."""
    near_misses: tuple[Instance, ...] = ()
    """Other readings of the same clicks (a part, the whole), best first; their ids are as good as any other."""


def check_points(points: tuple[Point, ...], width: int, height: int) -> None:
    """Raise InputError unless every point lies in the image; its border belongs to it."""
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(f"point {[x, y]} lies outside the {width}x{height} image")


@dataclass(frozen=True, slots=True)
class VideoHandle:
    """An open video; its frames are named by index, "v1@120" is one of them as an image."""

    id: str
    """"v1"."""
    source: str
    frames: int
    fps: float
    """Mean rate."""
    width: int
    height: int
    duration: float
    """Seconds."""

    def to_json(self) -> dict[str, Any]:
        """The public JSON of a video."""
        return {
            "id": self.id, "source": self.source, "frames": self.frames, "fps": round(self.fps, 4),
            "width": self.width, "height": self.height, "duration": round(self.duration, 4),
        }  # fmt: skip


TrackState = Literal["provisional", "confirmed", "suppressed", "left"]
"""On trial; sure; there but not to be shown in this frame; not to be seen (occluded, outside, or lost at a cut)."""


@dataclass(frozen=True, slots=True)
class TrackFrame:
    """One track in one frame."""

    index: int
    """Of the frame, from 0."""
    rle: Rle
    box: Box
    """Tight xyxy pixels of the mask; zeros where it is empty."""
    score: float
    """The tracker's presence times its predicted mask quality; the detection's score where the track begins."""
    state: TrackState = "confirmed"
    detection: float | None = None
    """Score of the best detection that matched it here; None where there was none."""

    @property
    def visible(self) -> bool:
        """Whether it belongs into what is shown and exported: a mask with a pixel, not suppressed."""
        return self.state in ("provisional", "confirmed") and self.box[2] > self.box[0]


@dataclass(frozen=True, slots=True)
class Track:
    """One object through a video; its id is never given to another one.

    Raises:
        InputError: the frames are not in rising order.
    """

    id: str
    """"t7"."""
    concept: str
    first: int
    """The first frame that knows of it, and the last."""
    last: int
    state: TrackState
    """In its last frame."""
    score: float = 1.0
    """Of the detection that it began with."""
    frames: tuple[TrackFrame, ...] = ()
    """In rising order; frames between them without an entry have no mask."""

    def __post_init__(self) -> None:
        """Refuse frames out of order."""
        if any(one.index >= other.index for one, other in itertools.pairwise(self.frames)):
            raise InputError(f"the frames of track {self.id} are not in rising order")

    @property
    def visible(self) -> tuple[TrackFrame, ...]:
        """The frames in which it is shown."""
        return tuple(frame for frame in self.frames if frame.visible)

    def at(self, index: int) -> TrackFrame | None:
        """The entry of a frame; None where there is none."""
        place = bisect.bisect_left(self.frames, index, key=lambda frame: frame.index)
        return self.frames[place] if place < len(self.frames) and self.frames[place].index == index else None
