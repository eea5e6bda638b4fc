"""Images or videos that a command is given: files, folders and globs, told apart from the concepts that follow them."""

import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam3_agent.errors import InputError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".jp2", ".avif", ".ppm", ".pgm", ".mpo",
)  # fmt: skip
"""Suffixes that are taken from a folder; a file that is named itself may be called anything."""
_MAGIC = re.compile(r"[*?\[]")
_URI = re.compile(r"^(data:|[A-Za-z][A-Za-z0-9+.-]+://)")
_MOST_NAMED = 3
"""Names in one sentence; more are counted."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of source that a command works on."""

    word: str
    """"image"."""
    suffixes: tuple[str, ...]
    in_folder: Callable[[str], list[str]]
    """Sources that a folder stands for, in no order; the folder itself where it is one source."""


@dataclass(frozen=True, slots=True)
class Images:
    """Sources of images (or videos) in order, each once."""

    sources: tuple[str, ...]
    many: bool
    """A folder, a glob or several were given: results are then one line or one file an image, even if it is one."""
    word: str = "image"

    def words(self) -> str:
        """Count and first names, for a sentence."""
        if len(self.sources) == 1:
            return f"1 {self.word} ({_short(self.sources[0])})"
        names = ", ".join(_short(source) for source in self.sources[:_MOST_NAMED])
        return f"{len(self.sources)} {self.word}s ({names}{', ...' if len(self.sources) > _MOST_NAMED else ''})"


@dataclass(frozen=True, slots=True)
class Understood:
    """Positional arguments of a command, taken apart."""

    images: Images
    texts: tuple[str, ...]
    """Concepts, or the query."""
    note: str = ""
    """One sentence about how they were told apart, where another reading was possible."""


def _images_in(folder: str) -> list[str]:
    """Images of a folder, not those of folders below."""
    return [str(path) for path in visible_files(folder) if path.suffix.lower() in SUFFIXES]


def visible_files(folder: str) -> list[Path]:
    """Files of a folder but for hidden ones."""
    return [path for path in Path(folder).expanduser().iterdir() if not path.name.startswith(".") and path.is_file()]


IMAGES = Kind("image", SUFFIXES, _images_in)


def find_images(arguments: Sequence[str], kind: Kind = IMAGES) -> Images:
    """Resolve files, folders (what the kind finds in them), globs and URIs.

    Raises:
        InputError: a folder or a glob without an image, or an image file that is not there.
    """
    sources: dict[str, None] = {}
    many = len(arguments) > 1
    for argument in arguments:
        found = _resolved(argument, kind)
        many = many or found != [argument]
        sources |= dict.fromkeys(found)
    return Images(tuple(sources), many, kind.word)


def tell_apart(
    before: Sequence[str], after: Sequence[str] | None, *, texts_apart: bool = False, kind: Kind = IMAGES
) -> Understood:
    """Split positional arguments into images and texts (concepts).

    Args:
        before: the arguments before `--`; all of them where there was none.
        after: the arguments after `--`, which are texts whatever they look like; None where there was no `--`.
        texts_apart: texts are given by an option, so that every positional argument is an image.
        kind: what counts as an image.

    Raises:
        InputError: an image after the first concept, or as for `find_images`.
    """
    if after is not None or texts_apart:
        return Understood(find_images(before, kind), tuple(after or ()))
    first, *rest = before
    count = next((n for n, text in enumerate(rest) if not _is_image(text, kind)), len(rest))
    late = next((text for text in rest[count:] if _is_image(text, kind)), None)
    if late is not None:
        raise InputError(
            f"{_short(late)!r} is {_one(kind.word)}, but comes after the concept {rest[count]!r}: give {kind.word}s"
            f" first, or write '--' between {kind.word}s and concepts"
        )
    images, texts = find_images([first, *rest[:count]], kind), tuple(rest[count:])
    return Understood(images, texts, _note(images, texts, count))


def _note(images: Images, texts: Sequence[str], count: int) -> str:
    folder = next((text for text in texts if os.path.exists(text)), None)  # noqa: PTH110  # no error for texts that are no paths
    if folder is not None:
        return (
            f"{folder!r} is taken for a concept, though there is a file or folder of this name; to open it, write"
            f" {f'./{folder}'!r}"
        )
    if count and texts:
        return f"understood: {images.words()}, then {', '.join(repr(t) for t in texts)}; '--' between them makes sure"
    return ""


def _one(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _is_image(text: str, kind: Kind) -> bool:
    """Whether a further argument means an image: by its suffix, or as a glob, path or URI that is there."""
    if _URI.match(text) or Path(text).suffix.lower() in kind.suffixes:
        return True
    if _MAGIC.search(text):
        return any(True for _ in glob.iglob(text, recursive=True))  # noqa: PTH207  # absolute patterns too
    return ("/" in text or text in (".", "..")) and os.path.exists(text)  # noqa: PTH110


def _resolved(argument: str, kind: Kind) -> list[str]:
    if _URI.match(argument) or not argument.strip():
        return [argument]
    path = Path(argument).expanduser()
    if os.path.isdir(path):  # noqa: PTH112  # no error for a text that is no path
        found = sorted(kind.in_folder(argument), key=_natural)
        if not found:
            raise InputError(
                f"the folder {_short(argument)!r} holds no {kind.word} ({', '.join(kind.suffixes[:4])}, ...)"
            )
        return found
    if _MAGIC.search(argument) and not os.path.exists(path):  # noqa: PTH110
        matches = [Path(match) for match in glob.iglob(str(path), recursive=True)]  # noqa: PTH207
        found = sorted((match for each in matches for match in _matching(each, kind)), key=_natural)
        if not found:
            raise InputError(f"no {kind.word} matches {_short(argument)!r}")
        return found
    return [argument]


def _matching(path: Path, kind: Kind) -> list[str]:
    """Path that a glob met, if it is a source: a file of the kind, or a folder that is one source."""
    if path.is_dir():
        return [str(path)] if kind.in_folder(str(path)) == [str(path)] else []
    return [str(path)] if path.suffix.lower() in kind.suffixes and path.is_file() else []


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key in which 2.png comes before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _short(text: str) -> str:
    """Shorten it in the middle: what names a file is at its end."""
    return text if len(text) <= 80 else f"{text[:30]}...{text[-47:]}"
