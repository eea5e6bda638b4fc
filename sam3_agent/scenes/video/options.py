"""Limits of a procedural clip: how many objects, how large an image, and how often each thing happens in it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sam3_agent.scenes.options import PLAIN_OBJECTS, Pair, SceneOptions

MOST_FRAMES = 100_000
MOST_CLIP_OBJECTS = 40
"""Twins and occluders come on top; an owner map of bytes holds 255 objects."""
SHARES = (
    "plain_objects", "twins", "occlusions", "alike", "cuts", "pans", "recolors", "spins", "growths", "gaps",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """The limits within which `draw_clip` draws; every share is a probability from 0 to 1.

    Sides are in pixels and mean what they mean in `SceneOptions`; a `size` given to `draw_clip` comes before them.
    `roles` are weights of what an object does (see `motion.ROLES`), None for the usual mixture.
    Raises ValueError for limits that no clip can keep.
    """

    min_objects: int = 2
    max_objects: int = 8
    min_side: int = 256
    max_side: int = 448
    max_aspect: float = 2.0
    plain_objects: float = PLAIN_OBJECTS
    excluded_pairs: frozenset[Pair] = frozenset()
    required_pairs: tuple[Pair, ...] = ()
    twins: float = 0.5
    """Clips in which some object has a second one that looks exactly alike."""
    occlusions: float = 0.4
    """Clips in which an object passes behind a larger one that can hide it whole."""
    alike: float = 0.3
    """Clips in which most objects are of one noun."""
    cuts: float = 0.1
    """Clips with a hard cut: other background, other places, some of the same objects."""
    pans: float = 0.3
    """Clips whose camera moves."""
    recolors: float = 0.12
    """Objects that change their color on the way."""
    spins: float = 0.3
    """Objects that turn."""
    growths: float = 0.3
    """Objects that grow or shrink."""
    gaps: float = 0.0
    """Objects that vanish for some frames with nothing before them (no event of the world, but it teaches absence)."""
    roles: tuple[tuple[str, float], ...] | None = None

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if self.max_objects > MOST_CLIP_OBJECTS:
            raise ValueError(f"expected max_objects of at most {MOST_CLIP_OBJECTS}, got {self.max_objects}")
        for name in SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"expected {name} from 0 to 1, got {getattr(self, name)}")
        self.scene()

    def scene(self) -> SceneOptions:
        """Give the limits that a single image has too."""
        shared = {field.name for field in fields(SceneOptions)} & {field.name for field in fields(self)}
        return SceneOptions(**{name: getattr(self, name) for name in sorted(shared)})


QUERY_CLIPS = ClipOptions(
    min_objects=3,
    max_objects=7,
    min_side=320,
    max_side=480,
    max_aspect=1.8,
    twins=0.25,
    occlusions=0.35,
    alike=0.7,
    cuts=0.08,
    pans=0.15,
    recolors=0.15,
    spins=0.25,
    growths=0.5,
)
"""Clips about whose course something can be asked: more of one noun, fewer cuts and pans."""
