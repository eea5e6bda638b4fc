"""The prompts: Markdown files beside this one, each with an id that changes with its text."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that a model reads."""

    name: str
    text: str

    @property
    def id(self) -> str:
        """Name and the first 8 hex digits of the text's SHA-256, such as "system:1a2b3c4d"; written into traces."""
        return f"{self.name}:{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


@cache
def read_prompt(name: str) -> Prompt:
    """The prompt in `NAME.md`."""
    return Prompt(name, resources.files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").strip())
