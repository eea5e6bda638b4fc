"""Any Python callable "module:function" as a solver.

The function gets the image, (H, W, 3) uint8 RGB upright, and the query; never the truth. It returns masks: an
(N, H, W) or (H, W) bool array, a list of (H, W) bool arrays or of COCO RLEs {"size", "counts"}, or a dict with these
under "masks" and, if it likes, "scores" (N numbers), "presence" (0..1), "reason" (text) and "usd".
"""

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.types import Usage
from sam3_agent.workspace.image_loading import read_source
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source, still

Function = Callable[[Any, str], Any]


class FunctionSolver:
    """Calls the function; what it raises, or returns that is no mask, is an error prediction."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._open: tuple[str, NDArray[np.uint8]] | None = None

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Ask once; the image of consecutive cases is decoded once."""
        if self._open is None or self._open[0] != case.picture:
            self._open = (case.picture, read_source(still(picture))[0])
        began = time.monotonic()
        try:
            said = self._function(self._open[1].copy(), case.query)
            return prediction_of(case, said, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - a plug may raise anything; the case is counted as an error, aloud
            words = f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error)
            return Prediction(case.id, outcome="failed", error=words, usage=Usage(seconds=time.monotonic() - began))


def load_function(spec: str) -> Function:
    """Import "module:function"; modules in the current folder are found too.

    Raises:
        InputError: there is no such module or function.
    """
    module_name, _, name = spec.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot load the solver {spec!r}: {error}") from error
    if not callable(function):
        raise InputError(f"the solver {spec!r} is a {type(function).__name__}, not a function")
    return cast(Function, function)


def prediction_of(case: Case, said: Any, seconds: float) -> Prediction:
    """The prediction that an answer amounts to; raises InputError where it is none."""
    details: Mapping[str, Any] = cast(Mapping[str, Any], said) if isinstance(said, Mapping) else {"masks": said}
    rles = [rle_of(item, case.size) for item in _items(details["masks"])]
    scores = [float(score) for score in details.get("scores", [1.0] * len(rles))]
    if len(scores) != len(rles):
        raise InputError(f"{len(scores)} scores for {len(rles)} masks")
    presence = details.get("presence")
    if presence is not None and not 0 <= float(presence) <= 1:
        raise InputError(f"presence lies in 0..1, got {presence}")
    return Prediction(
        case.id,
        rles=tuple(rles),
        scores=tuple(scores),
        outcome="answered" if rles else "no_match",
        reason=str(details.get("reason", "")),
        presence=None if presence is None else float(presence),
        usage=Usage(usd=float(details.get("usd", 0.0)), seconds=seconds),
    )


def _items(value: Any) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        stack = cast(NDArray[Any], value)
        return [stack] if stack.ndim == 2 else list(stack)
    if not isinstance(value, Sequence):
        raise InputError(f"expected masks as an array or a list, got {type(value).__name__}")
    return cast(Sequence[Any], value)


def rle_of(item: Any, size: tuple[int, int]) -> Rle:
    """A mask of (height, width) out of a bool array or a COCO RLE; raises InputError where it is none."""
    if isinstance(item, Mapping):
        rle = masks.from_json(cast(dict[str, Any], item))
    else:
        array = np.asarray(item)
        if array.dtype != np.bool_:
            raise InputError(f"a mask is a bool array, got {array.dtype}")
        rle = masks.encode(array)
    if rle.size != size:
        raise InputError(f"a mask of shape {rle.size} for an image of shape {size}")
    return rle
