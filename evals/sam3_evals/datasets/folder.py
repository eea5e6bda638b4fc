"""A folder of your own in ReasonSeg's layout: subfolders too, and every text of a record is a question.

`folder:PATH`. For figures that compare with published ones use `reasonseg:PATH`, which asks text[0] alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_agent.formats.reasonseg import PICTURES, read_reasonseg
from sam3_evals.datasets.reasonseg import case_of
from sam3_evals.sample import Case, Source


@dataclass(frozen=True, slots=True)
class Folder:
    """All records under a folder."""

    folder: Path

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "Folder":
        """Open a folder.

        Raises:
            InputError: there is no such folder, or nothing in it.
        """
        folder = Path(argument).expanduser()
        if not folder.is_dir():
            raise InputError(f"{argument}: no such folder; give one with NAME.jpg and NAME.json, in subfolders or not")
        return cls(folder)

    @property
    def name(self) -> str:
        """The spec: "folder:PATH"."""
        return f"folder:{self.folder}"

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a text, folder by folder, in the order of names."""
        del limit
        holders = [folder for folder in [self.folder, *sorted(_folders(self.folder))] if _holds_records(folder)]
        if not holders:
            raise InputError(f"{self.folder}: no NAME.json beside NAME.jpg here or in a subfolder")
        for holder in holders:
            within = holder.relative_to(self.folder).as_posix()
            prefix = "" if within == "." else f"{within}/"
            for record in read_reasonseg(holder):
                asked = case_of(record)
                for number, text in enumerate(record.texts):
                    name = f"{prefix}{asked.id}" + (f"#{number}" if number else "")
                    yield replace(asked, id=name, picture=f"{prefix}{asked.picture}", query=text)

    def picture(self, case: Case) -> Source:
        """The file."""
        return self.folder / case.picture


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_dir() and not path.name.startswith("."))


def _holds_records(folder: Path) -> bool:
    return any(path.suffix.lower() in (".json", *PICTURES) for path in folder.iterdir() if path.is_file())
