"""What the text encoder made of phrases, remembered."""

from collections.abc import Callable, Sequence

import torch

from sam3_agent.model.lru_cache import ByteLru, CacheStatistics

Ids = tuple[int, ...]
"""CONTEXT token ids of a phrase."""


class TextMemory:
    """Text tokens by token ids, kept up to a number of bytes; the new ones of a call are encoded together."""

    def __init__(self, encode: Callable[[Sequence[Ids]], torch.Tensor], limit: int) -> None:
        """`encode` gives (P, CONTEXT, C) tokens of P phrases; `limit` in bytes."""
        self._encode = encode
        self._held: ByteLru[Ids, torch.Tensor] = ByteLru(limit, lambda tokens: tokens.nbytes)

    @property
    def statistics(self) -> CacheStatistics:
        """A phrase that several prompts of one batch share counts once."""
        return self._held.statistics

    def tokens(self, ids: Sequence[Ids]) -> torch.Tensor:
        """(P, CONTEXT, C) text tokens of P phrases, which may repeat."""
        found = {row: self._held.get(row) for row in dict.fromkeys(ids)}
        known = {row: tokens for row, tokens in found.items() if tokens is not None}
        new = [row for row in found if row not in known]
        if new:
            for row, tokens in zip(new, self._encode(new), strict=True):
                known[row] = tokens.clone()  # by itself, not a view that keeps the whole batch alive
                self._held.put(row, known[row])
        return torch.stack([known[row] for row in ids])
