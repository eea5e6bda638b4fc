"""The page: the answer, the cases that tell most, then figures and plots, and what the run was made of at the end.

Nothing on it is loaded from elsewhere.
"""

import hashlib
import heapq
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from sam3_agent.errors import Sam3AgentError
from sam3_agent.formats.files import write_text
from sam3_evals.compare import Comparison, compare
from sam3_evals.datasets import Dataset, open_dataset
from sam3_evals.headline import bounds_of, comparison_headline, headline
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.report import plots
from sam3_evals.report.cards import Cards
from sam3_evals.score import Score, score_run
from sam3_evals.table import SECTIONS, figure_at, groups_of, rounded

SHOWN = 8
"""Best, worst and flipped cases on a page."""
_LEGEND = (
    "<b class=right>Green</b>: found and meant. <b class=wrong>Orange</b>: found, not meant."
    " <b class=missed>Blue</b>: meant, not found. Double outline: truth. Grey: ignored. Hover or tap: plain."
)
BINS = 20
_POINTS = 1000


@dataclass(slots=True)
class Gathered:
    """Counts of IoUs, a sample of cost against IoU, the best and the worst cases."""

    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    """Cases with a target by IoU, BINS bins of equal width."""
    _best: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    _worst: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])
    _points: list[tuple[str, float, float, float]] = field(default_factory=list[tuple[str, float, float, float]])

    def take(self, case: Scored) -> None:
        """Take in one case."""
        chance = hashlib.blake2b(case.case.encode(), digest_size=8).hexdigest()  # breaks ties without favor
        if case.has_target:
            self.histogram[min(BINS - 1, int(case.lisa.iou * BINS))] += 1
            if case.lisa.iou > 0:
                _keep(self._best, (case.lisa.iou, chance, case.case), SHOWN)
        _keep(self._worst, (-case.lisa.iou, chance, case.case), SHOWN)
        _keep(self._points, (chance, case.usage.usd, case.usage.seconds, case.lisa.iou), _POINTS)

    def best(self) -> list[str]:
        """Ids of the cases with the largest IoU among those that have a target and overlap it, best first."""
        return [name for _, _, name in sorted(self._best, reverse=True)]

    def worst(self) -> list[str]:
        """Ids of the cases with the smallest IoU, worst first."""
        return [name for _, _, name in sorted(self._worst, reverse=True)]

    def costs(self) -> tuple[str, list[tuple[float, float]]]:
        """Unit and (cost, IoU) of up to 1000 cases: dollars where any were paid, else seconds."""
        paid = any(usd for _, usd, _, _ in self._points)
        unit = "USD" if paid else "seconds"
        return unit, [(usd if paid else seconds, iou) for _, usd, seconds, iou in self._points]


def _keep(heap: list[Any], item: Any, most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def write_report(run: Path, out: Path, against: Path | None = None) -> Path:
    """Score a run and write its page, whole or not at all; with `against` it shows what flipped between the two.

    Raises:
        InputError: the folder holds no run, or the other one asked different cases.
    """
    gathered = Gathered()
    score = score_run(run, gathered.take)
    comparison = compare(against, run) if against is not None else None
    document, dataset = score.to_json(), _dataset(score)
    cards = Cards(run, dataset, out)
    body = [_head(document), f"<p class=note>{_LEGEND}</p>"]
    if comparison is not None and against is not None:
        body.insert(1, f"<p class=answer>Against {escape(str(against))}: {escape(comparison_headline(comparison))}</p>")
        body.append(_flipped(comparison, cards, Cards(against, dataset, out)))
    body += [
        _gallery("Worst cases", cards.row(gathered.worst())),
        _gallery("Best cases", cards.row(gathered.best())) if gathered.best() else "",
    ]
    if dataset is None or cards.lost:
        body.append("<p class=note>The dataset's pictures could not be read where they were; masks lie on grey.</p>")
    body += [
        "<h2>Figures</h2>",
        *(_table(document, section) for section in SECTIONS),
        _plots(document, gathered),
        _differences(comparison) if comparison is not None else "",
        _origin(document),
    ]
    style = resources.files("sam3_evals.report").joinpath("page.css").read_text(encoding="utf-8")
    title = escape(f"{score.manifest.dataset}: {score.manifest.solver}")
    write_text(
        out,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{style}</style><body>{''.join(body)}</body></html>\n",
    )
    return out


def _dataset(score: Score) -> Dataset | None:
    try:
        return open_dataset(score.manifest.dataset, score.manifest.solver, score.manifest.seed)
    except (Sam3AgentError, OSError):
        return None


def _head(document: dict[str, Any]) -> str:
    made, usage = document["manifest"], document["usage"]
    lines = [f"<h1>{escape(made['dataset'])} with {escape(made['solver'])}</h1>"]
    lines += [f'<p class="warning" role="alert">{escape(sentence)}</p>' for sentence in document["caveats"]]
    made_of = f"model {made['model']}, LLM {made['llm']}" if made["llm"] else f"model {made['model']}"
    spent = (
        f"{usage['seconds']:.1f} s, {usage['encodes']} encodes, {usage['llm_calls']} LLM calls, {usage['usd']:.4f} USD"
    )
    lines.append(f"<p class=answer>{escape(headline(document))}</p>")
    lines.append(f"<p class=note>{escape(f'{made_of}: {spent}' if made['model'] else spent)}</p>")
    return "".join(lines)


def _origin(document: dict[str, Any]) -> str:
    """Tell what the run was made of, hashes and all: for whoever repeats it, so at the end."""
    made, usage = document["manifest"], document["usage"]
    facts = {
        "cases": document["cases"],
        "without prediction": document["missing"],
        "errors": document["errors"],
        "seconds": f"{usage['seconds']:.1f}",
        "encodes": usage["encodes"],
        "LLM calls": usage["llm_calls"],
        "USD": f"{usage['usd']:.4f}",
        **made,
    }
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>" for key, value in facts.items() if value != ""
    )
    return f"<details><summary>What the run was made of</summary><table class=facts>{rows}</table></details>"


def _table(document: dict[str, Any], section: tuple[tuple[str, ...], tuple[str, ...], str]) -> str:
    header, columns, note = section
    rows: list[str] = []
    for name, found in groups_of(document):
        cells = [_cell(found, column) for column in columns]
        if any(cells):
            rows.append(
                f"<tr><th>{escape(name)}</th><td>{found['cases']}</td>{''.join(c or '<td>-</td>' for c in cells)}</tr>"
            )
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(words)}</th>" for words in ("cases", "n", *header))
    told = escape(f"{note} Under each figure its 95 % bootstrap interval, pictures resampled.".strip())
    return f"<div class=wide><table><tr>{heads}</tr>{''.join(rows)}</table></div><p class=note>{told}</p>"


def _cell(found: dict[str, Any], column: str) -> str:
    figure = figure_at(found, column)
    if figure is None:
        return ""
    scale, digits = (1.0, 2) if column.endswith("*") else (100.0, 1)
    value = rounded(scale * figure["value"], digits)
    if figure["low"] is None:
        return f"<td>{value}</td>"
    low, high = (rounded(scale * figure[key], digits) for key in ("low", "high"))
    return f"<td>{value}<br><small>{low} – {high}</small></td>"


def _plots(document: dict[str, Any], gathered: Gathered) -> str:
    unit, points = gathered.costs()
    shown = [("IoU of cases with a target", plots.histogram(gathered.histogram, "IoU"))]
    if bins := document["reliability"]:
        shown.append(("Calibration of presence", plots.reliability(bins)))
    shown.append((f"Cost against IoU ({len(points)} cases)", plots.scatter(points, f"{unit} a case")))
    return f"<div class=plots>{''.join(f'<section><h2>{escape(t)}</h2>{svg}</section>' for t, svg in shown)}</div>"


def _gallery(title: str, row: str) -> str:
    return f"<h2>{escape(title)}</h2>{row}"


def _flipped(comparison: Comparison, mine: Cards, theirs: Cards) -> str:
    largest = sorted(comparison.flips, key=lambda flip: -abs(flip.b - flip.a))[:SHOWN]
    pairs = "".join(
        f"<div class=cards>{theirs.card(flip.case, 'before')}{mine.card(flip.case, 'now')}</div>" for flip in largest
    )
    return f"<h2>Flipped cases: {len(comparison.flips)}, the {len(largest)} largest</h2>{pairs}"


def _differences(comparison: Comparison) -> str:
    heads = ("cases", "n", "gIoU before", "gIoU now", "difference", "95 %", "p", "now better", "tie", "before better")
    rows = "".join(
        f"<tr><th>{escape(row.group)}</th><td>{row.cases}</td><td>{100 * row.a:.1f}</td><td>{100 * row.b:.1f}</td>"
        f"<td>{100 * row.difference:+.1f}</td><td>{bounds_of(row)}</td><td>{row.p:.4f}</td>"
        f"<td>{row.b_better}</td><td>{row.ties}</td><td>{row.a_better}</td></tr>"
        for row in comparison.rows
    )
    table = f"<table><tr>{''.join(f'<th>{h}</th>' for h in heads)}</tr>{rows}</table>"
    return f"<h2>Against {escape(comparison.a)}</h2><div class=wide>{table}</div>"
