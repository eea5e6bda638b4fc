"""A small CLIP-style byte-level tokenizer, built offline from a word list.

Ids follow CLIP's order: 256 byte symbols ("!" is 0), the same with "</w>", merges, then start and end of text. Every
word of the list becomes one token; any other text falls apart into pieces, down to bytes.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from transformers import CLIPTokenizer

MAX_TOKENS = 32
"""Tokens a prompt may have, start and end of text included."""


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """Build a tokenizer in which each of the words is one token."""
    symbols = _byte_symbols()
    vocabulary = [*symbols, *(s + "</w>" for s in symbols)]
    merges = _learn_merges(sorted({w.lower() for w in words}))
    vocabulary += [a + b for a, b in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=merges,  # pyright: ignore[reportArgumentType]
        model_max_length=MAX_TOKENS,
    )


def _byte_symbols() -> list[str]:
    """The 256 printable stand-ins of bytes in GPT-2's and CLIP's order (openai/CLIP simple_tokenizer.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def _learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first (ties by spelling), until each word is one symbol."""
    spelled = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in spelled for pair in pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = [_merge(word, best) for word in spelled]


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
