"""Exemplar boxes as the detector reads them."""

from collections.abc import Container, Sequence

import torch

from sam3_agent.errors import InputError
from sam3_agent.types import ConceptPrompt, ExemplarTokens, clip_box

PAD = -10
"""Meta's mark for "no box here", as coordinate and as label."""

Boxes = tuple[tuple[float, float, float, float], ...]
Labels = tuple[int, ...]


def box_rows(prompts: Sequence[ConceptPrompt], width: int, height: int) -> list[tuple[Boxes, Labels]]:
    """Boxes (cxcywh, shares of the image) and labels (1 positive, 0 negative) of every prompt.

    Boxes are clipped to the image first: a coordinate of exactly -10 would pass for padding.

    Raises:
        InputError: a box lies outside the image.
    """
    return [
        (
            tuple(_normalized(exemplar.box, width, height) for exemplar in prompt.exemplars),
            tuple(int(exemplar.positive) for exemplar in prompt.exemplars),
        )
        for prompt in prompts
    ]


def box_tensors(rows: Sequence[tuple[Boxes, Labels]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, N, 4) float32 boxes and (P, N) int64 labels, padded with PAD to the longest row and to at least one box.

    The one padded box is what makes the geometry encoder run for text-only prompts too. It always adds its CLS token to
    the prompt in Meta's code, while transformers leaves it out where no boxes are given.
    """
    longest = max(1, *(len(labels) for _, labels in rows)) if rows else 1
    boxes = torch.full((len(rows), longest, 4), float(PAD))
    labels = torch.full((len(rows), longest), PAD, dtype=torch.int64)
    for row, (row_boxes, row_labels) in enumerate(rows):
        if row_labels:
            boxes[row, : len(row_labels)] = torch.tensor(row_boxes)
            labels[row, : len(row_labels)] = torch.tensor(row_labels)
    return boxes, labels


def learned_rows(
    prompts: Sequence[ConceptPrompt], segmenter: str, width: int, adapters: Container[str] = ()
) -> list[ExemplarTokens | None]:
    """Return the tokens of each prompt's learned concept, of these weights or an adapter; None where it has none.

    Raises:
        InputError: a concept was learned by another model.
    """
    rows: list[ExemplarTokens | None] = []
    for prompt in prompts:
        known = None if prompt.learned is None else prompt.learned.tokens
        own = (
            known is not None and known.width == width and (known.segmenter == segmenter or known.segmenter in adapters)
        )
        if prompt.learned is not None and known is not None and not own:
            raise InputError(
                f"the concept '@{prompt.learned.name}' was learned by other weights (model {known.segmenter}),"
                f" which this model"
                f" ({segmenter}) cannot read; learn it again from its examples"
            )
        rows.append(known)
    return rows


def learned_tensors(rows: Sequence[ExemplarTokens | None]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(P, M, C) float32 tokens of learned concepts with their (P, M) mask; None where no prompt has any.

    They stand behind the image's own tokens. Order is of no effect: the detector reads prompt tokens as a set.
    """
    known = [row for row in rows if row is not None]
    longest = max((row.count for row in known), default=0)
    if not longest:
        return None
    tokens = torch.zeros(len(rows), longest, known[0].width)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, row in enumerate(rows):
        if row is not None:
            tokens[place, : row.count] = torch.from_numpy(row.array.copy())  # pyright: ignore[reportUnknownMemberType]
            mask[place, : row.count] = True
    return tokens, mask


def _normalized(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = clip_box(box, width, height)
    return ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
