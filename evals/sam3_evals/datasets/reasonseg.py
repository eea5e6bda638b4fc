"""ReasonSeg: the folder of a split with NAME.jpg and NAME.json, or one of your own in that layout.

The truth is LISA's to the pixel (`sam3_agent/formats/reasonseg.py`); the question is text[0], as in LISA's evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import ReasonSegRecord, read_reasonseg
from sam3_evals.sample import Case, Source


@dataclass(frozen=True, slots=True)
class ReasonSeg:
    """One split on disk, streamed."""

    folder: Path

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "ReasonSeg":
        """Open the folder of one split.

        Raises:
            InputError: there is no such folder.
        """
        folder = Path(argument).expanduser()
        if not folder.is_dir():
            raise InputError(f"{argument}: no such folder; give the one that holds NAME.jpg and NAME.json")
        return cls(folder)

    @property
    def name(self) -> str:
        """The spec: "reasonseg:FOLDER"."""
        return f"reasonseg:{self.folder}"

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a record, in the order of names."""
        return (case_of(record) for record in islice(read_reasonseg(self.folder), limit))

    def picture(self, case: Case) -> Source:
        """The file."""
        return self.folder / case.picture


def case_of(record: ReasonSegRecord) -> Case:
    """The case that a record's first text asks."""
    height, width = record.target.shape
    present = bool(record.target.any())
    strata = {"form": "long" if record.is_sentence else "short"}
    kind = record.extra.get("kind")
    if isinstance(kind, str):  # files that `sam3-agent scenes` wrote say it
        strata = {"kind": kind, **strata}
    return Case(
        id=record.name,
        picture=record.image_path.name,
        query=record.texts[0],
        size=(int(height), int(width)),
        targets=(masks.encode(record.target),) if present else (),
        ignore=masks.encode(record.ignore) if record.ignore.any() else None,
        strata=strata,
        by_instance=False,
    )
