"""What lies on the desk: open images and masks, by id."""

import numpy as np
from numpy.typing import NDArray

from sam3_agent.types import Instance
from sam3_agent.workspace.image_store import Images, OpenImage
from sam3_agent.workspace.mask_store import Records
from sam3_agent.workspace.output_folder import OutputFolder
from sam3_agent.workspace.setting import Setting


class Desk:
    """Open images and recorded masks, to be read; a `Workspace` puts them there."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._records = Records(setting.suffix)
        self._images = Images(setting.suffix)

    @property
    def output(self) -> OutputFolder:
        """Where tools may write files."""
        return self._setting.output

    def images(self) -> list[OpenImage]:
        """All open images, oldest first."""
        return self._images.all()

    def image(self, image_id: str) -> OpenImage:
        """An open image.

        Raises:
            UnknownHandle: no such image.
        """
        return self._images.get(image_id)

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """The (H, W, 3) RGB pixels of an image, read-only."""
        return self._images.pixels(image_id)

    def instance(self, mask_id: str) -> Instance:
        """A mask by its id."""
        return self._records.get(mask_id).instance

    def image_of(self, mask_id: str) -> str:
        """The id of the image that a mask lies on."""
        return self._records.get(mask_id).image_id

    def phrase_of(self, mask_id: str) -> str:
        """What was asked when the mask was found, or how it was combined."""
        return self._records.get(mask_id).phrase

    def is_near_miss(self, mask_id: str) -> bool:
        """Whether the mask was below its threshold when it was last found."""
        return not self._records.get(mask_id).kept

    @property
    def mask_count(self) -> int:
        """Masks of all images, near misses included."""
        return len(self._records)

    def masks_of(self, image_id: str, *, near_misses: bool = True) -> list[Instance]:
        """All masks of an image, oldest first."""
        self.image(image_id)
        return [r.instance for r in self._records.of_image(image_id) if near_misses or r.kept]
