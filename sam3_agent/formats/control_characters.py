"""Characters that steer a terminal, turn the direction of writing, break a line or spoil a file, written visibly.

File names, labels and what an LLM says come from strangers. A terminal obeys what follows ESC or a C1 control, a bidi
override shows "gpj.exe" as "exe.jpg", and XML holds no control but three.
"""

import json
import logging
import re
from typing import Any

_STEERING = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    r"\u2028\u2029\u200b\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # lines, and what nobody sees
    r"\ud800-\udfff"  # halves of characters, and bytes of a file name that is no UTF-8
)
_IN_TEXT = re.compile(f"[{_STEERING}]")
_IN_LINE = re.compile(f"[{_STEERING}\n]")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def visible_text(text: str) -> str:
    r"""The text with each such character as its escape, such as \x1b or \u202e; line feeds and tabs stay."""
    return _IN_TEXT.sub(_escape, text)


def visible_line(text: str) -> str:
    r"""The text as one line: as `visible_text`, and line feeds as \n."""
    return _IN_LINE.sub(_escape, text)


def visible_json(document: Any, *, indent: int | None = None) -> str:
    """The JSON of a document, in which such characters stand as JSON's own escapes: it says the same."""
    return _IN_TEXT.sub(_json_escape, json.dumps(document, ensure_ascii=False, indent=indent))


def xml_text(text: str) -> str:
    """The text as XML 1.0 can hold it."""
    return _NO_XML.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


class VisibleFormatter(logging.Formatter):
    """Formatter of a log that a person reads: one message is one line, and steers nothing."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Write the message on one line."""
        return visible_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Write the traceback on its lines."""
        return visible_text(super().formatException(ei))
