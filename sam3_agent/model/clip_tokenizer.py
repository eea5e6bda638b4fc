"""CLIP's tokenizer for a checkpoint that comes without one: Meta's vocabulary file, or OpenAI's from the hub."""

import gzip
import shutil
from pathlib import Path
from typing import Any, cast

from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever HTTP client this hub version uses
    LocalEntryNotFoundError,
)
from transformers import CLIPTokenizer

from sam3_agent.errors import ModelUnavailable

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
MERGES = "bpe_simple_vocab_16e6.txt.gz"
"""As Meta's repository has it: a heading, then merges, more than are used."""
PUBLIC = "openai/clip-vit-base-patch32"
"""Not gated; the same vocabulary."""
_SIZE = 49408
"""Tokens of CLIP's vocabulary: 256 bytes, 256 bytes at a word's end, merges, start and end."""


def write_tokenizer(source: Path, target: Path) -> None:
    """Put a tokenizer into a folder: the one in `source`, one made of Meta's merges there, else the public one.

    Raises:
        ModelUnavailable: there is none and the hub gives none.
    """
    found = [source / name for name in FILES if (source / name).is_file()]
    if any(path.name in ("tokenizer.json", "vocab.json") for path in found):
        for path in found:
            shutil.copyfile(path, target / path.name)
    elif (source / MERGES).is_file():
        from_merges(source / MERGES).save_pretrained(target)
    else:
        _download(source, target)


def from_merges(path: Path) -> Any:
    """CLIP's tokenizer of Meta's merges file.

    Raises:
        ModelUnavailable: the file is something else.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ModelUnavailable(f"'{path}' is no gzipped list of merges") from error
    merges = [cast(tuple[str, str], tuple(line.split())) for line in lines[1 : _SIZE - 2 * 256 - 2 + 1]]
    if len(merges) != _SIZE - 2 * 256 - 2 or any(len(merge) != 2 for merge in merges):
        raise ModelUnavailable(f"'{path}' does not hold the {_SIZE - 514} merges of CLIP")
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(merge) for merge in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return cast(Any, CLIPTokenizer)(vocab={token: place for place, token in enumerate(tokens)}, merges=merges)


def byte_symbols() -> list[str]:
    """A printable character for every byte, in CLIP's order: printable ones first, the others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [*map(chr, printable), *(chr(256 + place) for place in range(256 - len(printable)))]


def _download(source: Path, target: Path) -> None:
    try:
        folder = Path(snapshot_download(PUBLIC, allow_patterns=list(FILES)))
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelUnavailable(
            f"the checkpoint comes without a tokenizer, and the hub gives none: put {MERGES} or the tokenizer.json of"
            f" facebook/sam3 or {PUBLIC} into '{source}'"
        ) from error
    for name in FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
