"""Rewriting of many wordings into few: a table of patterns turns them into markers (<leftmost>, <left of>)."""

import re

Table = tuple[tuple[str, str], ...]
"""(pattern, marker), tried from top to bottom; in a marker SIDE, CORNER, WORD, NP and REST stand for groups."""

_SIDE_NAME = {"up": "top", "upper": "top", "down": "bottom", "lower": "bottom"}


def any_of(*alternatives: str) -> str:
    """Return a pattern that matches any of the alternatives."""
    return f"(?:{'|'.join(alternatives)})"


def rewrite(text: str, table: Table, led_in: str = "") -> str:
    """Replace every wording of `table` in `text` by its marker; `led_in` may stand before any of them."""
    for pattern, marker in table:
        text = re.sub(rf"(?<![\w<-]){led_in}(?:{pattern})(?![\w>-])", lambda m, marker=marker: _filled(marker, m), text)
        text = " ".join(text.split())
    return text


def _filled(marker: str, found: re.Match[str]) -> str:
    groups = {name: text or "" for name, text in found.groupdict().items()}
    side, corner = groups.get("side", ""), groups.get("corner", "")
    marker = marker.replace("SIDE", _SIDE_NAME.get(side, side))
    marker = marker.replace("CORNER", corner.replace("upper", "top").replace("lower", "bottom"))
    for name in ("word", "np", "rest"):
        marker = marker.replace(name.upper(), groups.get(name, ""))
    return f" {marker} "
