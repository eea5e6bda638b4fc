"""One look at one window."""

import math
from dataclasses import dataclass

from sam3_agent.masks import Window
from sam3_agent.types import Detection, ModelInfo


@dataclass(frozen=True, slots=True)
class View:
    """What the eye said to one concept in one window; masks and boxes of the detection are those of the window."""

    window: Window
    detection: Detection
    eye: ModelInfo

    @property
    def longer(self) -> int:
        """The longer side of the window, pixels of the picture."""
        return max(self.window[2] - self.window[0], self.window[3] - self.window[1])

    @property
    def zoom(self) -> float:
        """Pixels that the eye had for each pixel of the picture, along the longer side."""
        return self.eye.input_side / self.longer

    @property
    def margin(self) -> int:
        """How near, in pixels of the picture, a mask may end to an edge that cuts it: half a patch of the eye."""
        return math.ceil(self.eye.patch / 2 / self.zoom)

    def seen_side(self, side: float) -> float:
        """How long `side` pixels of the picture are in the eye's own, the mean of across and down.

        A window is stretched to a square, so both differ where it is none.
        """
        x0, y0, x1, y1 = self.window
        return side * self.eye.input_side / math.sqrt((x1 - x0) * (y1 - y0))

    def clear(self, picture: Window) -> Window:
        """The window without the margins along edges beyond which the picture (or region) goes on.

        What lies in it is whole; what reaches out of it may be cut.
        """
        (x0, y0, x1, y1), near = self.window, self.margin
        return (
            x0 + near if x0 > picture[0] else x0,
            y0 + near if y0 > picture[1] else y0,
            x1 - near if x1 < picture[2] else x1,
            y1 - near if y1 < picture[3] else y1,
        )
