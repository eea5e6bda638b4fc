"""Learned concepts as small JSON files: NAME.concept.json."""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.types import Concept, ExemplarTokens

FORMAT = "sam3-agent concept"
VERSION = 1
SUFFIX = ".concept.json"
MOST_BYTES = 5_000_000


def write_concept(concept: Concept, path: Path) -> None:
    """Write a concept, atomically: 1.4 kB a token at full size, and about 3 kB a thumbnail."""
    tokens = concept.tokens
    write_json(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "name": concept.name,
            "phrase": concept.phrase,
            "eye": tokens.segmenter,
            "tokens": {"shape": [tokens.count, tokens.width], "dtype": "float32", "data": _text(tokens.values)},
            "thumbnails": [f"data:image/jpeg;base64,{_text(picture)}" for picture in concept.thumbnails],
        },
        indent=1,
    )


def read_concept(path: Path) -> Concept:
    """Read a concept file.

    Raises:
        InputError: it is missing or not such a file.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path.stat().st_size} bytes, at most {MOST_BYTES} expected")
        concept = _concept(read_json(path))
    except OSError as error:
        raise InputError(f"cannot read the concept file '{path}': {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise InputError(f"'{path}' is no concept file, or a damaged one ({type(error).__name__}: {error})") from error
    except InputError as error:
        raise InputError(f"'{path}' is no concept file: {str(error).removeprefix(f'{path}: ')}") from error
    if not np.isfinite(concept.tokens.array).all():
        raise InputError(f"the tokens in '{path}' are damaged: they hold numbers that are not finite")
    return concept


def _concept(document: dict[str, Any]) -> Concept:
    if document["format"] != FORMAT:
        raise InputError(f"format {document['format']!r:.60}, expected {FORMAT!r}")
    if document["version"] != VERSION:
        raise InputError(f"version {document['version']!r:.60}; this program reads version {VERSION}")
    count, width = (int(v) for v in document["tokens"]["shape"])
    values = base64.b64decode(document["tokens"]["data"], validate=True)
    tokens = ExemplarTokens(values, count, width, str(document["eye"]))
    phrase = document["phrase"]
    pictures = tuple(base64.b64decode(t.partition(",")[2], validate=True) for t in map(str, document["thumbnails"]))
    return Concept(str(document["name"]), None if phrase is None else str(phrase), tokens, pictures)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
