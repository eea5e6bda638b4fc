"""Any Python callable "module:function" as a solver of videos.

The function gets the frames, a sequence of (H, W, 3) uint8 RGB arrays that are decoded when they are asked for, and the
query; never the truth. It returns masklets: an (N, T, H, W) bool array, or a list of masklets, each a (T, H, W) bool
array or a list with a (H, W) bool array, a COCO RLE or None for every frame; or a dict with these under "masks" and, if
it likes, "scores", "presence", "reason" and "usd", as for images.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.masks import Rle
from sam3_agent.types import Usage
from sam3_agent.workspace.image_loading import read_source
from sam3_evals.metrics.video.masklets import volume_of
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Footage, Source
from sam3_evals.solvers.function import Function, prediction_of, rle_of


class Frames(Sequence[NDArray[np.uint8]]):
    """The frames of a video, decoded one at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> "Frames": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.uint8] | Frames":
        if isinstance(index, slice):
            return Frames(self._paths[index])
        return read_source(self._paths[index])[0]


class VideoFunctionSolver:
    """Calls the function; what it raises, or returns that is no masklet, is an error prediction."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def solve(self, case: Case, picture: Source) -> Prediction:
        """Ask once."""
        if not isinstance(picture, Footage):
            raise InputError(f"case {case.id}: a solver of videos was given an image")
        began = time.monotonic()
        try:
            said = self._function(Frames(picture.frames), case.query)
            details = dict(cast(Mapping[str, Any], said)) if isinstance(said, Mapping) else {"masks": said}
            details["masks"] = [_volume(masklet, case) for masklet in _listed(details["masks"])]
            return prediction_of(case, details, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - a plug may raise anything; the case is counted as an error, aloud
            words = f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error)
            return Prediction(case.id, outcome="failed", error=words, usage=Usage(seconds=time.monotonic() - began))


def _listed(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        array = cast(NDArray[Any], value)
        return [array] if array.ndim == 3 else list(array)
    if not isinstance(value, Sequence):
        raise InputError(f"expected masklets as an array or a list, got {type(value).__name__}")
    return list(cast(Sequence[Any], value))


def _volume(masklet: Any, case: Case) -> dict[str, Any]:
    size = (case.size[0], case.size[1] // case.frames)
    entries = _listed_frames(masklet)
    if len(entries) != case.frames:
        raise InputError(f"a masklet of {len(entries)} frames for a video of {case.frames}")
    rles: dict[int, Rle] = {index: rle_of(item, size) for index, item in enumerate(entries) if item is not None}
    return volume_of({i: rle for i, rle in rles.items() if masks.area(rle)}, case.frames, size).to_json()


def _listed_frames(masklet: Any) -> list[Any]:
    if isinstance(masklet, np.ndarray | list | tuple):
        return list(cast(Sequence[Any], masklet))
    raise InputError(f"expected a masklet as an array or a list, got {type(masklet).__name__}")
