"""The one video whose frames are open while consecutive cases ask about it."""

from sam3_agent.errors import InputError
from sam3_agent.workspace import Workspace
from sam3_evals.sample import Case, Footage, Source


class OpenedVideo:
    """Opens a frame when it is first asked about, and forgets all of them when the next video comes.

    The workspace drops features that take too much room by itself, and reads them again when they are asked for.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._video = ""
        self._images: dict[int, str] = {}

    def frame(self, case: Case, source: Source, index: int) -> str:
        """The image id of a frame of the case's video.

        Raises:
            InputError: the source is an image, or the frame cannot be read.
        """
        if not isinstance(source, Footage):
            raise InputError(f"case {case.id}: a solver of videos was given an image")
        if case.picture != self._video:
            for image_id in self._images.values():
                self.workspace.forget(image_id)
            self._video, self._images = case.picture, {}
        if index not in self._images:
            self._images[index] = self.workspace.open(source.frames[index]).id
        return self._images[index]
