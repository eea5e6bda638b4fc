"""ReasonSeg and its kin: the folder of a split with NAME.jpg and NAME.json, or a table (`parquet.py`).

`reasonseg:PATH`, and with the same forms `reasonseg-r:` (StAR's corrected annotation, sj9909/ReasonSeg_refine),
`reasonseg-x:` (deeper reasoning, sj9909/ReasonSegX_test, by `reasoning_type`) and `reasonseg-sgdr:` (discriminative,
spatial, geometric and multi-step reasoning, snowball521/ReasonSeg-SGDR).

Of a folder the truth is LISA's to the pixel (`sam3_agent/formats/reasonseg.py`); the question is text[0], as in LISA's
evaluation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import ReasonSegRecord, read_reasonseg
from sam3_evals.datasets.parquet import NAMES, Parquet
from sam3_evals.datasets.tables import table_files
from sam3_evals.sample import Case, Source

Opener = Callable[[str, str, int], "ReasonSeg | Parquet"]


@dataclass(frozen=True, slots=True)
class ReasonSeg:
    """One split on disk, streamed."""

    folder: Path
    kind: str = "reasonseg"

    @classmethod
    def opener(cls, kind: str) -> Opener:
        """Make what opens "KIND:PATH", the folder of a split in either form."""
        return partial(cls._open, kind)

    @classmethod
    def _open(cls, kind: str, argument: str, _solver: str, _seed: int) -> "ReasonSeg | Parquet":
        folder = Path(argument).expanduser()
        if table_files(folder):
            return Parquet.of(kind, argument)
        if not folder.is_dir():
            raise InputError(
                f"{argument}: no such folder; give the one that holds NAME.jpg and NAME.json, or .parquet files"
            )
        return cls(folder, kind)

    @property
    def name(self) -> str:
        """The spec: "reasonseg:FOLDER"."""
        return f"{self.kind}:{self.folder}"

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
    reasoning = next((value for name in NAMES["reasoning"] if isinstance(value := record.extra.get(name), str)), "")
    if reasoning:
        strata = {"reasoning": reasoning, **strata}
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
