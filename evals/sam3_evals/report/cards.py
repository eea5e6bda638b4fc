"""Cards: cases with picture, query, IoU, reason and trace."""

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import Sam3AgentError
from sam3_agent.loop.trace import read_trace
from sam3_agent.masks import Rle
from sam3_agent.render.outline import grow
from sam3_agent.workspace.image_loading import read_source
from sam3_evals.datasets import Dataset
from sam3_evals.journal import JournalIndex
from sam3_evals.prediction import Prediction
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.sample import Case, Footage, Source, still
from sam3_evals.score import score_case

LONGEST = 420
_FRAMES = 3
"""Of a video, on its card."""
_RIGHT, _WRONG, _MISSED = (0, 158, 115), (213, 94, 0), (0, 114, 178)
"""Okabe and Ito's bluish green, vermilion and blue (jfly.uni-koeln.de/color), told apart without red or green."""
_COLORED, _LIGHT, _OPACITY = 0.3, 0.35, 0.8
"""Share of its colors that the picture under the masks keeps and of white that it gets: at 200 px tints on a colorful
picture are lost otherwise. The plain picture is one hover away.
"""
_EDGE = 2
"""Pixels of the outlines, white outside and black inside."""
_GREY = 128.0


def case_pictures(case: Case, prediction: Prediction | None, source: Source | None) -> tuple[str, str]:
    """(with masks, plain) as data URIs: what was found, missed and wrongly taken; without a `source` it lies on grey.

    Raises:
        InputError: the source is no usable picture.
    """
    if case.frames:
        case, prediction, source = _strip(case, prediction, source)
    height, width = case.size
    pixels = read_source(still(source))[0] if source is not None else np.full((height, width, 3), 200, dtype=np.uint8)
    scale = min(1.0, LONGEST / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    plain = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.BILINEAR), dtype=np.float64)
    canvas = _COLORED * plain + (1 - _COLORED) * plain.mean(axis=2, keepdims=True)  # (h, w, 3)
    canvas = (1 - _LIGHT) * canvas + _LIGHT * 255.0
    if case.ignore is not None:
        ignored = _shrunk(case.ignore, small)
        canvas[ignored] = 0.5 * canvas[ignored] + _GREY / 2
    said, meant = (
        _shrunk(masks.union(rles), small) if rles else np.zeros(canvas.shape[:2], dtype=np.bool_)
        for rles in (prediction.rles if prediction is not None else (), case.targets)
    )
    for region, color in ((said & meant, _RIGHT), (said & ~meant, _WRONG), (meant & ~said, _MISSED)):
        canvas[region] = (1 - _OPACITY) * canvas[region] + _OPACITY * np.array(color)
    for target in case.targets:
        _outline(canvas, _shrunk(target, small))
    return _uri(canvas), _uri(plain)


def _uri(canvas: NDArray[np.float64]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(buffer, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _strip(
    case: Case, prediction: Prediction | None, source: Source | None
) -> tuple[Case, Prediction | None, Source | None]:
    """A video's case as one of a picture: some of its frames side by side, those first in which anything is."""
    said = prediction.rles if prediction is not None else ()
    volumes = {rle: masks.split(rle, case.frames) for rle in (*case.targets, *said)}
    busy = [index for index in range(case.frames) if any(masks.area(parts[index]) for parts in volumes.values())]
    among = busy if len(busy) >= _FRAMES else list(range(case.frames))
    chosen = [among[round(i * (len(among) - 1) / max(1, _FRAMES - 1))] for i in range(min(_FRAMES, len(among)))]
    kept = {rle: masks.beside([parts[index] for index in chosen]) for rle, parts in volumes.items()}
    size = (case.size[0], case.size[1] // case.frames * len(chosen))
    picture = replace(case, size=size, frames=0, targets=tuple(kept[rle] for rle in case.targets), ignore=None)
    if prediction is not None:
        prediction = replace(prediction, rles=tuple(kept[rle] for rle in said))
    if isinstance(source, Footage):
        source = np.concatenate([read_source(source.frames[index])[0] for index in chosen], axis=1)
    return picture, prediction, source


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
    outer, inner = mask, ~mask
    for _ in range(_EDGE):
        outer, inner = grow(outer), grow(inner)
    canvas[outer & ~mask] = 255.0
    canvas[mask & inner] = 0.0


_LONGEST_STEP = 1200
"""Characters of a step that a page shows; the file has all."""


class Cards:
    """Draws cases of one run; pictures that can no longer be read are replaced by grey, and `lost` counts them."""

    def __init__(self, run: Path, dataset: Dataset | None, page: Path) -> None:
        self.lost = 0
        self._run, self._dataset, self._page = run, dataset, page
        self._cases, self._predictions = JournalIndex(run / CASES, "id"), JournalIndex(run / PREDICTIONS, "case")

    def row(self, names: Sequence[str], label: str = "") -> str:
        """Cards side by side."""
        return f'<div class="cards">{"".join(self.card(name, label) for name in names)}</div>'

    def card(self, name: str, label: str = "") -> str:
        """One case."""
        found = self._cases.find(name)
        if found is None:
            raise KeyError(name)
        line = self._predictions.find(name)
        case, prediction = Case.from_json(found), Prediction.from_json(line) if line is not None else None
        scored = score_case(case, prediction)
        marked, plain = self._pictures(case, prediction)
        reason = (prediction.error or prediction.reason) if prediction else "no prediction"
        parts = [
            f'<figure><div class=shot tabindex=0><img src="{marked}" alt="{escape(case.query)}" loading="lazy">'
            f'<img src="{plain}" alt="" loading="lazy"></div>',
            "<figcaption>",
            f"<b>{escape(label)}</b> " if label else "",
            f"<q>{escape(case.query)}</q><br>IoU {scored.lisa.iou:.3f} (VR {scored.vision_reasoner.iou:.3f}),"
            f" {escape(scored.outcome)}, {len(prediction.rles) if prediction else 0} masks"
            f" for {len(case.targets)}<br><small>{escape(case.id)} · {escape(reason)}</small>",
            self._trace(prediction.trace_file) if prediction and prediction.trace_file else "",
            "</figcaption></figure>",
        ]
        return "".join(parts)

    def _pictures(self, case: Case, prediction: Prediction | None) -> tuple[str, str]:
        if self._dataset is not None:
            try:
                return case_pictures(case, prediction, self._dataset.picture(case))
            except (Sam3AgentError, OSError):
                self.lost += 1
        return case_pictures(case, prediction, None)

    def _trace(self, name: str) -> str:
        path = self._run / name
        link = quote(Path(os.path.relpath(path, self._page.parent)).as_posix())
        try:
            steps = [_step(step.kind, step.seconds, step.data) for step in read_trace(path).steps]
        except Sam3AgentError:
            return "<br><small>its trace is gone</small>"
        inside = "\n".join(steps)
        return f'<details><summary>trace (<a href="{link}">file</a>)</summary><pre>{escape(inside)}</pre></details>'


def _step(kind: str, seconds: float, data: dict[str, Any]) -> str:
    told = {key: value for key, value in data.items() if key not in ("at", "prompts", "version") and value}
    words = json.dumps(told, ensure_ascii=False)
    return f"{kind} ({seconds:.2f} s) {words[:_LONGEST_STEP]}{'...' if len(words) > _LONGEST_STEP else ''}"
