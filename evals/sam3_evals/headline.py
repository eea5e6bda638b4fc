"""Headlines: the answer of a run or of a comparison in one sentence, cases without a target counted apart.

A mean over both hides what matters: a solver that says nothing at all scores 100 on every case without a target.
"""

from typing import Any

from sam3_evals.compare import Comparison, Row

FEW_IMAGES = 20
"""Fewer resampled images give an interval that is too narrow: bootstraps over clusters want some 20 to 50 of them
(Cameron and Miller 2015, A Practitioner's Guide to Cluster-Robust Inference, section VI).
"""


def headline(document: dict[str, Any]) -> str:
    """The headline of a score's document (`Score.to_json`), figures x 100."""
    overall = document["overall"]
    giou = overall.get("lisa", {}).get("giou")
    if not document["cases"] or giou is None:
        return "no case was scored."
    figures = [f"gIoU {_percent(giou)}", *_others(overall)]
    images = overall["images"]
    rough = f" ({images} {'images are' if images > 1 else 'image is'} few: rough)" if images < FEW_IMAGES else ""
    return f"{', '.join(figures)} over {_cases(document['cases'], images)}{rough}: {_apart(document)}."


def comparison_headline(comparison: Comparison) -> str:
    """The headline of a comparison: the difference in gIoU x 100, what it rests on, and how many cases flipped."""
    rows = {row.group: row for row in comparison.rows}
    everything = rows["all"]
    images = comparison.images
    rough = f"; {images} images are few, so both are rough" if images < FEW_IMAGES else ""
    parts = [
        f"{words} {100 * rows[group].difference:+.1f} (n = {rows[group].cases})"
        for group, words in (("target: present", "with a target"), ("target: absent", "without one"))
        if group in rows
    ]
    better = sum(flip.b > flip.a for flip in comparison.flips)
    return (
        f"B - A: gIoU {100 * everything.difference:+.1f} (95 % {bounds_of(everything)}, p = {everything.p:.4f}{rough})"
        f" over {_cases(everything.cases, images)}: {', '.join(parts)};"
        f" {len(comparison.flips)} cases flipped, {better} of them for the better."
    )


def bounds_of(row: Row) -> str:
    """The interval of a row's difference x 100; "-" where it has none."""
    return "-" if row.low is None or row.high is None else f"{100 * row.low:+.1f} .. {100 * row.high:+.1f}"


def _apart(document: dict[str, Any]) -> str:
    groups = document["strata"].get("target", {})
    present, absent = groups.get("present"), groups.get("absent")
    parts: list[str] = []
    if present is not None:
        giou = present["lisa"]["giou"]["value"]
        parts.append(f"{100 * giou:.1f} on the {present['cases']} with a target")
    if absent is not None:
        parts.append(f"{round(absent['gres']['n_acc']['value'] * absent['cases'])} of {absent['cases']} without a"
                     " target rightly left empty")  # fmt: skip
    return "; ".join(parts)


def _others(overall: dict[str, Any]) -> list[str]:
    """Name the figures that datasets of videos and of plain phrases are known by."""
    known = (("J&F", "video", "jf"), ("cgF1", "instances", "cgf1"))
    found = [(name, overall.get(metric, {}).get(figure)) for name, metric, figure in known]
    return [f"{name} {100 * figure['value']:.1f}" for name, figure in found if figure and figure["value"] is not None]


def _percent(figure: dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{100 * figure['value']:.1f}"
    return f"{100 * figure['value']:.1f} (95 % {100 * figure['low']:.1f} .. {100 * figure['high']:.1f})"


def _cases(cases: int, images: int) -> str:
    return f"{cases} case{'s' * (cases != 1)} of {images} image{'s' * (images != 1)}"
