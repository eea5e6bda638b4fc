"""The first message of a run: which picture, which query."""

import re
from dataclasses import dataclass

from sam3_agent.errors import LLMError
from sam3_agent.llm.base import Message
from sam3_agent.render import Picture

_LAYOUT = re.compile(
    r"^image_id: (?P<id>\S+) \((?P<width>\d+) x (?P<height>\d+) px.*?\nquery: (?P<query>.*)\Z", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is about."""

    image_id: str
    width: int
    height: int
    query: str

    @property
    def name(self) -> str:
        """What is asked about which image, in words."""
        return f"{self.image_id} {self.width}x{self.height} {self.query}"

    def message(self, preview: Picture) -> Message:
        """The first user message, with the preview picture."""
        size = f"{self.width} x {self.height} px; all coordinates are in these pixels"
        scale = f"the preview below is at scale {preview.scale:g}"
        return Message("user", f"image_id: {self.image_id} ({size}; {scale})\nquery: {self.query}", (preview,))


def read_task(message: Message) -> Task:
    """The task that `Task.message` wrote.

    Raises:
        LLMError: the message is no task.
    """
    found = _LAYOUT.match(message.text)
    if found is None:
        raise LLMError(f"the first message is no task: {message.text!r:.120}")
    return Task(found["id"], int(found["width"]), int(found["height"]), found["query"])
