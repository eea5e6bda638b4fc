"""Learned concepts as small JSON files: NAME.concept.json."""

import base64
import binascii
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_json
from sam3_agent.formats.reading import read_json
from sam3_agent.types import CanvasExample, CloseUps, Concept, ConceptEstimate, ExemplarTokens

FORMAT = "sam3-agent concept"
VERSION = 2
"""Version 1 held the tokens of the examples alone, which were asked as they are."""
SUFFIX = ".concept.json"
MOST_BYTES = 5_000_000
MOST_TOKENS = 64
"""Asked with at once; each is read by every place of an image. Teaching makes 8, earlier versions made up to 32."""
MOST_KEPT = 256
"""Tokens of examples, as many as may be learned from; also of those seen close by, and of other things."""
MOST_WIDTH = 4096
"""Numbers of a token; SAM 3 has 256."""
LARGEST = 1e4
"""Of a token's numbers, which are about 1 to 10: larger ones overflow in bfloat16's softmax and find nothing or all."""
MOST_THUMBNAILS = 32
MOST_CANVAS = 3
"""Examples that are shown beside an image."""
LONGEST_PICTURE = 4096
MOST_NOTES = 16
LONGEST_TEXT = 1000
"""Characters of a phrase or note."""


def write_concept(concept: Concept, path: Path) -> None:
    """Write a concept, atomically: 1.4 kB an example or token at full size, and about 3 kB a thumbnail."""
    estimate = concept.estimate
    write_json(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "name": concept.name,
            "phrase": concept.phrase,
            "eye": concept.tokens.segmenter,
            "tokens": _tokens_json(concept.tokens),
            "examples": _tokens_json(concept.examples) if concept.examples is not None else None,
            "threshold": concept.threshold,
            "least_presence": concept.least_presence,
            "close_ups": _close_ups_json(concept.close_ups) if concept.close_ups is not None else None,
            "estimate": estimate.to_json() if estimate is not None else None,
            "notes": list(concept.notes),
            "canvas": [{"image": _data_uri(each.picture), "box": list(each.box)} for each in concept.canvas],
            "thumbnails": [_data_uri(picture) for picture in concept.thumbnails],
        },
        indent=1,
    )


def read_concept(path: Path) -> Concept:
    """Read a concept file.

    Raises:
        InputError: it is missing or not such a file.
    """
    try:
        concept = _concept(read_json(path, most=MOST_BYTES, finite=True))
    except OSError as error:
        raise InputError(f"cannot read the concept file '{path}': {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise InputError(f"'{path}' is no concept file, or a damaged one ({type(error).__name__}: {error})") from error
    except InputError as error:
        raise InputError(f"'{path}' is no concept file: {str(error).removeprefix(f'{path}: ')}") from error
    _check_bounds(concept, path)
    return concept


def _check_bounds(concept: Concept, path: Path) -> None:
    """Refuse a stranger's file before anything of it reaches a model or a terminal."""
    close = concept.close_ups
    closely = () if close is None else ((close.examples, MOST_KEPT), (close.others, MOST_KEPT))
    for tokens, most in ((concept.tokens, MOST_TOKENS), (concept.examples, MOST_KEPT), *closely):
        if tokens is None:
            continue
        if tokens.count > most or tokens.width > MOST_WIDTH:
            raise InputError(
                f"'{path}' holds {tokens.count} tokens of {tokens.width} numbers; at most {most} of {MOST_WIDTH}"
                " are read"
            )
        if tokens.width != concept.tokens.width:
            raise InputError(f"'{path}' holds tokens of {concept.tokens.width} and of {tokens.width} numbers")
        if not np.isfinite(tokens.array).all():
            raise InputError(f"the tokens in '{path}' are damaged: they hold numbers that are not finite")
        if np.abs(tokens.array).max() > LARGEST:
            raise InputError(f"the tokens in '{path}' are damaged: they hold numbers beyond {LARGEST:.0f}")
    texts = (*concept.notes, concept.phrase or "", concept.tokens.segmenter)
    if len(concept.notes) > MOST_NOTES or any(len(text) > LONGEST_TEXT for text in texts):
        raise InputError(f"'{path}' holds more than {MOST_NOTES} notes, or a text of over {LONGEST_TEXT} characters")
    if any(not text.isprintable() for text in texts):
        raise InputError(f"'{path}' holds characters in its texts that no terminal should be sent")
    if len(concept.canvas) > MOST_CANVAS:
        raise InputError(f"'{path}' holds {len(concept.canvas)} examples to be shown; at most {MOST_CANVAS} are read")
    for each in concept.canvas:
        _check_jpeg(each.picture, path)
    if len(concept.thumbnails) > MOST_THUMBNAILS:
        raise InputError(f"'{path}' holds {len(concept.thumbnails)} thumbnails; at most {MOST_THUMBNAILS} are read")


def _check_jpeg(picture: bytes, path: Path) -> None:
    """Refuse what is no JPEG of a usual size, before it is drawn."""
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG",)) as opened:
            if max(opened.size) > LONGEST_PICTURE:
                raise InputError(f"'{path}' holds a picture of {opened.size[0]}x{opened.size[1]} pixels")
            opened.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"'{path}' holds an example that is no JPEG picture: {error}") from error


def _concept(document: dict[str, Any]) -> Concept:
    if document["format"] != FORMAT:
        raise InputError(f"format {document['format']!r:.60}, expected {FORMAT!r}")
    if document["version"] not in (1, VERSION):
        raise InputError(f"version {document['version']!r:.60}; this program reads versions 1 and {VERSION}")
    segmenter = str(document["eye"])
    phrase, examples = document["phrase"], document.get("examples")
    pictures = tuple(_picture(each) for each in document["thumbnails"])
    return Concept(
        str(document["name"]),
        None if phrase is None else str(phrase),
        _tokens(document["tokens"], segmenter),
        pictures,
        None if examples is None else _tokens(examples, segmenter),
        float(document.get("threshold", 0.5)),
        _estimate(document.get("estimate")),
        tuple(str(note) for note in document.get("notes", ())),
        tuple(_canvas_example(each) for each in document.get("canvas", ())),
        least_presence=float(document.get("least_presence", 0.0)),
        close_ups=_close_ups(document.get("close_ups"), segmenter),
    )


def _canvas_example(document: dict[str, Any]) -> CanvasExample:
    x0, y0, x1, y1 = (float(v) for v in document["box"])
    if not 0 <= x0 < x1 <= LONGEST_PICTURE or not 0 <= y0 < y1 <= LONGEST_PICTURE:
        raise ValueError(f"box {[x0, y0, x1, y1]} is none of a picture")
    return CanvasExample(_picture(document["image"]), (x0, y0, x1, y1))


def _picture(uri: object) -> bytes:
    return base64.b64decode(str(uri).partition(",")[2], validate=True)


def _data_uri(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{_text(picture)}"


def _tokens_json(tokens: ExemplarTokens) -> dict[str, Any]:
    return {"shape": [tokens.count, tokens.width], "dtype": "float32", "data": _text(tokens.values)}


def _tokens(document: dict[str, Any], segmenter: str) -> ExemplarTokens:
    count, width = (int(v) for v in document["shape"])
    return ExemplarTokens(base64.b64decode(document["data"], validate=True), count, width, segmenter)


def _close_ups_json(known: CloseUps) -> dict[str, Any]:
    others = _tokens_json(known.others) if known.others is not None else None
    return {"examples": _tokens_json(known.examples), "others": others, "least": known.least, "spread": known.spread}


def _close_ups(document: dict[str, Any] | None, segmenter: str) -> CloseUps | None:
    if document is None:
        return None
    others = document["others"]
    return CloseUps(
        _tokens(document["examples"], segmenter),
        None if others is None else _tokens(others, segmenter),
        float(document["least"]),
        float(document.get("spread", 0.0)),
    )


def _estimate(document: dict[str, Any] | None) -> ConceptEstimate | None:
    if document is None:
        return None
    found, examples, false, words, images = (
        int(document[key]) for key in ("found", "examples", "false", "other_words", "images")
    )
    absent, refused = (int(document.get(key, 0)) for key in ("absent_images", "absent_refused"))
    return ConceptEstimate(found, examples, false, words, images, bool(document["held_out"]), absent, refused)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
