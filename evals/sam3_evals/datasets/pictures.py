"""Where a dataset's pictures lie: "FILE@FOLDER" says it, otherwise the usual places are looked at."""

from collections.abc import Sequence
from pathlib import Path

from sam3_agent.errors import InputError


def check_files(*files: Path) -> None:
    """Raises InputError naming the first file that is not there."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")


def split_pictures(argument: str) -> tuple[str, Path | None]:
    """(what stands before, the folder after the last "@").

    Raises:
        InputError: there is no such folder.
    """
    before, at, after = argument.rpartition("@")
    if not at:
        return argument, None
    folder = Path(after).expanduser()
    if not folder.is_dir():
        raise InputError(f"{after}: no such folder of pictures")
    return before, folder


def picture_folder(given: Path | None, usual: Sequence[Path], first: str) -> Path:
    """The folder that holds the picture `first`.

    Raises:
        InputError: it is in none of them.
    """
    candidates = [given] if given is not None else list(usual)
    for folder in candidates:
        if (folder / first).is_file():
            return folder
    looked = ", ".join(str(folder) for folder in candidates)
    raise InputError(f"the picture {first} is not in {looked}; say where: DATASET@FOLDER")
