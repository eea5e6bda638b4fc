"""Rows of a benchmark kept on disk, so that a run that was stopped goes on with the draw that it was at."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from sam3_agent.formats.files import write_json

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RowStore:
    """Folder of rows, each named by what it is of; a method that changed needs another folder."""

    folder: Path | None
    """None keeps nothing."""
    given: Mapping[str, Any]
    """Facts of all rows: the weights' fingerprint, and options that decide figures."""

    def row(self, kind: type[R], draw: Mapping[str, Any], measure: Callable[[Path | None], R]) -> R:
        """Give the row of a draw: read where it was measured before, else measured, with a folder for checkpoints."""
        if self.folder is None:
            return measure(None)
        words = json.dumps({"of": kind.__name__, **self.given, **draw}, sort_keys=True, default=str)
        place = self.folder / hashlib.sha256(words.encode()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        rows = pydantic.TypeAdapter(kind)
        file = place / "row.json"
        if file.is_file():
            return rows.validate_python(json.loads(file.read_text(encoding="utf-8"))["row"])
        row = measure(place)
        write_json(file, {"given": json.loads(words), "row": rows.dump_python(row, mode="json")}, indent=1)
        return row
