"""Image folder of a dataset: "FILE@FOLDER" says it, otherwise the usual places are looked at."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sam3_agent.errors import InputError


def check_files(*files: Path) -> None:
    """Raises InputError naming the first file that is not there."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")


def split_pictures(argument: str) -> tuple[str, Path | None]:
    """Split "FILE@FOLDER" into what stands before the last "@" that begins a folder, and that folder.

    Paths may hold "@" themselves: an argument that is there as a whole is one path, and so is what ends in none.

    Raises:
        InputError: what could be meant is neither a file nor a folder of images.
    """
    if "@" not in argument or is_path(argument):
        return argument, None
    for at in (place for place in range(len(argument) - 1, -1, -1) if argument[place] == "@"):
        folder = Path(argument[at + 1 :]).expanduser()
        if argument[at + 1 :] and _is(folder.is_dir):
            return argument[:at], folder
    before, _, after = argument.rpartition("@")
    ends = [len(before) + 1 + place for place, sign in enumerate(after) if sign in "/:,"]
    if any(is_path(argument[:end]) for end in ends):  # the "@" belongs to a path, and more is said behind it
        return argument, None
    raise InputError(f"{after}: no such folder of images (for {before})")


def file_and_pictures(argument: str) -> tuple[Path, Path | None]:
    """Split "FILE[@PICTURES]", the argument of a dataset that is one file.

    Raises:
        InputError: file or folder is not there.
    """
    text, given = split_pictures(argument)
    file = Path(text).expanduser()
    check_files(file)
    return file, given


def spec_of(kind: str, argument: object, given: Path | None) -> str:
    """Give "KIND:ARGUMENT[@PICTURES]", which opens a dataset again."""
    return f"{kind}:{argument}" + (f"@{given}" if given is not None else "")


def split_files(text: str) -> tuple[Path, ...]:
    """Split "FILE[,FILE,FILE]" where paths may hold "," themselves: the first way in which all are files.

    Where none is, every comma parts two files.
    """
    parts = text.split(",")
    found: list[str] = []
    start = 0
    while start < len(parts):
        ends = range(len(parts), start, -1)
        joined = next((end for end in ends if is_path(",".join(parts[start:end]))), start + 1)
        found.append(",".join(parts[start:joined]))
        start = joined
    return tuple(Path(part).expanduser() for part in found)


def is_path(text: str) -> bool:
    """Tell whether there is a file or folder of that path."""
    return bool(text) and _is(Path(text).expanduser().exists)


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such home
        return False


def picture_folder(given: Path | None, usual: Sequence[Path], first: str) -> Path:
    """The folder that holds the image `first`.

    Raises:
        InputError: it is in none of them.
    """
    candidates = [given] if given is not None else list(usual)
    for folder in candidates:
        if (folder / first).is_file():
            return folder
    looked = ", ".join(str(folder) for folder in candidates)
    raise InputError(f"the image {first} is not in {looked}; say where: DATASET@FOLDER")
