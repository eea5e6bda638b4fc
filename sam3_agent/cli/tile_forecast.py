"""Forecasts of tiles: how many, and how long, said before they are looked at."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from sam3_agent.cli.batch import LONG
from sam3_agent.cli.output import say
from sam3_agent.masks import Window
from sam3_agent.types import ConceptPrompt, Detection, ModelInfo
from sam3_agent.workspace import TileMode
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling import look_closer

_TILING_LOG = "sam3_agent.workspace.tiling.adaptive"
_WAYS_OUT = "(--tiles never looks once, --region at a part)"


def count_tiles(window: Window, info: ModelInfo) -> int:
    """Count the tiles of `--tiles always`: as few as there can be, since large objects may ask for more overlap."""
    asked: list[Window] = []

    def see_nothing(tile: Window, _: object) -> list[Detection]:
        asked.append(tile)
        return [Detection(0.0, ())]

    look_closer(see_nothing, window, [ConceptPrompt("anything")], Question(tiles="always"), info)
    return len(asked) - 1  # the first is the whole


@contextmanager
def tiles_forecast(mode: TileMode, window: Window, info: ModelInfo, encode_seconds: float) -> Generator[None]:
    """Say on stderr what long looking at tiles lies ahead; `encode_seconds` is what the image as a whole took.

    With "always" their number is known before; with "auto" each round is told when the one before has called for it.
    """
    if mode == "never":
        yield
        return
    if mode == "always":
        _tell(count_tiles(window, info), encode_seconds)
        yield
        return
    log, handler = logging.getLogger(_TILING_LOG), _Rounds(encode_seconds)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    propagates, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


class _Rounds(logging.Handler):
    """Turns the log's "looking closer, at N tiles" into a forecast, passes warnings on."""

    def __init__(self, encode_seconds: float) -> None:
        super().__init__(logging.INFO)
        self._seconds = encode_seconds

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one record."""
        if record.levelno >= logging.WARNING:
            logging.getLogger().handle(record)
        elif isinstance(record.args, tuple) and len(record.args) == 1 and isinstance(record.args[0], int):
            _tell(record.args[0], self._seconds)


def _tell(tiles: int, encode_seconds: float) -> None:
    seconds = tiles * encode_seconds
    if seconds >= LONG:
        say(f"{tiles} tiles to look at: about {seconds:.0f} s {_WAYS_OUT}")
