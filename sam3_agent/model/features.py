"""Features of one image."""

import threading
from dataclasses import dataclass

import torch

from sam3_agent.model.segmenter import Features
from sam3_agent.model.tracker import ClickFeatures, Tracker


class ClickCache:
    """Features that clicks need of one image: the ViT's last hidden state, from the first click on the tracker
    neck's levels.

    The neck costs 2 % of encoding an image, which is paid only where somebody clicks; both states take the same memory
    (21 MB at full size in float32). Not safe to call from several threads; the model has the network to itself then.
    """

    def __init__(self, grid: torch.Tensor) -> None:
        """`grid` is the (1, D, h, w) hidden state."""
        self._grid: torch.Tensor | None = grid
        self._features: ClickFeatures | None = None
        self._lock = threading.Lock()

    def features(self, tracker: Tracker) -> ClickFeatures:
        """The levels, computed at the first call, on the device of that tracker; the hidden state is dropped then."""
        with self._lock:  # the objects of one frame may be shared out over several replicas
            if self._features is None:
                assert self._grid is not None
                self._features = tracker.features(self._grid.to(tracker.tracker_model.no_memory_embedding.device))
                self._grid = None
            return self._features

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(held.nbytes for held in (self._grid, self._features) if held is not None)


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """The feature pyramid of one image, on the model's device.

    Position encodings are constants of the model and the coarsest level is never read, so neither is kept.
    """

    height: int
    width: int
    """Original size in pixels."""
    levels: tuple[torch.Tensor, ...]
    """(1, C, h, w) each, finest first; full size: 288, 144, 72 of 256 channels, 106 MB in float32, 53 in bfloat16."""
    clicks: ClickCache | None = None
    """None where the model has no tracker half."""
    cls: torch.Tensor | None = None
    """(1, 1, C) the token of a prompt without boxes; only where the fast path has encoded."""

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(level.nbytes for level in self.levels) + (self.clicks.nbytes if self.clicks else 0)


def own_features(features: Features) -> ImageFeatures:
    """The features as this model's own, which any others are not."""
    if not isinstance(features, ImageFeatures):
        raise TypeError(f"these features are not of this model but {type(features).__name__}")
    return features
