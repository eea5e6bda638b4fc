"""Datasets, one file each; a new one is a file here and a line in OPENERS."""

from collections.abc import Callable, Iterator
from typing import Protocol

from sam3_agent.errors import InputError
from sam3_evals.datasets.cafe import Cafe
from sam3_evals.datasets.coco import Coco
from sam3_evals.datasets.folder import Folder
from sam3_evals.datasets.grefcoco import GRefCoco
from sam3_evals.datasets.muse import Muse
from sam3_evals.datasets.parquet import Parquet
from sam3_evals.datasets.reasonseg import ReasonSeg
from sam3_evals.datasets.refcoco import RefCoco
from sam3_evals.datasets.saco import SaCo
from sam3_evals.datasets.scenes import Scenes
from sam3_evals.datasets.video.rvos import Rvos
from sam3_evals.datasets.video.veval import VEval
from sam3_evals.sample import Case, Source


class Dataset(Protocol):
    """Questions about images, with their truth."""

    @property
    def name(self) -> str:
        """The spec that opens exactly these cases again."""
        ...

    def cases(self, limit: int | None) -> Iterator[Case]:
        """The first `limit` cases (None: as many as there are, or a default where there is no end), one at a time."""
        ...

    def picture(self, case: Case) -> Source:
        """The image, or the frames of the video, that a case asks about."""
        ...


OPENERS: dict[str, tuple[Callable[[str, str, int], Dataset], str]] = {
    "scenes": (Scenes.open, "scenes:SEED[/queries|/concepts]"),
    "reasonseg": (ReasonSeg.opener("reasonseg"), "reasonseg[-r|-x|-sgdr]:PATH"),
    "reasonseg-r": (ReasonSeg.opener("reasonseg-r"), ""),
    "reasonseg-x": (ReasonSeg.opener("reasonseg-x"), ""),
    "reasonseg-sgdr": (ReasonSeg.opener("reasonseg-sgdr"), ""),
    "parquet": (Parquet.open, "parquet:PATH"),
    "muse": (Muse.open, "muse:PATH[@PICTURES]"),
    "cafe": (Cafe.open, "cafe:FILE[@PICTURES]"),
    "folder": (Folder.open, "folder:PATH"),
    "refcoco": (RefCoco.open, "refcoco:FOLDER:SPLITTER:SPLIT[@PICTURES]"),
    "grefcoco": (GRefCoco.open, "grefcoco:FOLDER:SPLIT[@PICTURES]"),
    "saco": (SaCo.open, "saco:FILE[,FILE,FILE][@PICTURES]"),
    "coco": (Coco.open, "coco:FILE[@PICTURES]"),
    "mevis": (Rvos.open_mevis, "mevis:FOLDER"),
    "refytvos": (Rvos.open_refytvos, "refytvos:FOLDER"),
    "revos": (Rvos.open_revos, "revos:FOLDER[:train]"),
    "reasonvos": (Rvos.open_reasonvos, "reasonvos:FOLDER"),
    "veval": (VEval.open, "veval:FILE[@FRAMES]"),
}
VIDEOS = frozenset({"mevis", "refytvos", "revos", "reasonvos", "veval"})
"""The kinds whose cases ask about videos."""
FORMS = ", ".join(form for _, form in OPENERS.values() if form)


def open_dataset(spec: str, solver: str, seed: int = 0) -> Dataset:
    """Open "KIND:ARGUMENT", the same cases whatever the solver is: runs over one spec can be compared.

    `solver` is the one that will be asked; `seed` settles what is drawn by chance: the negatives of `coco`.

    Raises:
        InputError: there is no such kind, or its argument is wrong.
    """
    kind, _, argument = spec.partition(":")
    if kind not in OPENERS:
        raise InputError(f"unknown dataset {spec!r}; use one of: {FORMS}")
    opener, form = OPENERS[kind]
    if not argument:
        raise InputError(f"dataset {spec!r} lacks its argument; use {form or f'{kind}:PATH'}")
    return opener(argument, solver, seed)


def asks_videos(spec: str) -> bool:
    """Whether the cases of "KIND:ARGUMENT" ask about videos."""
    return spec.partition(":")[0] in VIDEOS
