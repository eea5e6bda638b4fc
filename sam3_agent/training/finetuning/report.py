"""Report of an adapter: its own phrase before and after, and what became of all other words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sam3_agent.formats.adapter_folder import AdapterManifest
from sam3_agent.training.finetuning.figures import (
    Counts,
    Pair,
    f1,
    first_share,
    mean_iou,
    own_counts,
    paired,
    precision,
    recall,
    refusal,
)
from sam3_agent.training.finetuning.looks import Look
from sam3_agent.training.finetuning.survey import Survey, agreement, hijacked, names_in
from sam3_agent.training.teaching.views import TeachingImage

WORST = 6
"""Images that are shown: those with the most that is missed or false."""
OWN = (("F1", f1), ("precision", precision), ("recall", recall), ("refusal", refusal), ("mean IoU", mean_iou))


@dataclass(frozen=True, slots=True)
class Words:
    """Answers for all other words; figures where the adapter is on for them too."""

    asked: int
    """Words."""
    images: int
    identical: bool = False
    """Whether every answer was that of the base, bit for bit."""
    figures: tuple[tuple[str, Pair], ...] = ()
    names: tuple[str, ...] = ()
    """Words that name the class too and may go on finding it."""

    def over(self, budget: float) -> tuple[str, ...]:
        """Losses beyond the budget, in words."""
        told: list[str] = []
        for name, pair in self.figures:
            lost = pair.lost.value
            grows = name.startswith("hijack")  # the only one that is better when it is smaller
            if lost is not None and (-lost if grows else lost) > budget:
                told.append(f"{name} {pair.before.value:.3f} -> {pair.after.value:.3f}")
        return tuple(told)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page and the JSON say."""

    manifest: AdapterManifest
    own: tuple[tuple[str, Pair], ...]
    others: Words
    over: tuple[str, ...]
    """Measures that pass the budget; such an adapter is not written unless that is accepted."""
    budget: float
    looks: tuple[Look, ...]
    """Of each image, by the adapter that was trained without it."""
    names: tuple[str, ...]
    """Of the images."""
    numbers: int
    """Trained."""
    shift: float

    def worst(self) -> list[tuple[int, int, int]]:
        """(image, missed, false) of the images with the most of both."""
        counts = own_counts(self.looks, self.shift)
        rows = [(place, int(row[2]), int(row[1])) for place, row in enumerate(counts) if row[1] + row[2]]
        return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))[:WORST]

    def to_json(self) -> dict[str, Any]:
        """One document."""
        others = {
            "words": self.others.asked, "images": self.others.images, "identical": self.others.identical,
            "names": list(self.others.names), "figures": {name: pair.to_json() for name, pair in self.others.figures},
        }  # fmt: skip
        return {
            "adapter": self.manifest.to_json(),
            "trained_numbers": self.numbers,
            "held_out_images": len(self.looks),
            "own": {name: pair.to_json() for name, pair in self.own},
            "others": others,
            "budget": self.budget,
            "over_budget": list(self.over),
            "worst": [
                {"image": self.names[place] or str(place), "missed": missed, "false": false}
                for place, missed, false in self.worst()
            ],
        }


def own_figures(before: Sequence[Look], after: Sequence[Look], shift: float) -> tuple[tuple[str, Pair], ...]:
    """Figures of the phrase itself, by the base and by the adapter."""
    old, new = own_counts(before), own_counts(after, shift)
    return tuple((name, paired(old, new, quotient)) for name, quotient in OWN)


def word_figures(base: Survey, now: Survey, images: Sequence[TeachingImage], scenes: tuple[Counts, Counts]) -> Words:
    """Figures of all other words, on the images and on scenes (before, after)."""
    names = names_in(base, images)
    kept, held = agreement(base, base, images, names), agreement(base, now, images, names)
    rows = (
        ("general F1 on scenes", paired(*scenes, f1)),
        ("refusal on scenes", paired(*scenes, refusal)),
        ("agreement on your images", paired(kept, held, f1)),
        ("refusal on your images", paired(kept, held, refusal)),
        ("hijack", paired(hijacked(base, images, names), hijacked(now, images, names), first_share)),
    )
    return Words(len(base.words), len(images), figures=rows, names=tuple(base.words[word] for word in sorted(names)))
