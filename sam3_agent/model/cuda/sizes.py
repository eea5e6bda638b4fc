"""The shapes that graphs are captured for; whatever comes is padded up to the next one."""

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

PROMPTS = (1, 2, 4, 8, 16)
"""Rows of a batch of prompts."""
TEXTS = (1, 4, 16)
"""Phrases that are encoded together; each is remembered, so few are."""
QUERIES = (8, 32, 100, 200)
"""Masks of one prompt."""
TOKENS = (40, 48, 64, 128)
"""Prompt tokens: 32 of text, one CLS, then boxes and learnt ones; multiples of 8, which attention kernels read
without a copy of the mask."""
BOXES = (1, 7, 15)
"""Exemplar boxes of a prompt: with 7 of them all tokens still fit into the first of TOKENS, with 15 into the second."""


def next_size(count: int, sizes: Sequence[int]) -> int | None:
    """The smallest of the ascending sizes that holds `count`; None where none does."""
    return next((size for size in sizes if size >= count), None)


def pad_rows(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """The tensor with `size` rows, the last one repeated: a real row, so that nothing in it can become NaN."""
    count = len(tensor)
    if count == size:
        return tensor
    return tensor[torch.arange(size, device=tensor.device).clamp(max=count - 1)]


def pad_tokens(tokens: torch.Tensor, mask: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(P, L, C) tokens and their (P, L) mask with `size` tokens; the new ones are zeros that nothing may look at."""
    more = size - tokens.shape[1]
    return pad(tokens, (0, 0, 0, more)), pad(mask, (0, more))
