"""The task of a run: which image or video, which query."""

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


@dataclass(frozen=True, slots=True)
class VideoTask:
    """Task of a run: a query about one video."""

    video_id: str
    width: int
    height: int
    frames: int
    fps: float
    query: str

    @property
    def name(self) -> str:
        """Say the query and the video in words, as recordings tell runs apart."""
        return f"{self.video_id} {self.width}x{self.height} {self.frames} frames {self.query}"

    def text(self, shown: str) -> str:
        """Return the first user message in words; `shown` tells what the picture beside it shows."""
        size = f"{self.width} x {self.height} px, frames 0-{self.frames - 1} at {self.fps:.4g} frames/s"
        return f"video_id: {self.video_id} ({size}; preview: {shown})\nquery: {self.query}"
