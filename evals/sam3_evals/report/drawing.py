"""A case as a picture: the prediction tinted, the truth outlined, what is ignored greyed."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.masks import Rle
from sam3_agent.render.outline import grow
from sam3_agent.workspace.image_loading import read_source
from sam3_evals.prediction import Prediction
from sam3_evals.sample import Case, Source

LONGEST = 420
_TINT = np.array([225, 30, 160], dtype=np.float64)
_GREY = 128.0


def case_picture(case: Case, prediction: Prediction | None, source: Source | None) -> str:
    """A data URI; without a `source` the masks lie on grey.

    Raises:
        InputError: the source is no usable picture.
    """
    height, width = case.size
    pixels = read_source(source)[0] if source is not None else np.full((height, width, 3), 200, dtype=np.uint8)
    scale = min(1.0, LONGEST / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.BILINEAR), dtype=np.float64).copy()
    if case.ignore is not None:
        canvas[_shrunk(case.ignore, small)] *= 0.5
        canvas[_shrunk(case.ignore, small)] += _GREY / 2
    if prediction is not None and prediction.rles:
        inside = _shrunk(masks.union(prediction.rles), small)
        canvas[inside] = 0.5 * canvas[inside] + 0.5 * _TINT
    for target in case.targets:
        _outline(canvas, _shrunk(target, small))
    buffer = io.BytesIO()
    Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(buffer, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _shrunk(rle: Rle, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) of the small picture; a mask never vanishes for being small."""
    whole = masks.decode(rle)
    small = np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.NEAREST), dtype=bool).copy()
    if whole.any() and not small.any():
        y, x = np.argwhere(whole).mean(axis=0)
        small[
            min(size[1] - 1, int(y * size[1] / whole.shape[0])), min(size[0] - 1, int(x * size[0] / whole.shape[1]))
        ] = True
    return small


def _outline(canvas: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    """White outside, black inside: seen on any ground."""
    canvas[grow(mask) & ~mask] = 255.0
    canvas[mask & grow(~mask)] = 0.0
