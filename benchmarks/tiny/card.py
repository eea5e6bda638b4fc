"""The figures of the benchmark as the tables of the model card, each beside its bar."""

from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Mapping[str, float]]

BARS: tuple[tuple[str, str, str, float | None], ...] = (
    ("text prompts, all kinds: IL_MCC", "text", "il_mcc", 0.92),
    ("text prompts: positive micro F1 at IoU 0.5", "text", "positive_micro_f1_50", 0.93),
    ("text prompts: cgF1", "text", "cgf1", 70),
    ("pattern words alone: F1", "pattern words", "positive_micro_f1_50", 0.8),
    ("scenes of 10 to 20 objects: recall", "objects 10-20", "recall_50", 0.85),
    ("noun x color pairs never seen in training: F1", "held-out pairs", "positive_micro_f1_50", 0.85),
    ("one positive exemplar box, no phrase: F1", "one positive box", "positive_micro_f1_50", 0.9),
    ("one exemplar box on another scene, no phrase: F1", "one box on another scene", "positive_micro_f1_50", 0.8),
    ("phrase + negative exemplar: the marked kind is gone", "phrase + negative box", "marked_kind_gone", 0.9),
    ("phrase + negative exemplar: F1 on what should stay", "phrase + negative box", "positive_micro_f1_50", None),
    ('words never seen ("dog", "spaceship", ...): nothing found', "unknown word", "nothing_found", 0.95),
    ("nouns that are not in the scene: nothing found", "absent noun", "nothing_found", 0.95),
    ("flat drawings on white: F1", "flat drawings", "positive_micro_f1_50", 0.85),
    ("aspect under 2:3 (tall): F1", "aspect tall (under 2:3)", "positive_micro_f1_50", 0.85),
    ("aspect over 3:2 (wide): F1", "aspect wide (over 3:2)", "positive_micro_f1_50", 0.85),
    ("longer side 256-511 px: F1", "longer side 256-511", "positive_micro_f1_50", 0.85),
    ("longer side 512-1023 px: F1", "longer side 512-1023", "positive_micro_f1_50", 0.85),
    ("longer side 1024-2048 px: F1", "longer side 1024-2048", "positive_micro_f1_50", 0.85),
    ("scenes of 1 to 4 objects: F1", "objects 1-4", "positive_micro_f1_50", None),
)
"""Text, group, figure, and the bar that it should reach, if there is one."""


def card_tables(document: Mapping[str, Any]) -> str:
    """The three tables of the model card, from what `python -m benchmarks.tiny --out FILE` writes."""
    figures: Figures = document["figures"]
    lines = [
        f"`python -m benchmarks.tiny --scenes {document['scenes']}`: unseen scenes (seeds under 2^40), 256 to 2048 px;",
        f"score threshold 0.5; masks are compared at full resolution. Taken on {document['machine']}.",
        "",
        "| what | figure | bar | |",
        "|---|---|---|---|",
    ]
    lines += [_bar_row(figures, *bar) for bar in BARS if bar[1] in figures]
    lines += ["", "| kind of phrase | prompts | F1 at IoU 0.5 | recall |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {row['prompts']:.0f} | {row['positive_micro_f1_50']:.3f} | {row['recall_50']:.3f} |"
        for kind, row in _kinds(figures, negative=False)
    ]
    lines += ["", "| kind of phrase that holds for nothing | prompts | nothing found |", "|---|---|---|"]
    lines += [
        f"| {kind} | {row['prompts']:.0f} | {row['nothing_found']:.3f} |"
        for kind, row in _kinds(figures, negative=True)
    ]
    return "\n".join(lines)


def _bar_row(figures: Figures, words: str, group: str, name: str, bar: float | None) -> str:
    value = figures[group][name]
    shown = f"{value:.1f}" if name == "cgf1" else f"{value:.3f}"
    if bar is None:
        return f"| {words} | {shown} | | |"
    return f"| {words} | {shown} | {bar:g} | {'reached' if value >= bar else '**missed**'} |"


def _kinds(figures: Figures, *, negative: bool) -> Iterator[tuple[str, Mapping[str, float]]]:
    for group, row in sorted(figures.items()):
        kind = group.removeprefix("kind ")
        if kind != group and kind.startswith("negative") == negative:
            yield kind.replace("_", " "), row
