"""The REFER API's pickles, read without running anything that is in them."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import pydantic

from sam3_agent.errors import InputError
from sam3_agent.formats.validation_error import first_error

_LARGEST = 1 << 30
"""Bytes; the largest of the published files, refs(google).p, has under 100 MB."""


class Sentence(pydantic.BaseModel):
    """One expression."""

    sent_id: int
    sent: Annotated[str, pydantic.Field(min_length=1)]
    """As normalized by REFER; what published figures ask."""


class Ref(pydantic.BaseModel):
    """One annotated object with the expressions that mean it."""

    ref_id: int
    ann_id: int
    image_id: int
    split: str
    sentences: Annotated[list[Sentence], pydantic.Field(min_length=1)]


def read_refs(path: Path) -> list[Ref]:
    """Every entry of refs(NAME).p.

    Raises:
        InputError: it is not a pickle of plain values, or an entry is broken; the message names file, entry and field.
        OSError: it cannot be read.
    """
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: {path.stat().st_size} bytes are more than any REFER file has; not read")
    entries = plain_pickle(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected a list of refs, got {type(entries).__name__}")
    refs: list[Ref] = []
    for number, entry in enumerate(entries):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        try:
            refs.append(Ref.model_validate(entry))
        except pydantic.ValidationError as error:
            raise InputError(f"{path}: ref {number}: {first_error(error, 'entry')}") from error
    return refs


class InSplit(Protocol):
    """An entry that says which split it belongs to."""

    @property
    def split(self) -> str:
        """Such as "val"."""
        ...


R = TypeVar("R", bound=InSplit)


def of_split(refs: Sequence[R], split: str, path: Path) -> list[R]:
    """The entries of one split, in order.

    Raises:
        InputError: there are none; the message says which splits the file has.
    """
    mine = [ref for ref in refs if ref.split == split]
    if not mine:
        known = ", ".join(sorted({ref.split for ref in refs}))
        raise InputError(f"{path}: no ref in the split {split!r}; it has: {known}")
    return mine


def plain_pickle(path: Path) -> Any:
    """A pickle that holds nothing but numbers, texts, lists, tuples, sets and dicts; Python 2's texts are latin-1.

    Raises:
        InputError: it is broken, or wants anything imported, which is refused before it happens.
    """
    try:
        return _Plain(path).load()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not a readable pickle ({error or type(error).__name__})") from error


class _Plain(pickle.Unpickler):
    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(path.read_bytes()), encoding="latin-1")
        self._path = path

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuse every import."""
        raise InputError(
            f"{self._path}: wants to import {module_name}.{global_name}; a REFER pickle holds plain values"
        )

    def persistent_load(self, pid: Any, /) -> Any:
        """Refuse every outside reference."""
        raise InputError(f"{self._path}: refers to something outside of it ({pid!r:.60}); not read")
