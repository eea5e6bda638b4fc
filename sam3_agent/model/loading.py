"""From a name to weights: "tiny", "facebook/sam3" or a folder, all by the same code, all failing in one clear line."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever HTTP client this hub version uses
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    StrictDataclassError,
)
from safetensors import safe_open
from transformers import CLIPTokenizer, Sam3Config, Sam3Model, Sam3TrackerVideoConfig

from sam3_agent.errors import ModelUnavailable
from sam3_agent.formats.adapter_folder import MANIFEST as ADAPTER
from sam3_agent.model.clip_tokenizer import MERGES, from_merges
from sam3_agent.model.model_folder import NONSENSE, check_size, check_tokenizer, check_weights, read_config
from sam3_agent.model.official_checkpoint import converted, is_official
from sam3_agent.model.oom import out_of_memory
from sam3_agent.model.sam3_forward import LAYER_NORM_EPS
from sam3_agent.model.text_prompts import Tokenizer
from sam3_agent.model.tracker import LEVELS, Tracker

FILES = ("config.json", "model*.safetensors*", "tokenizer*", "vocab.json", "merges.txt", "special_tokens_map.json")
"""Files of a model repository that are read; Meta's own copy of the weights beside it (3.4 GB) is left out."""

_EMBEDDED = "or use --model tiny, which is embedded"


def fetch(repository: str) -> Path:
    """The local folder of a model, downloaded into the Hugging Face cache where it is not there yet.

    Raises:
        ModelUnavailable: no access, no network, no such model; the message says what to do.
    """
    page = f"https://huggingface.co/{repository}"
    try:
        return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except GatedRepoError as error:
        raise ModelUnavailable(
            f"no access to the gated weights of {repository}: request it at {page}, run 'hf auth login', {_EMBEDDED}"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"{repository} cannot be seen: request access at {page} and run 'hf auth login', {_EMBEDDED}"
        ) from error
    except HfHubHTTPError as error:
        raise ModelUnavailable(_failed(repository, error)) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        raise ModelUnavailable(
            f"{repository} is not on this machine, and the Hugging Face Hub does not answer: connect, {_EMBEDDED}"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailable(_failed(repository, error)) from error


def _failed(repository: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return f"{repository} could not be downloaded ({reason}): try again, {_EMBEDDED}"


TINY = "tiny"
REAL = "facebook/sam3"
TINY_FOLDER = Path(__file__).parent / "weights" / "tiny"

_SMALL = 100_000_000
"""Bytes of a file that is built directly; larger ones are worth transformers' loading shard by shard."""
_DETECTOR = "detector_model."


def locate(name_or_path: str | Path) -> tuple[str, Path]:
    """The name that results will carry, and the folder with the checkpoint.

    The two names win over folders called so; any other text is a path: a folder, or Meta's own sam3.pt. Weights of
    "facebook/sam3" come from the Hugging Face cache, or are downloaded into it.

    Raises:
        ModelUnavailable: there is no such folder, or it cannot be read, or the download failed.
    """
    name = str(name_or_path)
    if name == TINY:
        return TINY, _checked(TINY_FOLDER, "the embedded weights are missing; reinstall sam3-agent")
    if name == REAL:
        return REAL, fetch(REAL)
    folder = Path(name).expanduser()
    if not folder.exists():
        raise ModelUnavailable(
            f"no model at '{name}': give {TINY}, {REAL}, Meta's sam3.pt or the folder of a checkpoint"
        )
    if is_official(folder):
        return name, converted(folder)
    if not folder.is_dir():
        raise ModelUnavailable(
            f"'{name}' is a file: give Meta's sam3.pt, or the folder that holds config.json and model.safetensors"
        )
    if (folder / ADAPTER).is_file():
        raise ModelUnavailable(
            f"'{name}' is an adapter: give it after its model, as MODEL+{name} (such as tiny+{name})"
        )
    return name, _checked(folder, f"'{name}' holds no config.json, so it is no SAM 3 checkpoint")


def load_model(folder: Path, device: torch.device, dtype: torch.dtype) -> Sam3Model:
    """The detector of a checkpoint laid out like facebook/sam3 (Sam3Video, `detector_model.*`) or a bare Sam3Model.

    Raises:
        ModelUnavailable: not SAM 3, damaged, incomplete, or too large for the device.
    """
    config = _config(folder)
    check_weights(folder)
    if folder != TINY_FOLDER:  # the embedded one is this project's own, and loads in half a second
        _check_size(folder, config)
    if dtype == torch.float32 and (small := _small_model(folder, config)) is not None:
        return cast(Any, small).to(device)
    try:
        with _quiet():
            model, report = cast(Any, Sam3Model).from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, with the tensor's name
                local_files_only=True,
                use_safetensors=True,
            )
        model.to(device)
    except NONSENSE as error:
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


def _check_size(folder: Path, config: Sam3Config) -> None:
    try:
        check_size(folder, config)
    except NONSENSE as error:
        raise ModelUnavailable(f"the weights in '{folder}' cannot be read ({first_line(error)})") from error


def _small_model(folder: Path, config: Sam3Config) -> Sam3Model | None:
    """Build a small model whose file holds its tensors, all under their own names; None for any other checkpoint.

    `from_pretrained` compiles 1,500 patterns for the renamed weights of other models first: .35 CPU seconds of the tiny
    model's start instead of .13. The result is equal to the bit; in other formats than float32 the tables are not.
    """
    files = sorted(folder.glob("model*.safetensors*"))
    if [file.name for file in files] != ["model.safetensors"] or files[0].stat().st_size > _SMALL:
        return None
    try:
        with cast(Any, safe_open)(files[0], framework="pt") as file:
            names = {name.removeprefix(_DETECTOR): name for name in file.keys() if name.startswith(_DETECTOR)}  # noqa: SIM118
            model = cast(Any, Sam3Model)(config).eval()
            wanted = model.state_dict()
            if set(wanted) != set(names):
                return None
            found = {name: file.get_tensor(stored) for name, stored in names.items()}
    except NONSENSE:
        return None  # told in full by the usual way
    if any(found[name].shape != value.shape for name, value in wanted.items()):
        return None
    model.load_state_dict(found)
    return model


def load_tokenizer(folder: Path) -> Tokenizer:
    """The CLIP tokenizer that lies beside the weights.

    Raises:
        ModelUnavailable: it is missing or unreadable.
    """
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()):
        if (folder / MERGES).is_file():
            return from_merges(folder / MERGES)
        raise ModelUnavailable(f"'{folder}' holds no tokenizer.json; it belongs beside the weights")
    check_tokenizer(folder)
    try:
        with _quiet():
            tokenizer = cast(Any, CLIPTokenizer).from_pretrained(folder, local_files_only=True)
            tokenizer("thing")  # options of a wrong kind are noticed at the first text only
            return tokenizer
    except Exception as error:  # error boundary: its Rust half raises plain Exceptions over nonsense
        raise ModelUnavailable(f"the tokenizer in '{folder}' cannot be read ({first_line(error)})") from error


def check_vocabulary(folder: Path, tokenizer: Tokenizer, model: Sam3Model) -> None:
    """Check that the model knows every token that the tokenizer may give.

    Raises:
        ModelUnavailable: it knows fewer; they are not of one model.
    """
    known = int(cast(Any, model).config.text_config.vocab_size)
    largest = max(cast(Any, tokenizer).get_vocab().values(), default=0)
    if largest >= known:
        raise ModelUnavailable(
            f"the tokenizer in '{folder}' does not fit the model: its tokens go to {largest}, the model knows {known}"
        )


def pick_device(device: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ModelUnavailable: the device is unknown or absent.
    """
    if "," in device:
        raise ModelUnavailable(f"device '{device}' is several: one Sam3 lives on one; load_replicas takes several")
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
    raw = read_config(folder)
    try:
        config = cast(Any, Sam3Config).from_dict(raw["detector_config"] if raw["model_type"] == "sam3_video" else raw)
        config.vision_config.backbone_config.layer_norm_eps = LAYER_NORM_EPS
    except (*NONSENSE, StrictDataclassError) as error:
        raise ModelUnavailable(f"the config.json in '{folder}' cannot be read ({first_line(error)})") from error
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


_TRACKER_PREFIXES = ("tracker_model.", "tracker_neck.")


def load_tracker(folder: Path, device: torch.device, dtype: torch.dtype) -> Tracker | None:
    """The tracker half of a checkpoint laid out like facebook/sam3, or None where it has none.

    Only the tensors that clicks need are read: no memory parts, no unused level of the neck. Position tables stay
    float32: in bfloat16 a point near the right edge would move by two pixels of 1008.

    Raises:
        ModelUnavailable: the half is damaged or incomplete, or does not fit its config.json.
    """
    try:
        places = tracker_files(folder)
        if not places:
            return None
        with torch.device("meta"):
            tracker = Tracker(tracker_config(folder)).eval()
        del tracker.tracker_neck.fpn_layers[LEVELS:]
        wanted = tracker.state_dict()
        found = read_tensors(places, [name for name in wanted if name in places])
        bad = sorted(name for name, value in wanted.items() if name not in found or found[name].shape != value.shape)
    except NONSENSE as error:
        raise ModelUnavailable(f"the weights in '{folder}' cannot be read ({first_line(error)})") from error
    if bad:
        raise ModelUnavailable(
            f"the weights in '{folder}' do not fit their config.json: {len(bad)} tensors of the tracker half are"
            f" missing or of another shape (first: {bad[0]})"
        )
    for name, value in found.items():
        found[name] = value.to(device, torch.float32 if "positional_embedding" in name else dtype)
    tracker.load_state_dict(found, assign=True)
    return tracker


def tracker_files(folder: Path) -> dict[str, Path]:
    """Tensor name of the tracker half -> its file."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with cast(Any, safe_open)(path, framework="pt") as file:
            places |= {name: path for name in file.keys() if name.startswith(_TRACKER_PREFIXES)}  # noqa: SIM118
    return places


def read_tensors(places: dict[str, Path], names: list[str]) -> dict[str, torch.Tensor]:
    """The tensors of these names, each out of its file."""
    found: dict[str, torch.Tensor] = {}
    for path in sorted(set(places.values())):
        with cast(Any, safe_open)(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in names if places[name] == path}
    return found


def tracker_config(folder: Path) -> Sam3TrackerVideoConfig:
    """The tracker's configuration; that of the full-size model where config.json names none."""
    raw = read_config(folder)
    try:
        return cast(Any, Sam3TrackerVideoConfig).from_dict(raw.get("tracker_config") or {})
    except (*NONSENSE, StrictDataclassError) as error:
        raise ModelUnavailable(f"the config.json in '{folder}' cannot be read ({first_line(error)})") from error
