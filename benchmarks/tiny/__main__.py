"""`python -m benchmarks.tiny`: every figure of the tiny model's card, on unseen scenes, threshold 0.5."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.machine import machine_words
from benchmarks.tiny import sections
from benchmarks.tiny.sections import Row
from evals.metrics.cgf1 import CgF1, PairCounts, aggregate
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.segmenter import Segmenter

SECTIONS: tuple[Callable[[Segmenter, int], Iterator[Row]], ...] = (
    sections.phrases,
    sections.patterns,
    sections.held_out_pairs,
    sections.exemplars,
    sections.lent_exemplars,
    sections.absent,
    sections.flat_drawings,
)


def main() -> None:
    """Run all sections, print a table, optionally write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=500, help="scenes of the text section; the others take half")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    eye = Sam3.load(options.model, device="cpu")
    start = time.monotonic()
    groups = _collect(eye, options.scenes)
    figures = {name: _figures(aggregate(pairs)) for name, pairs in groups.items()}
    figures["phrase + negative box"] = _negative_figures(eye, max(1, options.scenes // 2))
    machine = f"{machine_words()} ({eye.info.device}, {eye.info.dtype}, {time.monotonic() - start:.0f} s)"
    print(_table(figures))
    print(f"\n{options.scenes} scenes, {machine}")
    if options.out:
        document = {"scenes": options.scenes, "machine": machine, "figures": figures}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _collect(eye: Segmenter, number: int) -> dict[str, list[PairCounts]]:
    groups: dict[str, list[PairCounts]] = {}
    for section in SECTIONS:
        amount = number if section is sections.phrases else max(1, number // 2)
        for name, counts in section(eye, amount):
            groups.setdefault(name, []).append(counts)
    return groups


def _figures(family: CgF1) -> dict[str, float]:
    empty = family.il_fp + family.il_tn
    return {
        "prompts": family.pairs,
        "il_mcc": family.il_mcc,
        "positive_micro_f1_50": family.positive_micro_f1_50,
        "cgf1": 100 * family.cgf1,
        "recall_50": family.recall_50,
        "nothing_found": family.il_tn / empty if empty else float("nan"),
    }


def _negative_figures(eye: Segmenter, number: int) -> dict[str, float]:
    rows = list(sections.negatives(eye, number))
    family = aggregate(counts for _, counts, _ in rows)
    return _figures(family) | {"marked_kind_gone": sum(gone for _, _, gone in rows) / max(1, len(rows))}


def _table(figures: dict[str, dict[str, float]]) -> str:
    lines = [
        "| group | prompts | IL_MCC | F1@.5 | cgF1 | recall@.5 | nothing found | marked kind gone |",
        "|---" * 8 + "|",
    ]
    for name, row in sorted(figures.items()):
        cells = [f"{row['prompts']:.0f}", *(f"{row[k]:.3f}" for k in ("il_mcc", "positive_micro_f1_50"))]
        cells += [f"{row['cgf1']:.1f}", f"{row['recall_50']:.3f}", f"{row['nothing_found']:.3f}"]
        cells.append(f"{row['marked_kind_gone']:.3f}" if "marked_kind_gone" in row else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
