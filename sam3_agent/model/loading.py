"""From a name to weights: "tiny", "facebook/sam3" or a folder, all by the same code, all failing in one clear line."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import CLIPTokenizer, Sam3Config, Sam3Model

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.hub import fetch
from sam3_agent.model.oom import out_of_memory
from sam3_agent.model.sam3_forward import LAYER_NORM_EPS
from sam3_agent.model.text_prompts import Tokenizer

TINY = "tiny"
REAL = "facebook/sam3"
TINY_FOLDER = Path(__file__).parent / "weights" / "tiny"

_BACK_UP = "use --model tiny for the embedded one"


def locate(name_or_path: str | Path) -> tuple[str, Path]:
    """The name that results will carry, and the folder with the checkpoint.

    The two names win over folders called so; any other text is a path. Weights of "facebook/sam3" come from the Hugging
    Face cache, or are downloaded into it.

    Raises:
        ModelUnavailable: there is no such folder, or the download failed.
    """
    name = str(name_or_path)
    if name == TINY:
        return TINY, _checked(TINY_FOLDER, "the embedded weights are missing; reinstall sam3-agent")
    if name == REAL:
        return REAL, fetch(REAL)
    folder = Path(name).expanduser()
    if not folder.exists():
        raise ModelUnavailable(f"no model at '{name}': give {TINY}, {REAL} or the folder of a SAM 3 checkpoint")
    if not folder.is_dir():
        raise ModelUnavailable(f"'{name}' is a file: give the folder that holds config.json and model.safetensors")
    return name, _checked(folder, f"'{name}' holds no config.json, so it is no SAM 3 checkpoint")


def load_model(folder: Path, device: torch.device, dtype: torch.dtype) -> Sam3Model:
    """The detector of a checkpoint laid out like facebook/sam3 (Sam3Video, `detector_model.*`) or a bare Sam3Model.

    Raises:
        ModelUnavailable: not SAM 3, damaged, incomplete, or too large for the device.
    """
    config = _config(folder)
    if not any(folder.glob("model*.safetensors*")):
        raise ModelUnavailable(f"'{folder}' holds no model.safetensors; {_BACK_UP}")
    try:
        with _quiet():
            model, report = cast(Any, Sam3Model).from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, with the tensor's name
                local_files_only=True,
            )
        model.to(device)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise ModelUnavailable(
                f"the model in '{folder}' does not fit into the memory of {device}: use --dtype bfloat16,"
                f" another --device, or {TINY}, the embedded one"
            ) from error
        raise ModelUnavailable(f"the weights in '{folder}' cannot be read ({first_line(error)})") from error
    bad = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if bad:
        raise ModelUnavailable(
            f"the weights in '{folder}' do not fit their config.json: {len(bad)} tensors of the detector are missing"
            f" or of another shape (first: {bad[0]})"
        )
    return model


def load_tokenizer(folder: Path) -> Tokenizer:
    """The CLIP tokenizer that lies beside the weights.

    Raises:
        ModelUnavailable: it is missing or unreadable.
    """
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()):
        raise ModelUnavailable(f"'{folder}' holds no tokenizer.json; it belongs beside the weights")
    try:
        with _quiet():
            return cast(Any, CLIPTokenizer).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelUnavailable(f"the tokenizer in '{folder}' cannot be read ({first_line(error)})") from error


def pick_device(device: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ModelUnavailable: the device is unknown or absent.
    """
    if "," in device:
        raise ModelUnavailable(f"device '{device}' is several: one Sam3 lives on one of them; load_eye takes several")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ModelUnavailable(f"unknown device '{device}': give auto, cpu, cuda, cuda:N or mps") from error
    count = torch.cuda.device_count()
    if picked.type == "cuda" and (picked.index or 0) >= count:
        raise ModelUnavailable(f"device '{device}' is not there: torch sees {count} CUDA GPUs; use --device cpu")
    if picked.type == "mps" and not torch.backends.mps.is_available():
        raise ModelUnavailable("device 'mps' is not there: use --device cpu")
    if picked.type not in ("cpu", "cuda", "mps"):
        raise ModelUnavailable(f"device '{device}' is not supported: give auto, cpu, cuda, cuda:N or mps")
    return picked


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The number format of a name; "auto" is bfloat16 on CUDA, else float32.

    Raises:
        ModelUnavailable: another name than auto, bfloat16 or float32.
    """
    known = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in known:
        raise ModelUnavailable(f"unknown dtype '{dtype}': give auto, bfloat16 or float32")
    return known[dtype]


def _config(folder: Path) -> Sam3Config:
    try:
        raw: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = raw.get("model_type")
        if kind not in ("sam3", "sam3_video"):
            raise ModelUnavailable(f"'{folder}' holds a model of type {kind!r}, not a SAM 3 (sam3 or sam3_video)")
        config = cast(Any, Sam3Config).from_dict(raw["detector_config"] if kind == "sam3_video" else raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        raise ModelUnavailable(f"the config.json in '{folder}' cannot be read ({first_line(error)})") from error
    config.vision_config.backbone_config.layer_norm_eps = LAYER_NORM_EPS
    return config


def _checked(folder: Path, complaint: str) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(complaint)
    return folder


def first_line(error: Exception) -> str:
    """The first line of what an error says, cut to 160 characters, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


@contextmanager
def _quiet() -> Generator[None]:
    """Keep transformers' progress bar and load report off stderr; the report is checked here and becomes an error."""
    log = cast(Any, transformers.logging)
    level, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bar:
            log.enable_progress_bar()
