"""The model: SAM 3 behind the `Segmenter` protocol. Importing this is light; `Sam3` brings torch when first used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam3_agent.model.sam3 import Sam3

__all__ = ["Sam3"]


def __getattr__(name: str) -> Any:
    if name == "Sam3":
        from sam3_agent.model.sam3 import Sam3

        return Sam3
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
