"""The task of a run: which image, which query."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """Task of a run: a query about one image."""

    image_id: str
    width: int
    height: int
    query: str

    @property
    def name(self) -> str:
        """Say the query and the image in words, as recordings tell runs apart."""
        return f"{self.image_id} {self.width}x{self.height} {self.query}"

    def text(self, scale: float) -> str:
        """Return the first user message in words; `scale` is that of the preview beside it (1: original size)."""
        size = f"{self.width} x {self.height} px; all coordinates are in these pixels"
        return f"image_id: {self.image_id} ({size}; the preview below is at scale {scale:g})\nquery: {self.query}"
