"""Names of images in label files, matched to the files at hand where that is safe.

A label file may come from another machine: with backslashes, decomposed accents (macOS), percent signs, another case
or folders that are not there. A name means the file that shares the longest end of its path with it; where several
share as much, or the two lie in different splits, it means none.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

Parts = tuple[str, ...]
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "train2014", "train2017"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val2014", "val2017"), "val"),
    **dict.fromkeys(("test", "testing", "test2014", "test2015", "test2017"), "test"),
}
"""Usual names of the folders of a split -> the split."""
_WHOLE = 1000
"""Stands for a whole relative path, which says more than any end of a longer one."""
_MANY = 1000
"""Files of one name that are not looked at one by one: such a name alone means none of them."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|/data/(local-files|upload)/")


@dataclass(frozen=True, slots=True)
class Matches:
    """The outcome for all names of a file."""

    paths: Mapping[str, tuple[str, ...]]
    """Name -> the paths that it means: several only where names have no suffix."""
    unmatched: tuple[str, ...]
    """Names of no file."""
    ambiguous: Mapping[str, tuple[str, ...]]
    """Name -> files that it could mean."""
    contested: Mapping[str, tuple[str, ...]]
    """Name -> the other names that mean the same file as well."""
    loose: frozenset[str]
    """Names that stand in one folder while their file stands in another: worth a remark."""


class ImageNames:
    """An index of files by the ends of their paths."""

    def __init__(self, root: Path, paths: Sequence[str], digest: Callable[[str], str], *, stems: bool = False) -> None:
        """Index files by their paths relative to `root`.

        Args:
            root: the folder; its own name tells splits apart.
            paths: the files.
            digest: gives a digest of a file, asked only where a name could mean several: one content is one image.
            stems: names have no suffix, as those of YOLO's label files.
        """
        above = tuple(_folded(part) for part in root.resolve().parts)
        self._stems = stems
        self._digest = digest
        self._files: dict[str, Parts] = {}
        self._whole: dict[Parts, list[str]] = {}
        self._by_end: dict[Parts, list[str]] = {}
        for path in paths:
            parts = _path_parts(_without_suffix(path) if stems else path)
            self._whole.setdefault(parts, []).append(path)
            self._files[path] = (*above, *parts)
            lower = tuple(part.casefold() for part in self._files[path])
            for shared in range(1, len(lower) + 1):
                self._by_end.setdefault(lower[-shared:], []).append(path)

    def match(self, names: Sequence[str]) -> Matches:
        """Find the files of names; a file that several names mean belongs to the one that shares most of its path."""
        found: dict[str, tuple[int, tuple[str, ...]]] = {}
        unmatched: list[str] = []
        ambiguous: dict[str, tuple[str, ...]] = {}
        for name in dict.fromkeys(names):
            shared, paths = self._find(name)
            if not paths:
                unmatched.append(name)
            elif len(self._images(paths)) > 1:
                ambiguous[name] = tuple(sorted(paths))
            else:
                found[name] = (shared, tuple(sorted(paths)))
        contested = _contested(found)
        paths = {name: paths for name, (_, paths) in found.items() if name not in contested}
        loose = frozenset(name for name in paths if self._is_loose(name, *found[name]))
        return Matches(paths, tuple(unmatched), ambiguous, contested, loose)

    def find(self, name: str) -> str | None:
        """Find the file that a name alone means; None where it means none or several."""
        _, paths = self._find(name)
        return min(paths) if len(self._images(paths)) == 1 else None

    def _is_loose(self, name: str, shared: int, paths: Sequence[str]) -> bool:
        """Tell whether both have folders above the end that they share, and these differ."""
        own = len(_path_parts(_without_suffix(paths[0]) if self._stems else paths[0]))
        return shared < own and all(shared < len(parts) for parts in _spellings(name, flat=self._stems))

    def _images(self, paths: Sequence[str]) -> set[object]:
        """Tell what differs between paths: the image beside which a label lies, or its content."""
        if self._stems:
            return {self._files[path] for path in paths}
        return set(paths) if len(paths) < 2 else {self._digest(path) for path in paths}

    def _find(self, name: str) -> tuple[int, list[str]]:
        """Count how many last parts of its path the best files share with a name, and those files."""
        for parts in _spellings(name, flat=self._stems):
            if parts in self._whole:
                return _WHOLE, self._whole[parts]
            lower = tuple(part.casefold() for part in parts)
            shared = next((n for n in range(len(lower), 0, -1) if lower[-n:] in self._by_end), 0)
            paths = self._by_end[lower[-shared:]] if shared else []
            if len(paths) > _MANY:
                return shared, paths[:_MANY]
            paths = [path for path in paths if not _other_split(parts, self._files[path], shared)]
            same_case = [path for path in paths if self._files[path][-shared:] == parts[-shared:]]
            if paths:
                return shared, same_case or paths
        return 0, []


def _contested(found: Mapping[str, tuple[int, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Names whose file another name means as well, and shares as much or more of its path."""
    by_path: dict[str, list[str]] = {}
    for name, (_, paths) in found.items():
        by_path.setdefault(paths[0], []).append(name)
    contested: dict[str, tuple[str, ...]] = {}
    for names in by_path.values():
        most = max(found[name][0] for name in names)
        best = [name for name in names if found[name][0] == most]
        agree = len({_path_parts(unquote(name.replace("\\", "/"))) for name in best}) == 1
        for name in names:
            if name not in best or not agree:
                contested[name] = tuple(other for other in names if other != name)
    return contested


def _spellings(name: str, *, flat: bool = False) -> Iterator[Parts]:
    """Give the parts of a name as it stands there, then as it may be meant; `flat` names have "__" for slashes."""
    seen: set[Parts] = set()
    plain = name.replace("\\", "/")
    forms = [name, plain, unquote(plain), *_from_url(plain)]
    forms += [plain[: plain.rfind("/") + 1] + plain[plain.rfind("/") + 1 :].replace("__", "/")] if flat else []
    for form in forms:
        parts = _path_parts(form)
        if parts and parts not in seen:
            seen.add(parts)
            yield parts


def _from_url(name: str) -> list[str]:
    """Give the path in a URL, or in the query of Label Studio's local files."""
    if not _URL.match(name):
        return []
    try:
        url = urlsplit(name)
    except ValueError:
        return []
    return [*parse_qs(url.query).get("d", []), unquote(url.path)]


def _path_parts(path: str) -> Parts:
    return tuple(_folded(part) for part in PurePosixPath(path).parts if part not in ("..", "/"))


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", part)


def _without_suffix(path: str) -> str:
    head, dot, suffix = path.rpartition(".")
    return head if dot and "/" not in suffix and not head.endswith("/") and head else path


def _other_split(name: Parts, file: Parts, shared: int) -> bool:
    """Tell whether the folders above the shared end are those of two splits."""
    if shared >= min(len(name), len(file)):
        return False
    one, other = (SPLITS.get(parts[-shared - 1].casefold()) for parts in (name, file))
    return one is not None and other is not None and one != other
