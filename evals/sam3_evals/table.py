"""Scores and comparisons as Markdown that reads well in a terminal."""

from collections.abc import Sequence
from typing import Any

from sam3_evals.compare import Comparison
from sam3_evals.headline import bounds_of, comparison_headline, headline
from sam3_evals.score import Score

_MISSING = "-"
_FLIPS_SHOWN = 20
_NARROWEST = 2
"""Of a column: its rule is then "-:" at least, as Markdown wants it."""


def score_table(score: Score) -> str:
    """Everything a run scored, with its headline and its warnings on top."""
    document = score.to_json()
    lines = top_lines(document)
    groups = groups_of(document)
    for header, columns, note in SECTIONS:
        shown = [group for group in groups if any(figure_at(group[1], column) is not None for column in columns)]
        if shown:
            lines += [*section_lines(header, columns, shown), "", *([note, ""] if note else [])]
    lines.append(_price(document))
    return "\n".join(lines)


def top_lines(document: dict[str, Any]) -> list[str]:
    """Title, headline and warnings of a score's document, an empty line behind each."""
    made, caveats = document["manifest"], [f"**{sentence}**" for sentence in document["caveats"]]
    llm = f", LLM {made['llm']}" if made["llm"] else ""
    segmenter = f" (model {made['model']}{llm})" if made["model"] else ""
    title = f"# {made['dataset']} with {made['solver']}{segmenter}"
    return [title, "", headline(document), "", *caveats, *([""] if caveats else [])]


SECTIONS: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (
        ("gIoU", "cIoU", "gIoU VR", "cIoU VR", "P@.5", "P@.7", "P@.9"),
        ("lisa.giou", "lisa.ciou", "vision_reasoner.giou", "vision_reasoner.ciou",
         "lisa.p@0.5", "lisa.p@0.7", "lisa.p@0.9"),
        "gIoU, cIoU, P@: LISA's convention; VR: VisionReasoner's (`evals/sam3_evals/metrics/iou.py`). x 100.",
    ),
    (
        ("cgF1", "IL_MCC", "pos. micro F1", "pmF1", "cgF1@.5", "F1@.5"),
        ("instances.cgf1", "instances.il_mcc", "instances.positive_micro_f1", "instances.positive_macro_f1",
         "instances.cgf1_50", "instances.f1_50"),
        "",
    ),
    (
        ("gIoU GRES", "cIoU GRES", "N-acc", "T-acc", "precision", "recall", "ECE", "Brier"),
        ("gres.giou", "gres.ciou", "gres.n_acc", "gres.t_acc",
         "presence.precision", "presence.recall", "presence.ece", "presence.brier"),
        "GRES: gRefCOCO's. Precision, recall: anything predicted against anything there. ECE, Brier: of presence.",
    ),
    (
        ("AFPR", "UFPR", "IL-FPR", "ACSR", "UCSR", "CSR", "SoftSwap"),
        ("counterfactual.afpr", "counterfactual.ufpr", "counterfactual.il_fpr", "counterfactual.acsr",
         "counterfactual.ucsr", "counterfactual.csr", "counterfactual.soft_swap"),
        "CAFE's, over misleading phrases: lower is better. A: the object itself is given; U: another thing.",
    ),
    (
        ("J&F", "J", "F", "J&F target", "pHOTA", "DetA", "AssA", "pHOTA@.5"),
        ("video.jf", "video.j", "video.f", "video.jf_target",
         "video.phota", "video.det_a", "video.ass_a", "video.phota_50"),
        "Videos: J&F over queries as in RVOS, those without a target included; pHOTA as in SA-Co/VEval. IoUs and F1s"
        " above are those of volumes.",
    ),
    (
        ("exact count %", "count error", "RMSE", "bias", "gIoU objects", "cIoU objects"),
        ("counting.exact", "counting.mae*", "counting.rmse*", "counting.bias*", "objects.giou", "objects.ciou"),
        "In instances; a bias above 0 means too many. gIoU, cIoU: object by object, MUSE's.",
    ),
)  # fmt: skip
"""Header, figures ("metric.name"; * where it is not a share) and a note of each table."""


def section_lines(
    header: Sequence[str], columns: Sequence[str], groups: Sequence[tuple[str, dict[str, Any]]]
) -> list[str]:
    """A table with a row a group, (name, figures); the row of all cases is followed by its intervals."""
    rows: list[list[str]] = []
    for name, found in groups:
        figures = [figure_at(found, column) for column in columns]
        scales = [1.0 if column.endswith("*") else 100.0 for column in columns]
        rows.append(
            [name, str(found["cases"]), *(_number(f, "value", s) for f, s in zip(figures, scales, strict=True))]
        )
        if name == "all":
            rows.append(["  95 %", "", *(_bounds(f, s) for f, s in zip(figures, scales, strict=True))])
    return _table(["cases", "n", *header], rows)


def groups_of(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(name, figures) of all cases, then of every stratum, of a score's document."""
    groups = [("all", document["overall"])]
    for name, values in document["strata"].items():
        groups += [(f"{name}: {value}", found) for value, found in values.items()]
    return groups


def figure_at(found: dict[str, Any], column: str) -> dict[str, Any] | None:
    """A group's figure for a column of SECTIONS, {"value", "low", "high"}; None where it has no basis."""
    metric, name = column.rstrip("*").split(".", 1)
    figure = found.get(metric, {}).get(name)
    return figure if figure is not None and figure["value"] is not None else None


def _number(figure: dict[str, Any] | None, key: str, scale: float) -> str:
    if figure is None:
        return _MISSING
    return rounded(scale * figure[key], 1 if scale != 1.0 else 2)


def rounded(value: float, digits: int) -> str:
    """A number as tables show it; what rounds to zero has no sign."""
    shown = f"{value:.{digits}f}"
    return shown.removeprefix("-") if float(shown) == 0 else shown


def _bounds(figure: dict[str, Any] | None, scale: float) -> str:
    """No interval where a single image is all that there is."""
    if figure is None or figure["low"] is None:
        return _MISSING
    return f"{_number(figure, 'low', scale)}..{_number(figure, 'high', scale)}"


def _price(document: dict[str, Any]) -> str:
    usage, made = document["usage"], document["manifest"]
    weights = f", weights {made['weights']} ({made['device']}, {made['dtype']})" if made["weights"] else ""
    return (
        f"{usage['seconds']:.1f} s, {usage['encodes']} encodes, {usage['llm_calls']} LLM calls, "
        f"{usage['usd']:.4f} USD. Code {made['code']}, cases {made['dataset_hash']}{weights}."
    )


def comparison_table(comparison: Comparison) -> str:
    """Paired gIoU by stratum, then the flipped cases."""
    lines = [f"# A = {comparison.a}, B = {comparison.b}", "", comparison_headline(comparison), ""]
    if not comparison.complete:
        lines += ["**INCOMPLETE: a run lacks predictions; these count as empty.**", ""]
    header = ["cases", "n", "gIoU A", "gIoU B", "B - A", "95 %", "p", "B better", "tie", "A better"]
    rows = [
        [
            row.group,
            str(row.cases),
            _percent(row.a),
            _percent(row.b),
            f"{100 * row.difference:+.1f}",
            bounds_of(row),
            f"{row.p:.4f}",
            str(row.b_better),
            str(row.ties),
            str(row.a_better),
        ]
        for row in comparison.rows
    ]
    lines += [
        *_table(header, rows),
        "",
        *_cost_lines(comparison),
        f"flipped cases (IoU crosses .5): {len(comparison.flips)}",
    ]
    for flip in comparison.flips[:_FLIPS_SHOWN]:
        lines.append(f"- {flip.case}: {flip.a:.2f} -> {flip.b:.2f}  {flip.query!r}")
    if len(comparison.flips) > _FLIPS_SHOWN:
        lines.append(f"- ... and {len(comparison.flips) - _FLIPS_SHOWN} more; --json has all")
    return "\n".join(lines)


def _cost_lines(comparison: Comparison) -> list[str]:
    """Say what a case costs both ways, and what the difference buys."""
    told = [
        f"{name.replace('_', ' ')} {cost['a'] or 0:.4g} -> {cost['b'] or 0:.4g}"
        + (f" ({cost['ratio']:.2f}x)" if cost["ratio"] is not None else "")
        for name, cost in comparison.costs.items()
        if cost["a"] or cost["b"]
    ]
    gain = comparison.gain_per_1000_tokens
    bought = f"; {100 * gain:+.2f} gIoU for 1000 tokens more" if gain is not None else ""
    return [f"a case costs, A -> B: {', '.join(told)}{bought}", ""] if told else []


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


def coco_table(coco: dict[str, Any]) -> str:
    """COCO's twelve figures of masks and boxes with their intervals."""
    names = list(coco["segm"])
    rows: list[list[str]] = []
    for kind, figures in coco.items():
        shown = {name: figure if figure["value"] is not None else None for name, figure in figures.items()}
        rows.append([kind, *(_number(shown[name], "value", 100.0) for name in names)])
        rows.append(["  95 %", *(_bounds(figure, 100.0) for figure in shown.values())])
    return "\n".join([*_table(["COCO", *names], rows), "", "AP over what the solver kept, x 100."])
