"""Arguments that several tools share, and the ways in which hosts and models write them.

Everything that is read leniently is read here: the ways come from reports on hosts (n8n, Cursor, Copilot, Claude Code,
Gemini) and from models that drove these tools. A value is only ever taken for what it can be nothing else than;
whatever is left goes to pydantic, whose refusal becomes an instruction.
"""

import ast
import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from sam3_agent.errors import InputError
from sam3_agent.masks import Box
from sam3_agent.workspace import OpenImage, TileMode

# ---------------------------------------------------------------------------------------------- names of arguments

_HOSTS_OWN = re.compile(
    r"randomstring|dummy|action|chatinput|userinput|tool|toolname|meta|metadata|context|config|signal|session|thread|"
    r"progresstoken|token|timestamp|locale|timezone|callbacks|runmanager|verbose|(request)?heartbeat|explanation|"
    r"thoughts?|reasoning"
)
"""Keys that hosts add to a call, without case, - and _: n8n, Cursor (random_string), LangChain, Letta."""
_WRAPPERS = frozenset({"input", "args", "arguments", "params", "parameters", "kwargs", "toolinput", "toolarguments"})
"""Keys under which a host may put all arguments together."""
_OURS = ("image", "img", "mask", "job", "box", "point", "concept", "video", "track", "frame")
"""Words of these tools: an unknown key with one of them is a slip of the caller, which must be told."""


def read_arguments(raw: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """The arguments by the names of `fields`, without what a host has added, each read leniently by its type.

    An argument that is null is left out where it has a default. A key that is neither ours nor a host's is kept, so
    that its sender is told.
    """
    given = _unwrapped(raw, fields)
    known = {_plain(name): name for name in fields}
    read: dict[str, Any] = {}
    for key, written in given.items():
        absent = isinstance(written, str) and written.strip().lower() in _NOTHING
        value = None if absent else written
        name = key if key in fields else known.get(_plain(key), key)
        if name not in fields:
            if fields and not _is_hosts_own(key):
                read[key] = value
        elif (value is not None or fields[name].is_required()) and (name == key or name not in given):
            read[name] = _read(value, fields[name])
    return read


def _unwrapped(raw: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> Mapping[str, Any]:
    """The arguments themselves where a host has put them all under one key."""
    if fields.keys() & raw.keys():
        return raw
    for key, value in raw.items():
        inner = _literal(value) if isinstance(value, str) else value
        if _plain(key) in _WRAPPERS and isinstance(inner, dict) and fields.keys() & cast(dict[str, Any], inner).keys():
            return cast(dict[str, Any], inner)
    return raw


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _is_hosts_own(key: str) -> bool:
    """Whether a key that no argument has comes from the host: a private name, an id of its own, a known habit."""
    plain = _plain(key)
    if key.startswith(("_", "$")) or _HOSTS_OWN.fullmatch(plain) or plain in _WRAPPERS:
        return True
    return plain.endswith(("id", "uuid")) and not any(word in plain for word in _OURS)


# --------------------------------------------------------------------------------------------------- their values

_NOTHING = frozenset({"null", "none", "undefined"})
"""Texts that mean that an argument is not given."""
_LISTS = frozenset({"box", "bbox", "region", "point", "points", "coordinates", "items", "values"})
"""Keys around a list; not "box_2d", which models trained on it give as y before x, in thousandths."""
_LONGEST_LITERAL = 100_000
"""Characters of a list in a text: 1024 ids have 10,000; Python takes 0.1 s and 40 MB to read so many of anything."""
_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "<>")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ID = re.compile(r"\b[a-z]+\d+(?:[-@][\w@-]*)?", re.I)
_LARGEST_NUMBER = 2**53
"""Python adds no float to an integer of hundreds of digits; no coordinate comes near."""
_INDEX = re.compile(r"[0-9]{1,6}")
_NUMBERS = re.compile(r"[\s(\[{]*[-+]?[\d.][-+\deE.,;\s()\[\]{}]*")
"""Nothing but numbers, separators and brackets of any kind."""


def _read(value: Any, field: FieldInfo) -> Any:
    """A value in the form that its field is checked for."""
    kind = field.annotation  # without its metadata
    if get_origin(kind) is Sequence:
        return _list_of(value, get_args(kind)[0])
    items = cast(list[Any], value) if isinstance(value, list) else []
    value = cast(Any, items[0] if len(items) == 1 else value)
    if get_origin(kind) is Literal and isinstance(value, str):
        word = unquoted(value)
        return next((choice for choice in get_args(kind) if str(choice).lower() == word.lower()), word)
    if (
        kind is float
        and isinstance(value, str)
        and _NUMBER.fullmatch(share := unquoted(value).removesuffix("%").strip())
    ):
        return float(share) / (100 if "%" in value else 1)
    return unquoted(value) if isinstance(value, str) and kind is not str else value


def _list_of(value: Any, kind: Any) -> Any:
    """A list as models write it: JSON or Python text, with commas, numbered keys, without its brackets."""
    if isinstance(value, str):
        value = _listed(value, kind)
    if isinstance(value, dict):
        value = _from_object(cast(dict[str, Any], value))
    if isinstance(value, tuple | set):
        value = list(cast(Sequence[Any], value))
    if not isinstance(value, list):
        one = get_origin(_bare(kind)) is not Sequence
        alone = one and isinstance(value, int | float) and not isinstance(value, bool)
        return [cast(Any, value)] if alone else cast(Any, value)
    items = cast(list[Any], value)
    if get_origin(_bare(kind)) is not Sequence:
        return items if _bare(kind) is str else [number for item in items for number in _flat(item)]
    if items and all(_is_number(item) for item in items):
        return [items]  # one box or point without its outer list
    return [_list_of(item, float) for item in items]


def _bare(kind: Any) -> Any:
    """A type without what is noted on it."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_id(kind: Any) -> bool:
    """Whether texts of this type are ids, which may stand together in one text."""
    return get_origin(kind) is Annotated and any(isinstance(note, BeforeValidator) for note in get_args(kind)[1:])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None)


def _listed(text: str, kind: Any) -> Any:
    """The list that a text says, or the text's parts between commas."""
    text = unquoted(text)
    if not text:
        return []
    if len(text) > _LONGEST_LITERAL:
        return text
    said = _literal(text) if text[0] in "[({\"'" or _bare(kind) is not str else None
    if isinstance(said, list | tuple | dict):
        return cast(Any, said)
    if _is_id(kind):
        ids: list[str] = _ID.findall(text)
        return ids or re.split(r"[\s,;]+", text)
    if _bare(kind) is str:
        return [unquoted(part) for part in re.split(r"[,;\n]", text.strip("[]")) if part.strip()]
    if not _NUMBERS.fullmatch(text):
        return text
    rows = [_NUMBER.findall(row) for row in re.split(r"[;\n]|[\])]\s*,?", text)]
    numbers = [[float(number) for number in row] for row in rows if row]
    return numbers[0] if len(numbers) == 1 else numbers


def _from_object(value: dict[str, Any]) -> Any:
    """A list in the form of an object: {"0": ..., "1": ...}, {"x": ..., "y": ...}, {"x0", "y0", "x1", "y1"}."""
    low = {key.lower(): item for key, item in value.items()}
    if low and all(_INDEX.fullmatch(key) for key in low):
        return [low[key] for key in sorted(low, key=int)]
    for names in (("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"),
                  ("left", "top", "right", "bottom"), ("x", "y")):  # fmt: skip
        if set(names) == low.keys():
            return [low[name] for name in names]
    if low.keys() == {"x", "y", "width", "height"} and all(
        isinstance(v, int | float) and abs(v) < _LARGEST_NUMBER for v in low.values()
    ):
        return [low["x"], low["y"], low["x"] + low["width"], low["y"] + low["height"]]
    key, inner = next(iter(low.items())) if len(low) == 1 else ("", None)
    return cast(Any, inner) if isinstance(inner, list) and key in _LISTS else value


def _flat(item: Any) -> Sequence[Any]:
    """Numbers of a row, where a plain list was wanted."""
    return cast(Sequence[Any], item) if isinstance(item, list | tuple) else [item]


def _literal(text: str) -> Any:
    """Read what JSON or Python text says; None where it is neither, or too long to be one's arguments."""
    if len(text) > _LONGEST_LITERAL:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


def unquoted(text: str) -> str:
    """The text without blanks, quotes or backticks around it."""
    text = text.strip()
    while len(text) > 1 and text[0] + text[-1] in _QUOTES and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


_HANDLE = re.compile(
    r"[\"'`#(\[\s]*(?:(?:image|mask|job|video|track|id)[\s:=]+)?([a-z]+\d+(?:[-@][\w@-]*)?)[\"'`)\].\s]*", re.I
)
"""An id with what may stand around it: quotes, a hash, brackets, "mask m3"."""


def _handle(prefix: str) -> BeforeValidator:
    """Read an id: padded, quoted, in capitals, or as the bare number of it."""

    def read(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{prefix}{value}"
        if not isinstance(value, str):
            return value
        found = _HANDLE.fullmatch(value)
        if found:
            return found[1].lower()
        text = unquoted(value)
        if text.lower() in _NOTHING:
            return ""
        return f"{prefix}{text}" if text.isascii() and text.isdigit() else text

    return BeforeValidator(read)


_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")
"""First bytes of JPEG, PNG, GIF, WebP, BMP, TIFF and JPEG 2000 files; AVIF and HEIF say "ftyp" from the fifth on."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+=*\s*")
_SHORTEST_DATA = 64
"""Characters; what is shorter is no image, and may be the path of one."""


def _source(value: Any) -> Any:
    """A path, URL or data URI without quotes around it; base64 of an image becomes a data URI."""
    if isinstance(value, dict):
        named = cast(dict[str, Any], value)
        found = [named[key] for key in ("source", "url", "uri", "path", "data") if key in named]
        return _source(found[0]) if found and not isinstance(found[0], dict) else named
    if not isinstance(value, str):
        return value
    text = unquoted(value)
    if text[:5].lower() == "data:" and "," in text:
        return "data:" + text[5:]
    if len(text) >= _SHORTEST_DATA and _BASE64.fullmatch(text):
        packed = re.sub(r"\s", "", text).replace("-", "+").replace("_", "/")
        head = base64.b64decode(packed[:32])
        if head.startswith(_PICTURE_HEADS) or head[4:8] == b"ftyp":
            return "data:;base64," + packed
    return text


def phrases_of(value: Any) -> Any:
    """Phrases of a list that stands as text within a list of one."""
    items = cast(list[Any], value) if isinstance(value, list) else []
    alone = items[0].strip() if len(items) == 1 and isinstance(items[0], str) else ""
    return _listed(alone, str) if alone[:1] == "[" and alone[-1:] == "]" else cast(Any, value)


def _ids(value: Any) -> Any:
    """Ids of a list, some of which may stand together in one text."""
    if not isinstance(value, list):
        return value
    found: list[Any] = []
    for item in cast(list[Any], value):
        several = _ID.findall(item) if isinstance(item, str) else []
        found += several if len(several) > 1 else [item]
    return found


# ------------------------------------------------------------------------------------------------- their types

# Every list and every text has a length, which the schema tells: hosts and models see it, and nobody's call keeps the
# others waiting. `tests/tools/test_spec.py` walks all schemas for one without.
MOST_CONCEPTS = 16
"""Phrases of a call; the model takes them in one batch."""
MOST_PHRASE = 300
"""Characters of a phrase: far more than the tokens that any model has for it."""
MOST_POINTS = 64
"""Clicks on one object, or boxes: people need 1 to 10, and a call with 64 delays the next by one batch at most."""
MOST_BOXES = 64
MOST_MASKS = 1024
"""Masks named in a call: five times as many as the model finds in one image."""
MOST_ID = 64
"""Characters of an id; the longest are a frame's, as "v12@104000"."""
MOST_NAME = 100
"""Characters of a name that somebody chooses."""
MOST_PATH = 1024
"""Characters below the output folder, of which systems take 4096 in all."""
MOST_SOURCE = 100_000_000
"""Characters of an image's source: a data: URI holds all of it, and how large it may be is what opens it to say."""
MOST_REASON = 2000
"""Characters of a reason or a query: three times the longest query of the known benchmarks."""

Id = Annotated[str, Field(max_length=MOST_ID)]
ImageId = Annotated[Id, _handle("img"), Field(description="Image id, as 'img1', or a frame of a video, as 'v1@120'.")]
MaskId = Annotated[Id, _handle("m")]
MaskIds = Annotated[
    Sequence[MaskId], BeforeValidator(_ids), Field(max_length=MOST_MASKS, description="Mask ids, as ['m1'].")
]
JobId = Annotated[Id, _handle("job"), Field(description="Job id, such as 'job1'.")]
VideoId = Annotated[Id, _handle("v"), Field(description="Video id, as 'v1'.")]
TrackId = Annotated[Id, _handle("t")]
TrackIds = Annotated[
    Sequence[TrackId], BeforeValidator(_ids), Field(max_length=200, description="Track ids, as ['t1', 't4'].")
]
FrameNumber = Annotated[int, Field(ge=0, description="Number of a frame, from 0.")]
FrameBoxes = Annotated[
    Sequence[Annotated[Sequence[float], Field(max_length=5)]],
    Field(max_length=16, description="[[frame, x0, y0, x1, y1], ...], boxes on frames, in pixels of the frame."),
]
ImageSource = Annotated[
    Annotated[str, Field(max_length=MOST_SOURCE)],
    BeforeValidator(_source),
    Field(description="Path of an image file, file:// URL, or data: URI."),
]
VideoSource = Annotated[
    Annotated[str, Field(max_length=4000)],
    BeforeValidator(_source),
    Field(description="Path of a video file (MP4, MOV, WebM, GIF, ...) or of a folder of images."),
]
OutputPath = Annotated[
    Annotated[str, Field(max_length=MOST_PATH)],
    BeforeValidator(lambda value: unquoted(value) if isinstance(value, str) else value),
]
Phrase = Annotated[str, Field(max_length=MOST_PHRASE)]
Concepts = Annotated[
    Sequence[Phrase],
    BeforeValidator(phrases_of),
    Field(
        min_length=1,
        max_length=MOST_CONCEPTS,
        description="Noun phrases, as ['striped cup', 'dog'].",
    ),
]
Name = Annotated[str, Field(max_length=MOST_NAME)]
Threshold = Annotated[float, Field(ge=0, le=1, description="Masks that score above are found.")]
BoxNumbers = Annotated[Sequence[float], Field(max_length=4)]
PointNumbers = Annotated[Sequence[float], Field(max_length=2)]
Region = Annotated[
    BoxNumbers,
    Field(description="Part to look at, [x0, y0, x1, y1] in pixels."),
]
Tiles = Annotated[
    TileMode,
    Field(description="Look closer, part by part: 'always' is slow, but finds what is too small in the whole."),
]
AssumePresent = Annotated[bool, Field(description="Known to be there: go by object score alone.")]
Boxes = Annotated[Sequence[BoxNumbers], Field(max_length=MOST_BOXES, description="[[x0, y0, x1, y1], ...] in pixels.")]
Reason = Annotated[str, Field(max_length=MOST_REASON, description="Why, in a sentence.")]


# ------------------------------------------------------------------------------------------------ coordinates

_BEYOND = 1.05
"""A coordinate beyond this share of the side is no slip of the hand: it was meant in another unit."""
_PER_MILLE = 1000
"""Several models (Gemini, Qwen-VL) give coordinates in thousandths of the image."""


def box_of(values: Sequence[float], name: str) -> Box:
    """Four numbers as a box.

    Raises:
        InputError: there are not four, or they are shares of the image.
    """
    if len(values) != 4:
        raise InputError(f"{name} needs four numbers [x0, y0, x1, y1] in pixels, got {list(values)}")
    _refuse_shares(values, name)
    x0, y0, x1, y1 = values
    return (x0, y0, x1, y1)


def region_of(values: Sequence[float]) -> Box | None:
    """A region, or None for the empty list."""
    return box_of(values, "region") if values else None


def point_of(values: Sequence[float]) -> tuple[float, float]:
    """Two numbers as a point.

    Raises:
        InputError: there are not two, or they are shares of the image.
    """
    if len(values) != 2:
        raise InputError(f"each of points needs two numbers [x, y] in pixels, got {list(values)}")
    _refuse_shares(values, "each of points")
    return (values[0], values[1])


def _refuse_shares(values: Sequence[float], name: str) -> None:
    """Refuse coordinates from 0 to 1: a box less than a pixel wide, a click into the first pixel."""
    within = all(0 <= value <= 1 for value in values)
    if within and (len(values) == 4 or not all(float(value).is_integer() for value in values)):
        raise InputError(
            f"{name} = {list(values)} looks like shares of the image; coordinates are pixels of the whole image: "
            f"multiply x by its width and y by its height"
        )


def coordinate_hints(image: OpenImage, boxes: Sequence[Box | None]) -> list[str]:
    """Find what to say of boxes that reach far out of the image: they may be meant in thousandths."""
    for box in boxes:
        if box is not None and (box[2] > _BEYOND * image.width or box[3] > _BEYOND * image.height):
            shown = [round(v) for v in box]
            size = f"{image.width}x{image.height}"
            return [
                f"{shown} reaches out of the {size} image and was cut: give pixels of it{_in_thousandths(image, box)}"
            ]
    return []


def refuse_outside(
    image: OpenImage, boxes: Sequence[Box | None] = (), points: Sequence[tuple[float, float]] = ()
) -> None:
    """Refuse boxes and points that lie outside of the image, with what they are if thousandths were meant.

    Raises:
        InputError: one lies outside.
    """
    size = f"{image.width}x{image.height}"
    for box in boxes:
        if box is not None and (box[0] >= image.width or box[1] >= image.height):
            raise InputError(f"box {list(box)} lies outside the {size} image{_in_thousandths(image, box)}")
    for x, y in points:
        if x > image.width or y > image.height:
            raise InputError(f"point {[x, y]} lies outside the {size} image{_in_thousandths(image, (x, y))}")


def _in_thousandths(image: OpenImage, values: Sequence[float]) -> str:
    if not max(values) <= _PER_MILLE:
        return ""
    sides = (image.width, image.height) * 2
    scaled = [round(v * side / _PER_MILLE) for v, side in zip(values, sides, strict=False)]
    return f"; if it was meant in thousandths of the image, it is {scaled}"
