"""A sitting: the one image that is open while consecutive cases ask about it."""

from sam3_agent.workspace import Workspace
from sam3_evals.sample import Case, Source, still


class OpenedImage:
    """Opens an image when it is first asked about, and forgets it when the next one comes."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._picture: str | None = None
        self._image_id = ""

    def open(self, case: Case, picture: Source) -> str:
        """The image id of the case's image.

        Raises:
            InputError: the image cannot be read.
        """
        if case.picture != self._picture:
            if self._picture is not None:
                self.workspace.forget(self._image_id)
                self._picture = None
            self._image_id = self.workspace.open(still(picture)).id
            self._picture = case.picture
        return self._image_id
