"""Scores and comparisons as Markdown that reads well in a terminal."""

from collections.abc import Sequence
from typing import Any

from evals.compare import Comparison
from evals.score import Score

_MISSING = "-"
_FLIPS_SHOWN = 20
_NARROWEST = 2
"""Of a column: its rule is then "-:" at least, as Markdown wants it."""


def score_table(score: Score) -> str:
    """The whole score: what was run, then one line for all cases and one per stratum."""
    document = score.to_json()
    made = document["manifest"]
    brain = f", brain {made['llm']}" if made["llm"] else ""
    lines = [
        f"# {made['dataset']} with {made['solver']} (eye {made['model']}{brain})",
        "",
        *_warnings(document),
    ]
    groups = [("all", document["overall"])]
    for name, values in document["strata"].items():
        groups += [(f"{name}: {value}", found) for value, found in values.items()]
    lines += _regions(groups)
    if "instances" in document["overall"]:
        lines += ["", *_instances([(name, found) for name, found in groups if "instances" in found])]
    usage = document["usage"]
    lines += [
        "",
        f"{usage['seconds']:.1f} s, {usage['encodes']} encodes, {usage['llm_calls']} brain calls, "
        f"{usage['usd']:.4f} USD. Code {made['code']}, cases {made['dataset_hash']}.",
    ]
    return "\n".join(lines)


def comparison_table(comparison: Comparison) -> str:
    """Paired gIoU by stratum, then the flipped cases."""
    lines = [f"# A = {comparison.a}, B = {comparison.b}", ""]
    if not comparison.complete:
        lines += ["**INCOMPLETE: a run lacks predictions; these count as empty.**", ""]
    header = ["cases", "n", "gIoU A", "gIoU B", "B - A", "95 %", "B better", "tie", "A better"]
    rows = [
        [
            row.group,
            str(row.cases),
            _percent(row.a),
            _percent(row.b),
            f"{100 * row.difference:+.1f}",
            f"{100 * row.low:+.1f} .. {100 * row.high:+.1f}",
            str(row.b_better),
            str(row.ties),
            str(row.a_better),
        ]
        for row in comparison.rows
    ]
    lines += [*_table(header, rows), "", f"flipped cases (IoU crosses .5): {len(comparison.flips)}"]
    for flip in comparison.flips[:_FLIPS_SHOWN]:
        lines.append(f"- {flip.case}: {flip.a:.2f} -> {flip.b:.2f}  {flip.query!r}")
    if len(comparison.flips) > _FLIPS_SHOWN:
        lines.append(f"- ... and {len(comparison.flips) - _FLIPS_SHOWN} more; --json has all")
    return "\n".join(lines)


def _warnings(document: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if not document["complete"]:
        missing = f"{document['missing']} of {document['cases']} cases"
        lines.append(f"**INCOMPLETE: {missing} have no prediction; they score as empty.**")
    if document["errors"]:
        lines.append(f"**{document['errors']} cases ended in an error; they score as empty or as the best so far.**")
    return [*lines, ""] if lines else []


def _regions(groups: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    header = ["cases", "n", "gIoU", "95 %", "cIoU", "P@.5", "P@.9", "gIoU VR", "cIoU VR", "N-acc", "T-acc"]
    rows: list[list[str]] = []
    for name, found in groups:
        lisa, other = found["lisa"], found["vision_reasoner"]
        low, high = lisa["giou_95"]
        has_target = "t_acc" in found  # without one, cIoU is 0 whatever was predicted
        rows.append(
            [
                name,
                str(found["cases"]),
                _percent(lisa["giou"]),
                f"{_percent(low)} .. {_percent(high)}",
                *(_percent(value) for value in (lisa["ciou"] if has_target else None, lisa["p@0.5"], lisa["p@0.9"])),
                *(_percent(value) for value in (other["giou"], other["ciou"] if has_target else None)),
                *(_percent(found.get(key)) for key in ("n_acc", "t_acc")),
            ]
        )
    note = "gIoU, cIoU, P@: LISA's convention; VR: VisionReasoner's (`evals/metrics/iou.py`). All figures x 100."
    return [*_table(header, rows), "", note]


def _instances(groups: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    header = ["cases", "n", "cgF1", "IL_MCC", "pos. micro F1", "cgF1@.5", "pos. micro F1@.5", "F1@.5"]
    rows: list[list[str]] = []
    for name, found in groups:
        family = found["instances"]
        keys = ("cgf1", "il_mcc", "positive_micro_f1", "cgf1_50", "positive_micro_f1_50", "f1_50")
        rows.append([name, str(found["cases"]), *(_percent(family[key]) for key in keys)])
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """First column left, the others right, all padded."""
    widths = [max(_NARROWEST, *(len(row[i]) for row in (header, *rows))) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])} |"

    rule = [":" + "-" * (w - 1) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [line(header), line(rule), *(line(row) for row in rows)]


def _percent(value: float | None) -> str:
    return _MISSING if value is None else f"{100 * value:.1f}"
