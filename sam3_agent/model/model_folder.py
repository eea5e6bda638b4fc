"""Model folders of strangers: what is in one is judged by its names, sizes and headers before anything loads it.

Weights come from safetensors alone, never from pickles. A config.json may name code, kernels, quantizers and other
architectures for transformers to fetch or run, and sizes that no machine has; an index may name files outside of the
folder. None of it is followed.
"""

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import Sam3Config, Sam3Model

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.formats.reading import read_json

logger = logging.getLogger(__name__)

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
"""Files of JSON that transformers reads of a tokenizer, beside merges.txt."""
MOST_BYTES = 2**20
"""Of config.json; that of facebook/sam3 has 26 kB."""
MOST_TOKENIZER_BYTES = 64 * 2**20
"""Of each file of a tokenizer or an index; tokenizer.json of facebook/sam3 has 3.6 MB."""
MOST_DEPTH = 16
MOST_ENTRIES = 10_000
_BLOCK = 1 << 20
MOST_NUMBER = 1_000_000
"""Twenty times the vocabulary, the largest number of facebook/sam3."""
MOST_LAYERS = 256
"""Of any one stack; the largest of facebook/sam3 has 32."""
SPARE_ELEMENTS = 64 * 2**20
"""Of tables that no file holds (positions, rotations): facebook/sam3 has 75,000."""
KINDS = frozenset(
    {
        "sam3", "sam3_video", "sam3_vision_model", "sam3_vit_model", "clip_text_model", "sam3_geometry_encoder",
        "sam3_detr_encoder", "sam3_detr_decoder", "sam3_mask_decoder", "sam3_tracker_video",
        "sam3_tracker_video_prompt_encoder", "sam3_tracker_video_mask_decoder",
    }
)  # fmt: skip
"""Architectures that a SAM 3 consists of; transformers knows hundreds, some of which fetch what they need."""
_LAYERS = re.compile(r"layers|stages|upsampling|num_blocks")
_CODE = re.compile(r"_.*|auto_map|custom_.*|.*attn_implementation|.*experts_implementation|.*kernels?(_config)?")
"""Keys that name code: private ones of transformers, kernels, attention of other projects. A kernel's size ends
otherwise."""
_SHARD = re.compile(r"model[\w.-]*\.safetensors")
NONSENSE = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, SafetensorError,
)  # fmt: skip
"""Errors with which transformers and torch answer numbers that do not fit each other."""


def read_config(folder: Path) -> dict[str, Any]:
    """The values of config.json that are no code.

    Raises:
        ModelUnavailable: it is missing or unreadable, or asks for what no SAM 3 needs.
    """
    document = _document(folder / CONFIG, MOST_BYTES)
    if not isinstance(document, dict):
        raise ModelUnavailable(f"the {CONFIG} in '{folder}' cannot be read (it holds no object)")
    raw = cast(dict[str, Any], document)
    if (kind := raw.get("model_type")) not in ("sam3", "sam3_video"):
        raise ModelUnavailable(f"'{folder}' holds a model of type {kind!r:.60}, not a SAM 3 (sam3 or sam3_video)")
    dropped: list[str] = []
    problem = next(_problems(raw), "")
    if problem:
        raise ModelUnavailable(f"the {CONFIG} in '{folder}' cannot be used: {problem}")
    clean = _without_code(raw, dropped)
    if dropped:
        logger.warning("'%s': %s names code (%s), which is not followed", folder, CONFIG, ", ".join(dropped[:5]))
    return clean


def check_weights(folder: Path) -> None:
    """Check names of the files that hold weights, without opening one.

    Raises:
        ModelUnavailable: there are none, they are no plain files, or the index names others.
    """
    found = sorted(folder.glob("model*.safetensors"))
    if not found and not (folder / INDEX).is_file():
        raise ModelUnavailable(
            f"'{folder}' holds no model.safetensors (pickles are not read); use --model tiny for the embedded one"
        )
    for path in found:
        if not path.is_file():  # a link to a file is one: so does the Hugging Face cache keep them
            raise ModelUnavailable(f"the weights in '{folder}' cannot be read ({path.name} is no file)")
    if (folder / "adapter_config.json").exists():
        raise ModelUnavailable(f"'{folder}' holds an adapter_config.json, so it is an adapter and no model")
    if (folder / INDEX).exists():
        _check_index(folder)


def check_tokenizer(folder: Path) -> None:
    """Check that the files of a tokenizer are files, of a usual size, and JSON that any parser can take.

    Raises:
        ModelUnavailable: one is not.
    """
    for name in (*TOKENIZER, "merges.txt"):
        path = folder / name
        if path.exists() and not (path.is_file() and path.stat().st_size <= MOST_TOKENIZER_BYTES):
            limit = MOST_TOKENIZER_BYTES // 2**20
            raise ModelUnavailable(
                f"the tokenizer in '{folder}' cannot be read ({name} is no file of at most {limit} MiB)"
            )
        if path.exists() and name != "merges.txt":
            document = _document(path, MOST_TOKENIZER_BYTES)
            if not isinstance(document, dict):
                raise ModelUnavailable(f"the tokenizer in '{folder}' cannot be read ({name} holds no object)")


def check_size(folder: Path, config: Sam3Config) -> None:
    """Check that a model of this configuration has the size of the weights beside it, before memory is taken for it.

    Raises:
        ModelUnavailable: it has many times more elements, or its numbers do not fit each other.
    """
    stored = sum(math.prod(shape) for path in sorted(folder.glob("model*.safetensors")) for shape in _shapes(path))
    with torch.device("meta"):
        skeleton = cast(Any, Sam3Model)(config)
    wanted = sum(tensor.numel() for tensor in (*skeleton.parameters(), *skeleton.buffers()))
    if wanted > 2 * stored + SPARE_ELEMENTS:
        raise ModelUnavailable(
            f"the weights in '{folder}' do not fit their {CONFIG}: it describes a model of {wanted / 1e6:,.0f} million"
            f" numbers, they hold {stored / 1e6:,.0f} million"
        )


def _shapes(path: Path) -> Iterator[list[int]]:
    with cast(Any, safe_open)(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            yield file.get_slice(name).get_shape()


def _check_index(folder: Path) -> None:
    document = _document(folder / INDEX, MOST_TOKENIZER_BYTES)
    places: object = cast(dict[str, Any], document).get("weight_map") if isinstance(document, dict) else None
    if not isinstance(places, dict) or not places:
        raise ModelUnavailable(f"the {INDEX} in '{folder}' cannot be read (it holds no weight_map)")
    for name in cast(dict[str, Any], places).values():
        if not (isinstance(name, str) and _SHARD.fullmatch(name) and (folder / name).is_file()):
            raise ModelUnavailable(
                f"the {INDEX} in '{folder}' names {name!r:.100}, which is no model*.safetensors file of this folder"
            )


def _document(path: Path, most: int) -> object:
    """One JSON document of at most so many bytes.

    Raises:
        ModelUnavailable: it is none.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: no file")
        if (size := path.stat().st_size) > most:
            raise InputError(f"{path}: {size} bytes, at most {most} expected")
        return read_json(path)
    except (InputError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")[:160]
        raise ModelUnavailable(f"the {path.name} in '{path.parent}' cannot be read ({reason})") from error


def _problems(raw: dict[str, Any]) -> Iterator[str]:
    """Say what is too deep, too much or too large in a configuration, or of a kind that no SAM 3 has."""
    level: list[tuple[str, object]] = [("", raw)]
    count = 0
    for _ in range(MOST_DEPTH):
        below: list[tuple[str, object]] = []
        for key, value in level:
            if isinstance(value, Mapping):
                below += [(str(k), v) for k, v in cast(Mapping[str, object], value).items()]
                if cast(Mapping[str, object], value).get("quantization_config"):
                    yield "it has a quantization_config; quantized weights are not read"
            elif isinstance(value, list):
                below += [(key, v) for v in cast(list[object], value)]
            else:
                yield from _scalar_problems(key, value)
        count += len(below)
        if count > MOST_ENTRIES:
            yield f"it has more than {MOST_ENTRIES} entries"
            return
        level = below
    if level:
        yield f"it is nested more than {MOST_DEPTH} deep"


def _scalar_problems(key: str, value: object) -> Iterator[str]:
    shown = f"{key[:60]} = {value!r:.60}"
    if key == "model_type" and value not in KINDS:
        yield f"{shown}, no part of a SAM 3"
    if isinstance(value, int | float) and not isinstance(value, bool):
        most = MOST_LAYERS if _LAYERS.search(key) else MOST_NUMBER
        if not abs(value) <= most:
            yield f"{shown}, at most {most} expected"


def _without_code(value: Any, dropped: list[str]) -> Any:
    if isinstance(value, list):
        return [_without_code(each, dropped) for each in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    entries = cast(dict[str, Any], value)
    # transformers itself writes the private "_name_or_path"; nothing follows it here, so it is no news.
    dropped += [key for key in entries if _CODE.fullmatch(key) and entries[key] and key != "_name_or_path"]
    return {key: _without_code(each, dropped) for key, each in entries.items() if not _CODE.fullmatch(key)}


def weights_hash(folder: Path) -> str:
    """Hash a checkpoint's weights and configuration, names included: 16 hex digits, as in manifests of evaluations."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json") and p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]
