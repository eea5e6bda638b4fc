"""What the tools return, before it becomes text, pictures and data."""

from dataclasses import dataclass

from sam3_agent.masks import Box
from sam3_agent.render import Picture, Style
from sam3_agent.types import ClickSegmentation, Concept, Instance, Segmentation
from sam3_agent.workspace import MeasurementTable, OpenImage, Operation


@dataclass(frozen=True, slots=True)
class Segmented:
    """Answers to one or more concept prompts on one image."""

    image_id: str
    threshold: float
    results: tuple[Segmentation, ...]
    region: Box | None = None


@dataclass(frozen=True, slots=True)
class SegmentedAt:
    """The answer to clicks on one object."""

    result: ClickSegmentation
    region: Box | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """A concept learned from examples."""

    concept: Concept


@dataclass(frozen=True, slots=True)
class PresenceReading:
    """Presence by phrase."""

    image_id: str
    presence: dict[str, float]


@dataclass(frozen=True, slots=True)
class Combined:
    """A mask made of others."""

    operation: Operation
    sources: tuple[str, ...]
    instance: Instance


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture with what it shows."""

    image_id: str
    mask_ids: tuple[str, ...]
    region: Box | None
    style: Style
    picture: Picture


@dataclass(frozen=True, slots=True)
class Submission:
    """The final answer of a run."""

    image_id: str
    instances: tuple[Instance, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class NoMatch:
    """The final word of a run: nothing in the image fits."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Masks that were written to files."""

    format: str
    mask_ids: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An image that is no longer open."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All open images with the number of masks on each."""

    images: tuple[tuple[OpenImage, int], ...]


Result = (
    OpenImage
    | Segmented
    | SegmentedAt
    | Learned
    | PresenceReading
    | Combined
    | MeasurementTable
    | Looked
    | Submission
    | NoMatch
    | Exported
    | Forgotten
    | Listing
)
