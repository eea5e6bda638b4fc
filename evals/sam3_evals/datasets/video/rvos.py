"""Referring video segmentation: MeViS, Ref-YouTube-VOS, ReVOS and ReasonVOS, expressions about folders of frames.

All keep `meta_expressions.json` ("videos" -> "frames", "expressions") beside `JPEGImages/VIDEO/FRAME.jpg`; the truth is
`mask_dict.json` (annotation -> RLE or null a frame) or PNGs. An expression may mean several objects, or none.

| spec | folder holds | truth | frames |
|---|---|---|---|
| mevis:FOLDER | valid_u or train of MeViS (v1, v2) | mask_dict.json by anno_id | all |
| refytvos:FOLDER | train of Ref-YouTube-VOS | Annotations/VIDEO/FRAME.png, index obj_id | every fifth, as annotated |
| revos:FOLDER[:train] | ReVOS | mask_dict.json by anno_id | all |
| reasonvos:FOLDER | ReasonVOS | Annotations/SOURCE_VIDEO_OBJECT/FRAME.png | all |

The truth of MeViS valid and Ref-YouTube-VOS valid lies on servers. ReVOS' overall figure is the mean of its two kinds,
"referring" and "reasoning", which are strata here. Sources: henghuiding/MeViS, cilinyan/ReVOS-api, wjn922/ReferFormer
docs/data.md, showlab/VideoLISA BENCHMARK.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import pydantic
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.reading import read_json
from sam3_agent.formats.validation_error import first_error
from sam3_agent.masks import Rle
from sam3_evals.metrics.video.masklets import volume_of
from sam3_evals.sample import Case, Footage, Source

_KINDS = {0: "referring", 1: "reasoning"}
"""ReVOS' type_id."""
_SUFFIXES = (".jpg", ".jpeg", ".png")


class _Expression(pydantic.BaseModel):
    exp: Annotated[
        str, pydantic.Field(min_length=1, validation_alias=pydantic.AliasChoices("exp", "exp_text", "expression"))
    ]
    obj_id: list[int | str] | int | str = []
    anno_id: list[int | str] | int | str = []
    type_id: int | None = None
    is_sent: bool | int | str | None = None


class _Video(pydantic.BaseModel):
    frames: Annotated[list[str], pydantic.Field(min_length=1)]
    expressions: dict[str, _Expression] | list[_Expression]
    source: str = ""
    is_sent: bool | int | str | None = None

    def named(self) -> dict[str, _Expression]:
        """The expressions by id."""
        if isinstance(self.expressions, dict):
            return self.expressions
        return {str(number): expression for number, expression in enumerate(self.expressions)}


class _Meta(pydantic.BaseModel):
    videos: Annotated[dict[str, _Video], pydantic.Field(min_length=1)]


@dataclass(frozen=True)
class Rvos:
    """One split of one of the four."""

    kind: str
    """"mevis", "refytvos", "revos" or "reasonvos"."""
    folder: Path
    split: str = ""

    @classmethod
    def open_mevis(cls, argument: str, _solver: str, _seed: int) -> "Rvos":
        """Open "FOLDER" of MeViS; raises InputError where there is none."""
        return cls._open("mevis", argument)

    @classmethod
    def open_refytvos(cls, argument: str, _solver: str, _seed: int) -> "Rvos":
        """Open "FOLDER" of Ref-YouTube-VOS; raises InputError where there is none."""
        return cls._open("refytvos", argument)

    @classmethod
    def open_reasonvos(cls, argument: str, _solver: str, _seed: int) -> "Rvos":
        """Open "FOLDER" of ReasonVOS; raises InputError where there is none."""
        return cls._open("reasonvos", argument)

    @classmethod
    def open_revos(cls, argument: str, _solver: str, _seed: int) -> "Rvos":
        """Open "FOLDER" or "FOLDER:train" of ReVOS; raises InputError where there is none."""
        folder, colon, split = argument.rpartition(":")
        return (
            cls._open("revos", folder, split) if colon and split in ("train", "valid") else cls._open("revos", argument)
        )

    @classmethod
    def _open(cls, kind: str, folder: str, split: str = "") -> "Rvos":
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise InputError(f"{folder}: no such folder; give the one that holds meta_expressions.json")
        return cls(kind, root, split)

    @property
    def name(self) -> str:
        """The spec."""
        return f"{self.kind}:{self.folder}" + (f":{self.split}" if self.split else "")

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case an expression, video by video in the order of the file."""
        del limit
        for name, video in self._meta.videos.items():
            frames = self._frames(name, video)
            with Image.open(frames[0]) as picture:
                width, height = picture.size
            for number, expression in video.named().items():
                yield Case(
                    id=f"{name}/{number}",
                    picture=name,
                    query=expression.exp,
                    size=(height, width * len(frames)),
                    targets=self._targets(name, video, expression, (height, width)),
                    strata=self._strata(video, expression),
                    frames=len(frames),
                )

    def picture(self, case: Case) -> Source:
        """The files of a video's frames."""
        return Footage(self._frames(case.picture, self._meta.videos[case.picture]))

    @cached_property
    def _meta(self) -> _Meta:
        names = {"revos": f"meta_expressions_{self.split or 'valid'}_.json"}
        beside = self.folder / names.get(self.kind, "meta_expressions.json")
        candidates = [beside]
        if self.kind == "refytvos":  # the expressions lie in a tree of their own
            candidates.append(self.folder.parent / "meta_expressions" / self.folder.name / "meta_expressions.json")
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise InputError(f"{self.folder}: no {beside.name} here; give the folder of a split")
        return _checked(path, _Meta)

    @cached_property
    def _masks(self) -> Mapping[str, Any]:
        path = self.folder / "mask_dict.json"
        if not path.is_file():
            raise InputError(f"{self.folder}: no mask_dict.json here; the truth of this split lies on a server")
        document = read_json(path)
        if not isinstance(document, dict):
            raise InputError(f"{path}: no object of annotations")
        return cast(dict[str, Any], document)

    def _frames(self, name: str, video: _Video) -> tuple[Path, ...]:
        for folder in (self.folder / "JPEGImages" / name, self.folder / name):
            for suffix in _SUFFIXES:
                if (folder / f"{video.frames[0]}{suffix}").is_file():
                    return tuple(folder / f"{frame}{suffix}" for frame in video.frames)
        raise InputError(f"{self.folder / 'JPEGImages' / name}: the frame {video.frames[0]} is not here")

    def _strata(self, video: _Video, expression: _Expression) -> dict[str, str]:
        strata = {"kind": _KINDS[expression.type_id]} if expression.type_id in _KINDS else {}
        sentence = expression.is_sent if expression.is_sent is not None else video.is_sent
        if sentence is not None:
            strata["form"] = "sentence" if str(sentence).lower() in ("1", "true", "yes") else "phrase"
        return strata | ({"source": video.source.lower()} if video.source else {})

    def _targets(self, name: str, video: _Video, expression: _Expression, size: tuple[int, int]) -> tuple[Rle, ...]:
        if self.kind in ("mevis", "revos"):
            found = [self._annotated(key, len(video.frames)) for key in _listed(expression.anno_id)]
        else:
            found = [self._painted(name, video, key) for key in _listed(expression.obj_id)]
        for masklet in found:
            if wrong := {rle.size for rle in masklet.values()} - {size}:
                raise InputError(f"{self.folder}: {name}: a mask of size {list(*wrong)} on frames of {list(size)}")
        return tuple(volume_of(masklet, len(video.frames), size) for masklet in found if masklet)

    def _annotated(self, key: str, frames: int) -> dict[int, Rle]:
        given = self._masks.get(key)
        if not isinstance(given, list):
            raise InputError(f"{self.folder / 'mask_dict.json'}: no annotation {key}")
        listed = cast(list[Any], given)
        if len(listed) != frames:
            raise InputError(f"{self.folder / 'mask_dict.json'}: {key}: {len(listed)} masks for {frames} frames")
        try:
            rles = {index: masks.from_json(value) for index, value in enumerate(listed) if value}
        except InputError as error:
            raise InputError(f"{self.folder / 'mask_dict.json'}: {key}: {error}") from error
        return {index: rle for index, rle in rles.items() if masks.area(rle)}

    def _painted(self, name: str, video: _Video, key: str) -> dict[int, Rle]:
        """Out of PNGs: ReasonVOS has a folder an object, Ref-YouTube-VOS one a video with the object as the index."""
        root = self.folder / "Annotations"
        own = root / f"{video.source.lower()}_{name}_{key}"
        if self.kind != "reasonvos" and not key.isdecimal():
            raise InputError(f"{self.folder}: {name}: obj_id is the number of an object, got {key!r}")
        folder, value = (own, None) if self.kind == "reasonvos" else (root / name, int(key))
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; the truth of this split lies on a server")
        found: dict[int, Rle] = {}
        for index, frame in enumerate(video.frames):
            path = folder / f"{frame}.png"
            if path.is_file():
                with Image.open(path) as picture:
                    values = np.asarray(picture if picture.mode == "P" else picture.convert("L"))
                mask = values > 0 if value is None else values == value
                if mask.any():
                    found[index] = masks.encode(mask)
        return found


def _listed(value: list[int | str] | int | str) -> list[str]:
    """Ids, however a file writes one or several; each once."""
    values = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(str(each) for each in values))


def _checked(path: Path, kind: type[_Meta]) -> _Meta:
    try:
        return kind.model_validate(read_json(path))
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}") from error
