"""Cards: cases with picture, query, IoU, reason and trace."""

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sam3_agent.errors import Sam3AgentError
from sam3_agent.loop.trace import read_trace
from sam3_evals.datasets import Dataset
from sam3_evals.journal import JournalIndex
from sam3_evals.prediction import Prediction
from sam3_evals.report.drawing import case_picture
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.sample import Case
from sam3_evals.score import score_case

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
        reason = (prediction.error or prediction.reason) if prediction else "no prediction"
        parts = [
            f'<figure><img src="{self._picture(case, prediction)}" alt="{escape(case.query)}" loading="lazy">',
            "<figcaption>",
            f"<b>{escape(label)}</b> " if label else "",
            f"<q>{escape(case.query)}</q><br>IoU {scored.lisa.iou:.3f} (VR {scored.vision_reasoner.iou:.3f}),"
            f" {escape(scored.outcome)}, {len(prediction.rles) if prediction else 0} masks"
            f" for {len(case.targets)}<br><small>{escape(case.id)} · {escape(reason)}</small>",
            self._trace(prediction.trace_file) if prediction and prediction.trace_file else "",
            "</figcaption></figure>",
        ]
        return "".join(parts)

    def _picture(self, case: Case, prediction: Prediction | None) -> str:
        if self._dataset is not None:
            try:
                return case_picture(case, prediction, self._dataset.picture(case))
            except (Sam3AgentError, OSError):
                self.lost += 1
        return case_picture(case, prediction, None)

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
