"""The error tree: who can repair what.

    Sam3AgentError
    ├── ToolError             the caller (a model or a person) can repair this; the message says how
    │   ├── InputError        an argument, file or image is not usable
    │   │   └── FileFaults    a file has several faults; all are told
    │   ├── UnknownHandle     an image id or mask id that this workspace does not know
    │   └── Busy              the model has more to do than it takes on; the same call may work in a moment
    ├── Cancelled             whoever asked has given up, so there is no answer
    ├── ModelUnavailable      weights or device are missing or unusable; the message says what to do
    ├── Forgets               an adapter costs other words more than its budget, so it is not written
    └── LLMError              a language model could not be reached or answered unusably
        └── LLMConfigError    a wrong model spec or a missing key

Anything else that escapes is a bug or the environment.
"""

from collections.abc import Iterable


class Sam3AgentError(Exception):
    """Base of every error that this package raises on purpose."""


class ToolError(Sam3AgentError):
    """The caller can repair this; its message is shown to the caller as an instruction."""


class InputError(ToolError):
    """An argument, a file or an image is not usable."""


class FileFaults(InputError):
    """A file has several faults, which are all told: the message has a line for each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class UnknownHandle(ToolError):
    """An image id or a mask id is not known to this workspace."""

    def __init__(self, kind: str, handle: str, known: Iterable[str]) -> None:
        names = list(known)
        shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
        super().__init__(f"unknown {kind} {handle!r}; known: {shown or 'none yet'}")
        self.handle = handle


class Busy(ToolError):
    """The model has more to do than it takes on; the same call may work in a moment."""


class Cancelled(Sam3AgentError):
    """Whoever asked has given up, so there is no answer; nobody is left to repair anything."""


class ModelUnavailable(Sam3AgentError):
    """Weights or a device are missing or unusable; the message says what to do."""


class Forgets(Sam3AgentError):
    """An adapter that is always on costs other words more than its budget, so that it is not written."""


class LLMError(Sam3AgentError):
    """A language model could not be reached or answered unusably."""


class LLMConfigError(LLMError):
    """A model spec is wrong or a key is missing."""


_WHOLE = {
    *("torch", "torchvision", "transformers", "safetensors", "huggingface_hub", "ftfy"),
    *("mcp", "starlette", "uvicorn", "prometheus_client"),
    *("anthropic", "openai", "httpx2"),
}
"""Import packages that come with the distribution `sam3-agent` and not with `sam3-eval`."""


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Say in one line how to get a package that only the whole distribution brings; None for any other module."""
    package = (error.name or "").partition(".")[0]
    if package not in _WHOLE:
        return None
    return f"this needs '{package}', which is not installed; the whole package brings it: pip install sam3-agent"
