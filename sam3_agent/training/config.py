"""Configuration of a training run, stage by stage."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sam3_agent.scenes.options import PLAIN_OBJECTS


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training at one input size."""

    name: str
    kind: Literal["dense", "ground", "prompts", "clicks", "tracker"]
    image_size: int
    """Pixels; 0: that of the weights that the run starts from."""
    steps: int
    images: int
    """Images, or clips, per rank and step."""
    prompts: int = 0
    """Prompts per image (prompt stages), or objects per image at most (clicks), or per clip (tracker)."""
    peak_rate: float = 1e-3
    end_rate: float = 1e-5
    flat: float = 0.3
    """Share of the stage at the peak rate, before a cosine to the end rate."""
    warm_up: int = 100
    pretrained_share: float = 1.0
    """Rate of backbone and text encoder, relative to the rest."""
    plain_objects: float = PLAIN_OBJECTS
    """Share of the objects that wear no pattern; at a fourth every pattern, plain included, is as frequent."""
    least_objects: int = 1
    """Objects of a scene at least, where that many find a place."""
    learns: tuple[str, ...] = ()
    """Beginnings of the names of the parameters that learn; the rest is frozen. Empty: everything learns."""
    mask_share: float = 1.0
    """Weight of the mask terms, relative to `LossWeights`."""
    unnamed: float = 0.0
    """Chance that a scene shows a kind of unnamed shape; the scenes of a batch share two kinds."""
    lent: float = 0.1
    """Share of the prompts whose exemplars come from another scene."""
    lent_present: float = 0.75
    """Share of these that ask for what the scene holds, where any noun is shared."""
    pooled: float = 0.0
    """Share of these that ask with the mean of one to eight examples, as a learned concept does."""
    worn: float = 0.0
    """Share of the prompts that ask for a noun in a pattern, half of them in one that it does not wear here."""
    stills: float = 0.0
    """Share of the scenes that are stills of clips, whose objects leave the image and pass behind each other."""
    parts: float = 0.0
    """Share of the others of which a window is shown, as a tile sees it."""
    goes_on: bool = False
    """Whether clicks or tracker start as they are in the weights that the run starts from, instead of afresh."""


TELL_PATTERNS = Stage(
    "patterns", "dense", 224, 650, images=10, peak_rate=8e-4, end_rate=2e-4, warm_up=40, flat=0.6, plain_objects=0.25
)
"""Stripes, dots and checks are the last thing that a backbone learns, and only from many of them."""
FINISH = Stage(
    "finish", "prompts", 224, 1380, images=5, prompts=6, peak_rate=4e-4, end_rate=3e-6, flat=0.1, pretrained_share=0.6
)
FINISH_PATTERNS = replace(FINISH, steps=800, images=6, prompts=5, plain_objects=0.4, pretrained_share=0.8)
DETECTING = ("detr_decoder.", "dot_product_scoring.", "mask_decoder.")
"""Parts after the DETR encoder: they learn alone, nothing before it needs gradients."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A whole run; everything that decides its result, so that the same values give the same weights."""

    seed: int = 1
    ranks: int = 2
    """Batches of a step, each drawn by itself; gradients are averaged. On a CPU each has a process of its own."""
    device: str = "cpu"
    """On "cuda" and "mps" one process learns from all ranks' batches in turn."""
    weight_decay: float = 0.02
    clip: float = 3.0
    min_side: int = 256
    max_side: int = 480
    """Pixels of the longer side of training scenes before they are squashed to the input size."""
    kept: float = 0.5
    """Share of their former weights in the parts that an export of some parts replaces."""
    stages: tuple[Stage, ...] = (
        Stage("dense", "dense", 128, steps=2000, images=12, flat=0.6, end_rate=3e-4),
        Stage("ground", "ground", 128, steps=700, images=6, prompts=8, pretrained_share=0.3, flat=0.8, end_rate=5e-4),
        Stage("prompts", "prompts", 160, steps=2000, images=5, prompts=8, end_rate=5e-4, pretrained_share=0.3),
        Stage("sharpen", "prompts", 192, steps=1500, images=5, prompts=6, peak_rate=5e-4, flat=1, pretrained_share=0.6),
        TELL_PATTERNS,
        FINISH_PATTERNS,
    )

    @property
    def processes(self) -> int:
        """That learn together."""
        return self.ranks if self.device == "cpu" else 1

    def to_json(self) -> dict[str, Any]:
        """Plain values, as kept in checkpoints and the model card."""
        return asdict(self)


def _going_on(run: TrainConfig, seed: int, **stage: Any) -> TrainConfig:
    """The run of one stage with another seed and other values in its stage."""
    return replace(run, seed=seed, stages=tuple(replace(each, **stage) for each in run.stages))


TINY = TrainConfig()
LONGER = replace(
    TINY,
    seed=2,
    stages=(
        Stage("prompts", "prompts", 160, steps=500, images=5, prompts=8, peak_rate=6e-4, flat=1, pretrained_share=0.5),
        Stage("sharpen", "prompts", 192, steps=900, images=5, prompts=6, peak_rate=5e-4, flat=1, pretrained_share=0.6),
        FINISH,
    ),
)
"""Goes on from exported weights (`--start-from`) at more pixels."""
PATTERNS = replace(TINY, seed=4, stages=(TELL_PATTERNS, FINISH_PATTERNS))
"""Goes on from exported weights whose backbone does not tell stripes, dots and checks apart."""
CROWDED = replace(
    TINY,
    seed=6,
    ranks=1,
    stages=(
        Stage(
            "crowded",
            "prompts",
            224,
            steps=300,
            images=4,
            prompts=5,
            peak_rate=4e-4,
            flat=0.3,
            end_rate=2e-6,
            warm_up=15,
            plain_objects=0.4,
            least_objects=5,
            learns=DETECTING,
        ),
    ),
)
"""Goes on from exported weights: decoder, scores and masks on crowded scenes; all else stays as it is."""
UNNAMED = _going_on(
    CROWDED,
    seed=7,
    name="unnamed",
    steps=900,
    prompts=4,
    learns=("geometry_encoder.", "detr_encoder.", "vision_encoder.neck.fpn_layers.0.", *DETECTING),
    mask_share=2.0,
    unnamed=0.6,
    lent=0.3,
    lent_present=0.55,
    pooled=0.6,
)
"""Goes on from exported weights: all after the backbone, on scenes with shapes that only examples can ask for, half of
which are not there; and masks, with the neck's level that nothing else reads."""
WORN = replace(
    _going_on(
        UNNAMED,
        seed=9,
        name="worn",
        image_size=0,
        steps=700,
        peak_rate=3e-4,
        flat=0.2,
        plain_objects=0.5,
        unnamed=0.4,
        lent=0.2,
        worn=0.25,
    ),
    min_side=300,
    max_side=560,
)
"""Goes on from exported weights at their input size: what `unnamed` teaches, and whether a noun wears a pattern. Not
embedded: patterns gained what all else lost (docs/training.md)."""
CUT_OFF = _going_on(
    UNNAMED,
    seed=12,
    name="cut-off",
    image_size=0,
    steps=800,
    peak_rate=3e-4,
    flat=0.25,
    least_objects=4,
    plain_objects=0.45,
    unnamed=0.5,
    lent=0.25,
    stills=0.45,
    parts=0.35,
)
"""Goes on from exported weights at their input size: what `unnamed` teaches, and objects that the border cuts off or
others hide. Not embedded: more of them among the candidates and no more right (docs/training.md)."""
VARIED = replace(
    _going_on(
        CUT_OFF,
        seed=13,
        name="varied",
        steps=1300,
        peak_rate=1.5e-4,
        flat=0.3,
        end_rate=2e-6,
        warm_up=60,
        pretrained_share=0.6,
        learns=("",),
        least_objects=3,
        mask_share=1.5,
        unnamed=0.4,
        lent=0.22,
        worn=0.1,
        stills=0.3,
        parts=0.25,
    ),
    ranks=2,
    kept=0.0,
)
"""Goes on from exported weights at their input size: everything, the backbone too, on all kinds of scenes and prompts
that the runs before taught one after the other. Clicks and memory must learn after it. Not embedded: phrases, clicks
and videos gained, what is taught lost (docs/training.md)."""
VARIED_LONGER = replace(
    _going_on(
        VARIED,
        seed=14,
        name="varied-longer",
        steps=1800,
        flat=0.2,
        end_rate=1e-6,
        learns=("vision_encoder.neck.", "text_", "geometry_encoder.", "detr_encoder.", *DETECTING),
        mask_share=2.0,
    ),
    ranks=1,
)
"""Goes on from what VARIED gave, all but the ViT: clicks and memory can learn beside it."""
SMOKE = replace(
    TINY,
    ranks=1,
    stages=(
        Stage("dense", "dense", 128, steps=4, images=2, warm_up=2),
        Stage("ground", "ground", 128, steps=4, images=2, prompts=3, warm_up=2),
        Stage("prompts", "prompts", 128, steps=4, images=2, prompts=3, warm_up=2),
        Stage("sharpen", "prompts", 160, steps=2, images=2, prompts=3, warm_up=1),
    ),
)
CLICKS = replace(
    TINY,
    seed=3,
    ranks=1,
    stages=(Stage("clicks", "clicks", 0, steps=1350, images=5, prompts=6, flat=0.5, end_rate=1e-5, warm_up=30),),
)
"""The tracker half on a frozen backbone."""
CLICKS_LONGER = _going_on(CLICKS, seed=10, steps=700, peak_rate=4e-4, flat=0.2, warm_up=20, goes_on=True)
"""The tracker half from the weights that it has, as at another input size."""
CLICKS_SMOKE = replace(CLICKS, stages=(Stage("clicks", "clicks", 0, steps=3, images=2, prompts=3, warm_up=1),))
TRACKER = replace(
    TINY,
    seed=5,
    ranks=1,
    weight_decay=0.01,
    clip=1.0,
    stages=(
        Stage(
            "tracker",
            "tracker",
            0,
            steps=1200,
            images=2,
            prompts=4,
            peak_rate=5e-4,
            flat=0.4,
            end_rate=5e-6,
            warm_up=30,
        ),
    ),
)
"""Memory, pointers and presence on frozen weights."""
TRACKER_LONGER = _going_on(TRACKER, seed=11, steps=1600, peak_rate=3e-4, flat=0.3, goes_on=True)
"""Memory, pointers and presence from the weights that they have."""
TRACKER_SMOKE = replace(TRACKER, stages=(Stage("tracker", "tracker", 0, steps=3, images=1, prompts=2, warm_up=1),))
CONFIGS = {
    "tiny": TINY,
    "longer": LONGER,
    "patterns": PATTERNS,
    "crowded": CROWDED,
    "unnamed": UNNAMED,
    "worn": WORN,
    "cut-off": CUT_OFF,
    "varied": VARIED,
    "varied-longer": VARIED_LONGER,
    "smoke": SMOKE,
    "clicks": CLICKS,
    "clicks-longer": CLICKS_LONGER,
    "clicks-smoke": CLICKS_SMOKE,
    "tracker": TRACKER,
    "tracker-longer": TRACKER_LONGER,
    "tracker-smoke": TRACKER_SMOKE,
}
