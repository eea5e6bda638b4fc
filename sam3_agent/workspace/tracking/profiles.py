"""Profiles: every threshold of association and lifetime as one frozen value.

`SAM3` repeats the released 3.0 code, `SAM31` the heuristics that came with 3.1 (they need no other weights), `PAPER`
the formulas of the paper (SAM 3, arXiv 2511.16719, appendix C.3), `TINY` the same for the embedded model's scores.
One's own is `dataclasses.replace` of one of them.
"""

from dataclasses import dataclass, replace
from typing import Literal

from sam3_agent.errors import InputError

Measure = Literal["iou", "iom"]
"""Intersection over union, or over the smaller of the two masks."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Thresholds in the order in which a frame meets them; overlaps lie in 0..1, lifetimes are frames.

    Raises:
        InputError: a value means nothing.
    """

    name: str
    detection_score: float = 0.5
    """A detection has to score above this."""
    nms: float = 0.1
    """Of two detections of one concept that overlap by more, the worse one is dropped."""
    overlap: Measure = "iou"
    """Measure by which masks are compared in suppression, matching and re-prompting."""
    border: float = 0.0
    """A detection with its center within this share of the sides from the border is dropped (entering, cut off)."""
    match: float = 0.1
    """A detection matches every track that it overlaps by this, and is nothing new then."""
    keep: float = 0.5
    """A track that no detection overlaps by this is unmatched."""
    one_to_one: bool = False
    """Detections and tracks with several partners above `reprompt_overlap` match nothing."""
    new_score: float = 0.7
    """A detection that matches nothing has to reach this to become a track."""
    first_frame_all: bool = True
    """Makes every detection a track where a concept has none at all, whatever `new_score` says."""
    most_tracks: int = 10_000
    """Of all concepts together; beyond it the best new ones are taken."""
    delay: int = 15
    """Frames for which a new track is on trial."""
    unmatched_limit: int = 8
    """On trial: so many unmatched frames remove a track; 0 for never."""
    duplicate_limit: int = 8
    """On trial: matching one detection together with an earlier track so often removes a track."""
    keep_alive: tuple[int, int, int] = (30, 30, -1)
    """(at the start, most, least): +1 in a matched frame, -1 in an unmatched one."""
    hide_unmatched: bool = False
    """Hide a track while its keep-alive count is 0 or less. Off in 3.0, so that such tracks live for ever."""
    masklet_score: bool = False
    """Judge by S, the matched frames less the others: below 0 at the end of the trial removes, later it hides."""
    masklet_miss: float = 1.0
    """Weight in S of a frame in which no detection confirms the track's mask. The paper's 1 asks for a detector that
    finds an object in half of its frames at least."""
    confirm_hits: int = 0
    """Matched frames in a row before a track is shown at all; 0 shows it at once."""
    occlusion_overlap: float = 0.7
    """Of two tracks that overlap by this, the one that was occluded more recently is blanked; 0 for never."""
    shrink: float = 0.3
    """A track left with less than this share of its area where others are more certain is blanked."""
    reprompt_every: int = 16
    """Frames whose number is a multiple of this may re-prompt tracks; 0 for none."""
    reprompt_overlap: float = 0.8
    reprompt_score: float = 0.8
    """Of the detection (at least) and of the track (above)."""
    reprompt_presence: Literal["logit", "probability"] = "logit"
    """Of the track, held against `reprompt_score`; 3.0 compares the logit, which is less strict than it looks."""
    reprompt_box_iou: float = 0.0
    """The best matching detection re-prompts a track whose box has drifted below this IoU; 0 for never."""
    flicker: bool = False
    """At a periodic re-prompt the frame shows the detector's mask, as 3.0 does; otherwise the track's own."""
    dormant_after: int = 0
    """Frames in a row without being shown after which a track is followed no longer, until a new object may be it; 0
    for never, so that the cost of a frame grows with every track there ever was."""
    most_dormant: int = 64
    """Of all concepts together; beyond it the one that was followed longest ago is forgotten, its id stays taken."""
    appearance: float = 0.0
    """Share of its colors that a detection has in common with an absent track, or a track's mask with another track,
    for it to be that one; 0 never asks."""
    cuts: bool = False
    """At a hard cut tracks stop until they are found again; Meta's code does nothing there."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        shares = ("detection_score", "nms", "match", "keep", "new_score", "occlusion_overlap", "shrink", "appearance")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is a share from 0 to 1, got {getattr(self, name)}")
        start, most, least = self.keep_alive
        if not least <= start <= most:
            raise InputError(f"keep_alive is (start, most, least) with least <= start <= most, got {self.keep_alive}")
        if self.dormant_after < 0 or self.most_dormant < 0:
            raise InputError(
                f"dormant_after and most_dormant are 0 or more, got {self.dormant_after} and {self.most_dormant}"
            )
        if self.delay < 0 or not 0 <= self.border < 0.5:
            raise InputError(f"delay is 0 or more and border below a half, got {self.delay} and {self.border}")


SAM3 = Profile("3.0", flicker=True)
"""facebookresearch/sam3 @99d02f2 and transformers' Sam3VideoConfig."""

SAM31 = Profile(
    "3.1",
    detection_score=0.4,
    overlap="iom",
    border=0.025,
    one_to_one=True,
    new_score=0.65,
    first_frame_all=False,
    keep_alive=(0, 8, -4),
    hide_unmatched=True,
    confirm_hits=3,
    reprompt_overlap=0.5,
    reprompt_presence="probability",
)
"""The settings of the multiplex release. There is no support for its weights in this value."""

PAPER = Profile(
    "paper",
    new_score=0.7,
    first_frame_all=False,
    unmatched_limit=0,  # the trial is decided by the masklet score
    masklet_score=True,
    reprompt_presence="probability",
    reprompt_box_iou=0.85,
    dormant_after=30,  # as long as 3.0 keeps a track alive that nothing confirms; the paper names no bound
    cuts=True,
)
"""The default for full-size weights: the paper's formulas, T = 15, ceil(T / 2) = 8 duplicates, N = 16; masks do not
flicker."""

SMALL_MODEL_SCORE = 0.6
"""`new_score` for the embedded model: it scores lower than the full one, for which .7 is made."""

TINY = replace(
    PAPER,
    name="tiny",
    new_score=SMALL_MODEL_SCORE,
    masklet_miss=0.25,
    reprompt_score=0.6,
    appearance=0.7,
)
"""`PAPER` for the embedded model, whose detector finds two thirds of what is there in a frame (and nine of ten of its
detections are right): a track may be missed more often than it is found, and detections correct tracks from .6 on.
Shading moves less than .2 of the pixels of an object to another color, so .7 of them stay in what is seen again."""

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (SAM3, SAM31, PAPER, TINY)}


def profile_for(model: str) -> Profile:
    """The profile that fits a model's scores, by the model's name (an adapter's name after a "+" says nothing)."""
    return TINY if model.partition("+")[0] == TINY.name else PAPER


def profile_of(name: str, *, new_score: float | None = None) -> Profile:
    """The profile of that name; small models score lower and want a `new_score` of their own.

    Raises:
        InputError: there is no such profile.
    """
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; use one of: {', '.join(PROFILES)}")
    return PROFILES[name] if new_score is None else replace(PROFILES[name], new_score=new_score)
