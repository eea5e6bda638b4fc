"""SAM 3 with reasoning: masks for what a sentence describes.

The public names are resolved when they are first used, so that `import sam3_agent` costs nothing and never
imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam3_agent.errors import (
        Busy,
        Cancelled,
        InputError,
        LLMConfigError,
        LLMError,
        ModelUnavailable,
        Sam3AgentError,
        ToolError,
        UnknownHandle,
    )
    from sam3_agent.loop.agent import Agent
    from sam3_agent.loop.load_llm import load_llm
    from sam3_agent.masks import Box, Rle
    from sam3_agent.model.replicas import load_replicas, load_segmenter
    from sam3_agent.model.sam3 import Sam3
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.model.scheduler.request_context import calling
    from sam3_agent.types import (
        Answer,
        ClickPrompt,
        ClickSegmentation,
        Concept,
        ConceptPrompt,
        Exemplar,
        ExemplarTokens,
        Instance,
        ModelInfo,
        Segmentation,
        Step,
        Trace,
        Usage,
    )
    from sam3_agent.workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Answer",
    "Box",
    "Busy",
    "Cancelled",
    "ClickPrompt",
    "ClickSegmentation",
    "Concept",
    "ConceptPrompt",
    "Exemplar",
    "ExemplarTokens",
    "InputError",
    "Instance",
    "LLMConfigError",
    "LLMError",
    "ModelInfo",
    "ModelUnavailable",
    "Rle",
    "Sam3",
    "Sam3AgentError",
    "Scheduler",
    "Segmentation",
    "Step",
    "ToolError",
    "Trace",
    "UnknownHandle",
    "Usage",
    "Workspace",
    "__version__",
    "calling",
    "load_llm",
    "load_replicas",
    "load_segmenter",
]

_HOMES = {
    "sam3_agent.errors": (
        "Busy",
        "Cancelled",
        "InputError",
        "LLMConfigError",
        "LLMError",
        "ModelUnavailable",
        "Sam3AgentError",
        "ToolError",
        "UnknownHandle",
    ),
    "sam3_agent.loop.agent": ("Agent",),
    "sam3_agent.loop.load_llm": ("load_llm",),
    "sam3_agent.masks": ("Box", "Rle"),
    "sam3_agent.model.scheduler.request_context": ("calling",),
    "sam3_agent.model.replicas": ("load_segmenter", "load_replicas"),
    "sam3_agent.model.sam3": ("Sam3",),
    "sam3_agent.model.scheduler": ("Scheduler",),
    "sam3_agent.types": (
        "Answer",
        "ClickPrompt",
        "ClickSegmentation",
        "Concept",
        "ConceptPrompt",
        "Exemplar",
        "ExemplarTokens",
        "Instance",
        "ModelInfo",
        "Segmentation",
        "Step",
        "Trace",
        "Usage",
    ),
    "sam3_agent.workspace": ("Workspace",),
}


def __getattr__(name: str) -> Any:
    """Import the room that a public name lives in when the name is first used."""
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'sam3_agent' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, whether or not they were used yet."""
    return sorted(__all__)
