"""The nouns: frozen values that every room shares.

One convention: boxes are absolute xyxy pixels of the original, EXIF-upright image; masks are COCO RLE at original size.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam3_agent.errors import InputError
from sam3_agent.instances import Found as Found
from sam3_agent.instances import ImageView as ImageView
from sam3_agent.instances import Instance as Instance
from sam3_agent.masks import Box, Rle

Outcome = Literal["answered", "no_match", "budget", "failed"]
INTERRUPTED = "interrupted"
"""The reason of a run that Ctrl-C ended; its outcome is "budget"."""
_MOST_REASON = 120
"""Characters of a reason in a repr: it stays on two lines."""
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

    @classmethod
    def of(cls, rows: NDArray[np.float32], segmenter: str) -> "ExemplarTokens":
        """Hold (count, width) rows that the weights of a fingerprint have read."""
        return cls(rows.astype("<f4").tobytes(), rows.shape[0], rows.shape[1], segmenter)

    def __repr__(self) -> str:
        return f"ExemplarTokens({self.count} x {self.width} float32 of {self.segmenter[:12]})"

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
    absent: int = 0
    """Images without the concept that were asked too; then every finding that is no example is false."""
    refused: int = 0
    """Those of them on which nothing was found."""

    def __str__(self) -> str:
        where = "" if self.held_out else ", on the image that it was learned from"
        found = f"finds {self.found} of {self.examples} of your own examples"
        if self.absent:
            return f"{found}, {self.false} false; nothing on {self.refused} of {self.absent} images without it{where}"
        beside = f" on {self.words} other words" if self.words else ""
        return f"{found}, {self.false} false{beside}{where}"

    def to_json(self) -> dict[str, Any]:
        """The same figures by name."""
        return {
            "found": self.found, "examples": self.examples, "false": self.false, "other_words": self.words,
            "images": self.images, "held_out": self.held_out,
            "absent_images": self.absent, "absent_refused": self.refused,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class CanvasExample:
    """Example of a concept to be shown beside an image: a picture of the object with its surroundings."""

    picture: bytes = field(repr=False)
    """JPEG"""
    box: Box
    """The object, xyxy pixels of the picture."""


@dataclass(frozen=True, slots=True)
class CloseUps:
    """Examples of a concept and other things as seen close by, and how alike a finding must be; see `close_ups`."""

    examples: ExemplarTokens
    others: ExemplarTokens | None
    """Of things beside the examples that it must not be; None where there are none."""
    least: float
    """Likeness of which a finding is as likely one as none."""
    spread: float = 0.0
    """Likeness by which the odds of that rise e times; 0: they rise from none to all."""

    def __post_init__(self) -> None:
        if not -2 < self.least < 2 or not 0 <= self.spread < 2:
            raise InputError(f"a likeness is a difference of cosines, got {self.least} and {self.spread}")


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept learned from examples on any images, under a name: it goes wherever a phrase goes, as "@name"."""

    name: str
    phrase: str | None
    """Asked together with the examples, if given."""
    tokens: ExemplarTokens
    """Asked with: pooled from those of the examples."""
    thumbnails: tuple[bytes, ...] = field(default=(), repr=False)
    """JPEG images of the examples, for people."""
    examples: ExemplarTokens | None = None
    """Tokens of every example, positive ones first; None where `tokens` are those."""
    threshold: float = 0.5
    """Score above which it is taken for found where a phrase needs 0.5."""
    least_presence: float = field(default=0.0, kw_only=True)
    """Presence under which nothing of it is found, whatever the scores of objects; see `presence_calibration`."""
    close_ups: CloseUps | None = field(default=None, kw_only=True, repr=False)
    """A second look at each finding; None where examples were too few, or too much like other things, to tell."""
    estimate: ConceptEstimate | None = None
    notes: tuple[str, ...] = ()
    """Remarks of the learning: what was given and left out, and why."""
    canvas: tuple[CanvasExample, ...] = field(default=(), repr=False)
    """Shown beside each image that is asked about, in place of the tokens; empty for a concept of tokens."""

    def __post_init__(self) -> None:
        if not _CONCEPT_NAME.fullmatch(self.name):
            raise InputError(
                f"a concept's name is 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit,"
                f" got {self.name!r}"
            )
        if not 0 < self.threshold < 1:
            raise InputError(f"a concept's threshold lies between 0 and 1, got {self.threshold}")
        if not 0 <= self.least_presence < 1:
            raise InputError(f"a concept's least presence is 0 or more and below 1, got {self.least_presence}")

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
    def by_canvas(self) -> bool:
        """Whether its examples are shown beside the image."""
        return self.learned is not None and bool(self.learned.canvas)

    @property
    def least_presence(self) -> float:
        """Presence below which nothing is found: that of a learned concept, 0 where a box shows one on this image."""
        return 0.0 if self.learned is None or self.exemplars else self.learned.least_presence

    @property
    def words_alone(self) -> bool:
        """Whether nothing but a phrase is asked; only scores of such prompts compare between phrases."""
        return not self.exemplars and self.learned is None


@dataclass(frozen=True, slots=True)
class Segmentation(Found):
    """The answer to one concept prompt on one image: presence ("is it there?") apart from the instances ("where?")."""

    id: str
    image_id: str
    prompt: ConceptPrompt
    presence: float
    threshold: float
    instances: tuple[Instance, ...]
    """Score above the threshold, best first."""
    near_misses: tuple[Instance, ...] = ()
    """Candidates under the threshold, or that a second look refused (`Concept.close_ups`), best first; their ids are as
    good as any other."""
    assume_present: bool = False
    """The threshold was applied to `object_score`, not to `score`."""
    tiles: int = 0
    """Parts that were looked at more closely; 0 for one look at the whole."""
    view: ImageView | None = field(default=None, compare=False)
    """Shows the image in a notebook; a copy in another process only knows its size."""

    def __repr__(self) -> str:
        missed = f"; {len(self.near_misses)} near misses" if self.near_misses else ""
        return f"Segmentation({self.title!r}, presence={self.presence:.2f}, {self._listed()}{missed})"

    @property
    def title(self) -> str:
        """Concept that was asked for."""
        return self.prompt.label


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Selection of the candidates that `Segmenter.detect` returns."""

    threshold: float = 0.5
    """Candidates of a higher score are kept; the default is the one that Meta's processor uses."""
    near_misses: int = 8
    """Candidates returned under the threshold at most; 0 skips decoding them."""
    assume_present: bool = False
    """Apply the threshold to the object score alone; presence is told all the same."""


DETECT_DEFAULTS = DetectOptions()


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
    """Pixels of the square that every image is stretched to."""
    queries: int = 200
    """Instances that it can point at in one look."""
    patch: int = 14
    """Pixels of its square that make one token: what is much smaller is hardly seen."""
    own_words: tuple[str, ...] = ()
    """Phrases that its adapters were trained for."""

    def patch_in(self, width: int, height: int) -> float:
        """Side of one patch in pixels of a (height, width) image seen whole, the mean of across and down."""
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

    def __repr__(self) -> str:
        return f"Trace({len(self.steps)} steps, {len(self.pictures)} pictures)"


@dataclass(frozen=True, slots=True)
class Answer(Found):
    """End of a run; always one of the four outcomes, never an exception."""

    query: str
    outcome: Outcome
    instances: tuple[Instance, ...]
    reason: str
    usage: Usage
    trace: Trace
    view: ImageView | None = field(default=None, compare=False)
    """Shows the image in a notebook; a copy in another process only knows its size."""
    agreement: float | None = None
    """Mean IoU of the answer with each of several runs of the question, 0-1; None where it was asked once."""

    def __repr__(self) -> str:
        reason = self.reason if len(self.reason) <= _MOST_REASON else f"{self.reason[: _MOST_REASON - 3]}..."
        return f"Answer({self.query!r}: {self.outcome}, {self._listed()}; {reason})"

    @property
    def title(self) -> str:
        """Query that was asked."""
        return self.query

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
    """IoU that the model expects of its own mask, 0-1."""


@dataclass(frozen=True, slots=True)
class ClickSegmentation(Found):
    """The answer to one click prompt on one image: the scores are the IoU that the model expects of each mask."""

    id: str
    image_id: str
    prompt: ClickPrompt
    instances: tuple[Instance, ...]
    """The best mask; empty where no candidate had a pixel."""
    near_misses: tuple[Instance, ...] = ()
    """Other readings of the same clicks (a part, the whole), best first; their ids are as good as any other."""
    view: ImageView | None = field(default=None, compare=False)
    """Shows the image in a notebook; a copy in another process only knows its size."""

    def __repr__(self) -> str:
        others = f"; {len(self.near_misses)} other readings" if self.near_misses else ""
        return f"ClickSegmentation({self.title!r}, {self._listed()}{others})"

    @property
    def title(self) -> str:
        """Make-up of the prompt, in words."""
        return self.prompt.label


def check_points(points: tuple[Point, ...], width: int, height: int) -> None:
    """Raise InputError unless every point lies in the image; its border belongs to it."""
    for x, y in points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(f"point {[x, y]} lies outside the {width}x{height} image")
