"""Phrases as token ids, cleaned and padded the way Meta's own code does it.

Two habits of Meta's code differ from a plain call of the Hugging Face tokenizer and change results: the text is mended
(ftfy, HTML entities, white space) before it is lower-cased, and padding has id 0, where the text mask is simply
"id is not 0". In CLIP's vocabulary id 0 is also the token "!" inside a run of symbols ("100!% wool"); Meta's mask hides
it from the detector too, and so does ours.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import ftfy
import torch

from sam3_agent.errors import InputError
from sam3_agent.model.lru_cache import ByteLru, CacheStatistics

Ids = tuple[int, ...]
"""CONTEXT token ids of a phrase."""


class TextCache:
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


CONTEXT = 32
"""Length of every token sequence."""
USABLE = CONTEXT - 2
"""Tokens left for the phrase beside the start and the end token."""
EXEMPLAR_PHRASE = "visual"
"""Text that SAM 3 was trained to read where there are exemplar boxes and no words."""


class Tokenizer(Protocol):
    """The two calls that are needed of a Hugging Face CLIP tokenizer."""

    def __call__(self, text: str, *, verbose: bool = True) -> Mapping[str, Any]:
        """{"input_ids": [start, ..., end]}, neither padded nor truncated; not verbose: no word about their number."""
        ...

    def convert_ids_to_tokens(self, ids: int) -> str | list[str]:
        """The token of an id."""
        ...


def clean(phrase: str) -> str:
    """Mend, unescape, collapse white space and lower-case a phrase (Meta's `basic_clean` and `whitespace_clean`)."""
    mended = html.unescape(html.unescape(ftfy.fix_text(phrase))).strip()
    return re.sub(r"\s+", " ", mended).strip().lower()


def token_ids(tokenizer: Tokenizer, phrase: str) -> tuple[int, ...]:
    """CONTEXT ids of a phrase: start, tokens, end, then zeros.

    Raises:
        InputError: nothing is left of the phrase after cleaning, or it has more than USABLE tokens (it is never cut).
    """
    cleaned = clean(phrase)
    if not cleaned:
        raise InputError("the concept is empty; give a short noun phrase such as 'yellow school bus'")
    ids = [int(value) for value in tokenizer(cleaned, verbose=False)["input_ids"]]
    if len(ids) > CONTEXT:
        raise InputError(
            f"the concept is too long for this model: {len(ids) - 2} tokens ({len(cleaned)} characters), at most"
            f" {USABLE} tokens fit; name one kind of thing in a few words, got '{_shorten(cleaned)}'"
        )
    return (*ids, *[0] * (CONTEXT - len(ids)))


def hides_zero(tokenizer: Tokenizer) -> bool:
    """Whether id 0 is "!" (CLIP's order of bytes), so that Meta's mask "id is not 0" may be copied."""
    return tokenizer.convert_ids_to_tokens(0) == "!"


def text_mask(ids: tuple[int, ...], *, hide_zero: bool) -> tuple[bool, ...]:
    """CONTEXT flags: which tokens the detector may look at."""
    if hide_zero:
        return tuple(value != 0 for value in ids)
    last = max(place for place, value in enumerate(ids) if value != 0)
    return tuple(place <= last for place in range(len(ids)))


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
