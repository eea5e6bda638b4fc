"""Tables of Parquet or Arrow files: rows read a few at a time, an image only when it is asked for.

Files of one split, in the order of names: `*.parquet` as the Hugging Face hub has them, or `*.arrow` as
`datasets.save_to_disk` writes them (Arrow streams).
"""

import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import parse_json
from sam3_agent.masks import Rle

FILES = (".parquet", ".arrow")
_ROWS = 8
"""Read at a time: a mask of 12 megapixels has 12 MB as numbers."""
_HELD = 4
"""Images that stay in memory as they are in the file: cases about one image follow each other, some jobs at once."""
MOST_IMAGE_BYTES = 256 * 2**20


def table_files(path: Path) -> tuple[Path, ...]:
    """List the files of a table in order: the file itself, or those of a folder, or of its subfolder `data`.

    Raises:
        InputError: there is none, or a folder holds the files of several splits.
    """
    if path.is_file():
        return (path,) if path.suffix.lower() in FILES else ()
    for folder in (path, path / "data"):
        if folder.is_dir() and (found := _listed(folder)):
            splits = {_split_of(file) for file in found}
            if len(splits) > 1:
                raise InputError(f"{folder}: files of several splits ({', '.join(sorted(splits))}); give one file")
            return found
    return ()


def _listed(folder: Path) -> tuple[Path, ...]:
    found = [file for file in folder.iterdir() if file.suffix.lower() in FILES and not file.name.startswith(".")]
    return tuple(sorted(file for file in found if not file.name.startswith("cache-")))  # datasets' own leftovers


def _split_of(file: Path) -> str:
    """The hub's "test" of "test-00000-of-00003.parquet", and of "test.parquet"."""
    return file.stem.partition("-")[0]


class Table:
    """Rows of several files behind each other."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._lock = threading.Lock()
        self._held: dict[int, bytes] = {}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the first file, which the others must have too."""
        return self._parts[0].columns

    @cached_property
    def _parts(self) -> tuple["_Part", ...]:
        parts = tuple(_Part(file) for file in self.files)
        for part in parts[1:]:
            if set(part.columns) != set(parts[0].columns):
                raise InputError(f"{part.file}: other columns than {parts[0].file.name}; are these of one table?")
        return parts

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Stream (number, cells) of every row: `pyarrow` scalars by column, read `_ROWS` rows at a time."""
        number = 0
        for part in self._parts:
            for batch in part.batches(columns):
                for row in range(batch.num_rows):
                    yield number, {name: batch.column(name)[row] for name in columns}
                    number += 1

    def image(self, number: int, column: str) -> bytes:
        """The bytes of the image file in a row; threads may ask.

        Raises:
            InputError: there is no such row, or no image in it.
        """
        with self._lock:
            if number not in self._held:
                cell = self._cell(number, column)
                while len(self._held) >= _HELD:
                    self._held.pop(next(iter(self._held)))
                self._held[number] = image_bytes(cell, self.files[0].parent, f"row {number}")
            return self._held[number]

    def _cell(self, number: int, column: str) -> Any:
        before = 0
        for part in self._parts:
            if number < before + part.rows:
                return part.cell(number - before, column)
            before += part.rows
        raise InputError(f"{self.files[0].parent}: no row {number}; there are {before}")


class _Part:
    """A file; a cursor stays behind the last image, as these are asked for in order."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._cursor: tuple[str, Iterator[Any]] = ("", iter(()))
        self._batch: tuple[int, Any] | None = None

    @cached_property
    def _parquet(self) -> Any:
        try:
            return library("pyarrow.parquet").ParquetFile(self.file)
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise InputError(f"{self.file}: not a Parquet file ({_short(error)})") from error

    @property
    def _is_parquet(self) -> bool:
        return self.file.suffix.lower() == ".parquet"

    @cached_property
    def _stream(self) -> list[Any]:
        """Batches of an Arrow file, which stay on the disk until they are looked at."""
        arrow = library("pyarrow")
        try:
            with library("pyarrow.ipc").open_stream(arrow.memory_map(str(self.file))) as reader:
                return list(reader)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.file}: not a stream of Arrow batches ({_short(error)})") from error

    @cached_property
    def columns(self) -> tuple[str, ...]:
        if self._is_parquet:
            return tuple(self._parquet.schema_arrow.names)
        return tuple(self._stream[0].schema.names) if self._stream else ()

    @cached_property
    def rows(self) -> int:
        return self._parquet.metadata.num_rows if self._is_parquet else sum(b.num_rows for b in self._stream)

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        if not self._is_parquet:
            for whole in self._stream:
                for start in range(0, whole.num_rows, _ROWS):
                    yield whole.slice(start, _ROWS)
            return
        try:
            yield from self._parquet.iter_batches(batch_size=_ROWS, columns=list(columns))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.file}: cannot be read ({_short(error)})") from error

    def cell(self, row: int, column: str) -> Any:
        """A cell; rows in ascending order are read once."""
        held = self._batch
        if held is None or row < held[0] or self._cursor[0] != column:
            self._cursor, held = (column, self.batches([column])), None
        start = 0 if held is None else held[0]
        batch = None if held is None else held[1]
        while batch is None or row >= start + batch.num_rows:
            start += 0 if batch is None else batch.num_rows
            batch = next(self._cursor[1])
        self._batch = (start, batch)
        return batch.column(column)[row - start]


def image_bytes(cell: Any, beside: Path, where: str) -> bytes:
    """Read an image cell: bytes, or `datasets`' pair of bytes and path, whose path lies beside the table.

    Raises:
        InputError: there is no image, or its path leads elsewhere.
    """
    value: Any = cell.as_py()
    pair = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    data, path = pair.get("bytes", value), pair.get("path", value)
    if isinstance(data, bytes) and data:
        return data
    if not isinstance(path, str) or not path:
        raise InputError(f"{where}: there is no image")
    found = (beside / path).resolve()
    if not found.is_relative_to(beside.resolve()) or not found.is_file():
        raise InputError(f"{where}: no image {path!r} beside the table")
    if found.stat().st_size > MOST_IMAGE_BYTES:
        raise InputError(f"{where}: {path!r} has more than {MOST_IMAGE_BYTES} bytes")
    return found.read_bytes()


def masks_of(cell: Any, where: str) -> tuple[tuple[Rle, ...], bool]:
    """Read a mask cell, and tell whether it keeps instances apart.

    It is one bitmap (lists of rows), a list of bitmaps, COCO's run lengths or a list of them, either as text (JSON)
    too, or an image file whose pixels beside 0 are meant.

    Raises:
        InputError: it is none of these.
    """
    types = library("pyarrow.types")
    if not cell.is_valid:
        return (), False
    kind = cell.type
    if types.is_string(kind) or types.is_large_string(kind):
        return _of_json(parse_json(cell.as_py(), where), where)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _one(_decoded(cell.as_py(), where)), False
    if types.is_struct(kind):
        return _of_struct(cell.as_py(), where)
    depth, inner = _depth(kind, types)
    if types.is_struct(inner):
        found = [_of_struct(each, where)[0] for each in cell.as_py()]
        return tuple(rle for each in found for rle in each), True
    if depth == 2:
        return _one(_bitmap(cell.values, where)), False
    if depth == 3:
        return tuple(rle for each in cell.values for rle in _one(_bitmap(each.values, where))), True
    raise InputError(f"{where}: neither a bitmap, run lengths nor an image, but {kind}")


def _depth(kind: Any, types: Any) -> tuple[int, Any]:
    depth = 0
    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, kind


def _bitmap(rows: Any, where: str) -> NDArray[np.bool_]:
    """Turn an Arrow list of rows into (H, W) bool, without a Python object a pixel."""
    if rows is None or not len(rows):
        return np.zeros((0, 0), dtype=np.bool_)
    lengths = set(rows.value_lengths().to_pylist())
    flat = rows.flatten()
    width = lengths.pop() or 0
    if lengths or width < 1 or flat.null_count:
        raise InputError(f"{where}: a bitmap whose rows differ in length")
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(rows), width) != 0


def _one(bitmap: NDArray[np.bool_]) -> tuple[Rle, ...]:
    return (masks.encode(bitmap),) if bitmap.any() else ()


def _of_struct(value: Any, where: str) -> tuple[tuple[Rle, ...], bool]:
    if value is None:
        return (), False
    if "counts" in value:
        rle = masks.from_json(value)
        return ((rle,) if masks.area(rle) else ()), False
    if value.get("bytes"):
        return _one(_decoded(value["bytes"], where)), False
    raise InputError(f"{where}: a mask of the fields {', '.join(value)}; expected size and counts, or an image")


def _of_json(value: Any, where: str) -> tuple[tuple[Rle, ...], bool]:
    if isinstance(value, list):
        return tuple(rle for each in cast(list[Any], value) for rle in _of_struct(each, where)[0]), True
    if isinstance(value, dict):
        return _of_struct(cast(Any, value), where)
    raise InputError(f"{where}: text that holds no run lengths: {json.dumps(value):.60}")


def _decoded(data: bytes, where: str) -> NDArray[np.bool_]:
    """(H, W) of a mask's image file; as `datasets` decodes it, without turning it."""
    try:
        with Image.open(BytesIO(data), formats=("PNG", "TIFF", "BMP", "JPEG", "WEBP")) as picture:
            return np.asarray(picture.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: not an image ({error})") from error


def library(name: str) -> Any:
    """Import a part of pyarrow.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError("Parquet and Arrow files are read by pyarrow: pip install pyarrow") from error


def _short(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.200}"
