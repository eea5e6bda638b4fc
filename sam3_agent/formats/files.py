"""Files that appear whole or not at all."""

import json
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a temporary path beside `path`, with its suffix, that takes its place when the block ends well.

    The folder is made when it is missing. Whatever interrupts the block, Ctrl-C included, leaves `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; give what an ordinary open() would have given.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write one JSON document, atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=indent) + "\n")


def write_json_in_pieces(path: Path, value: object) -> None:
    """Write one JSON document, atomically and never held whole: an iterator in it is a list whose items come by and by.

    The text is that of `write_json` of the same values. Iterators stand at the top or in a mapping at the top.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_pieces(value))
        file.write("\n")


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, Iterator):
        yield "["
        for number, item in enumerate(cast(Iterator[object], value)):
            yield f"{', ' if number else ''}{json.dumps(item, ensure_ascii=False)}"
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(cast(dict[str, object], value).items()):
            yield f"{', ' if number else ''}{json.dumps(key, ensure_ascii=False)}: "
            yield from _pieces(item)
        yield "}"
    else:
        yield json.dumps(value, ensure_ascii=False)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def plain(value: Any) -> Any:
    """`value` as JSON gives it back: tuples become lists, keys strings, what JSON lacks its `str`."""
    return json.loads(json.dumps(value, default=str))
