"""One section of the benchmark as figures; a task that a process of its own can take."""

from collections.abc import Callable, Iterator

import torch
from sam3_evals.metrics.cgf1 import CgF1, PairCounts, aggregate

from benchmarks.tiny import sections
from benchmarks.tiny.sections import NegativeRow, Row
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.segmenter import Segmenter

Figures = dict[str, float | None]
"""Figure by name; None where nothing can be said."""
Section = Callable[[Segmenter, int], Iterator[Row] | Iterator[NegativeRow]]
SECTIONS: tuple[Section, ...] = (
    sections.phrases,
    sections.patterns,
    sections.held_out_pairs,
    sections.exemplars,
    sections.lent_exemplars,
    sections.absent,
    sections.flat_drawings,
    sections.negatives,
)


def amount_of(section: Section, scenes: int) -> int:
    """Scenes of a section: the text section takes all, the others half."""
    return scenes if section is sections.phrases else max(1, scenes // 2)


def measure_section(task: tuple[str, Section, int]) -> dict[str, Figures]:
    """Every figure of one section."""
    model, section, number = task
    torch.set_num_threads(1)
    segmenter = Sam3.load(model, device="cpu")
    groups: dict[str, list[PairCounts]] = {}
    gone: dict[str, list[bool]] = {}
    for row in section(segmenter, number):
        groups.setdefault(row[0], []).append(row[1])
        if len(row) == 3:
            gone.setdefault(row[0], []).append(row[2])
    figures = {name: _figures(aggregate(pairs)) for name, pairs in groups.items()}
    for name, flags in gone.items():
        figures[name]["marked_kind_gone"] = sum(flags) / len(flags)
    return figures


def _figures(family: CgF1) -> Figures:
    empty = family.il_fp + family.il_tn
    return {
        "prompts": family.pairs,
        "il_mcc": family.il_mcc,
        "positive_micro_f1_50": family.positive_micro_f1_50,
        "cgf1": 100 * family.cgf1,
        "recall_50": family.recall_50,
        "nothing_found": family.il_tn / empty if empty else None,
    }
