"""From a training checkpoint to a folder that `Sam3.load` and transformers read."""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from transformers import Sam3Config, Sam3Model, Sam3VideoConfig

from sam3_agent.errors import InputError
from sam3_agent.training.checkpoint import Checkpoint, read_checkpoint, read_state
from sam3_agent.training.click_run import start_learner
from sam3_agent.training.config import TrainConfig
from sam3_agent.training.evaluate import fitted_presence_bias
from sam3_agent.training.grounding_loss import Alignment
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.steps import Learner
from sam3_agent.training.tiny import HIDDEN, new_model, tiny_config
from sam3_agent.training.tokenizer import build_tokenizer
from sam3_agent.training.track_presence import Calibration
from sam3_agent.training.track_run import start_track_learner

PREFIX = "detector_model."
"""Prefix of the detector in facebook/sam3 (a Sam3VideoModel); a tracker half may join it under `tracker_model.`."""


def export_run(run: Path, folder: Path) -> None:
    """Write config.json, model.safetensors (float16) and the tokenizer of a training run.

    Raises:
        InputError: the folder `run` holds no checkpoint.
    """
    saved = read_checkpoint(run)
    if saved is None:
        raise InputError(f"'{run}' holds no checkpoint; give the --out folder of a training run")
    learner = _trained(saved)
    write_weights(learner.model, learner.model.config, folder)
    learner.tokenizer.save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]


def _trained(saved: Checkpoint) -> Learner:
    tokenizer = build_tokenizer(vocabulary_words())
    config = tiny_config(len(tokenizer), int(saved.config["stages"][saved.stage]["image_size"]))
    learner = Learner(Sam3Model(config), Alignment(HIDDEN), tokenizer)
    learner.model.load_state_dict(saved.model)
    return learner


def exported_model(folder: Path, vocab_size: int) -> Sam3Model:
    """The detector of an exported folder, to train on.

    Raises:
        InputError: no exported weights there, or of another vocabulary.
    """
    size = input_size(folder)
    try:
        state = load_file(folder / "model.safetensors")
    except (OSError, ValueError) as error:
        raise _no_weights(folder, error) from None
    model = new_model(tiny_config(vocab_size, size))
    state = {name.removeprefix(PREFIX): value.float() for name, value in state.items() if name.startswith(PREFIX)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"'{folder}' holds a model of another shape or vocabulary: {error}") from None
    return model


def input_size(folder: Path) -> int:
    """Pixels a side of what the detector of an exported folder reads.

    Raises:
        InputError: no exported weights there.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["detector_config"]
        return int(config["vision_config"]["backbone_config"]["image_size"])
    except (OSError, KeyError, ValueError) as error:
        raise _no_weights(folder, error) from None


def _no_weights(folder: Path, error: Exception) -> InputError:
    return InputError(f"'{folder}' holds no exported weights ({error}); give the folder of an --export")


def write_weights(model: Sam3Model, config: Sam3Config, folder: Path) -> None:
    """Write a detector in the layout of facebook/sam3, as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {PREFIX + name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    whole = Sam3VideoConfig(detector_config=config.to_dict(), architectures=["Sam3VideoModel"], dtype="float16")
    raw = whole.to_diff_dict()
    raw["model_type"] = "sam3_video"
    raw.pop("tracker_config", None)  # there is no tracker half yet; a default one would name full-size parts
    raw["detector_config"] = config.to_diff_dict()
    (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")


WEIGHTS = "model.safetensors"
PRESENCE = "tracker_model.mask_decoder.pred_obj_score_head."
"""Beginning of the names of the presence head's tensors, which tracking reads and clicks do not."""


def export_clicks(config: TrainConfig, run: Path, weights: Path | None, folder: Path) -> None:
    """Write the detector of `weights` and the run's tracker half as one checkpoint (float16), tokenizer included.

    `folder` may be `weights` itself. The names are those of facebook/sam3 (`tracker_neck.`, `tracker_model.`); the
    tracker's memory parts, which only video needs, are not there; but a run that went on keeps those of `weights`, and
    the presence head, which clicks do not read and which has learnt absence with them.

    Raises:
        InputError: no checkpoint in `run`, no weights, or weights that the run did not start from.
    """
    saved = read_state(run)
    if saved is None:
        raise InputError(f"'{run}' holds no checkpoint; give the --out folder of a clicks run")
    if weights is None:
        raise InputError("a clicks run is exported beside the weights that it started from; give --start-from")
    learner, _ = start_learner(config, weights, saved)
    goes_on = config.stages[0].goes_on
    tensors = {k: v.clone() for k, v in load_file(weights / WEIGHTS).items() if goes_on or k.startswith(PREFIX)}
    own = {name: value.half().contiguous() for name, value in learner.tracker.state_dict().items()}
    tensors |= {name: value for name, value in own.items() if not (goes_on and name.startswith(PRESENCE))}
    raw: dict[str, Any] = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    raw["tracker_config"] = learner.tracker.config.to_diff_dict()
    raw["low_res_mask_size"] = learner.tracker.mask_size[0]
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(weights.glob("tokenizer*")):
        if folder.resolve() != weights.resolve():
            shutil.copy(path, folder / path.name)
    write_tensors(tensors, folder)
    (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export_tracker(config: TrainConfig, run: Path, weights: Path | None, folder: Path) -> None:
    """Write the checkpoint `weights` with the run's memory parts and presence head (float16) into `folder`.

    The head says what the run's calibration has made of it, if the run has come to that.
    `folder` may be `weights` itself. Every other tensor stays as it is, to the bit; clicks do not read the presence
    head. Names are those of facebook/sam3, but for `tracker_model.tracking_point`, which is the project's own.

    Raises:
        InputError: no checkpoint in `run`, no weights, or weights that the run did not start from.
    """
    saved = read_state(run)
    if saved is None:
        raise InputError(f"'{run}' holds no checkpoint; give the --out folder of a tracker run")
    if weights is None:
        raise InputError("a tracker run is exported beside the weights that it started from; give --start-from")
    learner, _ = start_track_learner(config, weights, saved)
    tensors = {name: value.clone() for name, value in load_file(weights / WEIGHTS).items()}
    learner.load(learner.average)
    found: dict[str, float] = saved.get("calibration") or {}
    Calibration(**found).apply(learner.presence)
    own = {f"tracker_model.{name}": value for name, value in learner.tracker.parts.state_dict().items()}
    own |= {f"{PRESENCE}{name}": value for name, value in learner.presence.state_dict().items()}
    width = learner.tracker.parts.tracking_point.shape[1]
    own["tracker_model.no_memory_positional_encoding"] = torch.zeros(1, 1, width)  # read by nothing
    tensors |= {name: value.half().contiguous() for name, value in own.items()}
    _write_beside(weights, folder, tensors)


POSITIONS = "vision_encoder.backbone.embeddings.position_embeddings"
"""The one table that depends on the input size."""


def export_parts(config: TrainConfig, run_folder: Path, weights: Path | None, folder: Path) -> None:
    """Write the checkpoint `weights` with the parts of the detector that the run has taught (float16) into `folder`.

    `folder` may be `weights` itself. Every other tensor stays as it is, to the bit, the tracker half included.

    They are blended with what they were before (WiSE-FT, Wortsman et al. 2022; `TrainConfig.kept`): a short run gains
    and forgets, the mean of both keeps more of either. Presence is calibrated on the way: its last bias takes up
    `evaluate.fitted_presence_bias`. The run may have learnt at another input size than that of `weights`, which stays.

    Raises:
        InputError: no checkpoint in `run_folder`, no weights, weights whose frozen parts are not those of the run, or
            of another input size than that of a run that has taught the backbone.
    """
    saved = read_checkpoint(run_folder)
    if saved is None:
        raise InputError(f"'{run_folder}' holds no checkpoint; give the --out folder of a training run")
    if weights is None:
        raise InputError("a run of some parts is exported beside the weights that it started from; give --start-from")
    learnt = tuple({beginning for stage in config.stages for beginning in stage.learns})
    tensors = {name: value.clone() for name, value in load_file(weights / WEIGHTS).items()}
    run = _trained(saved)
    model = exported_model(weights, len(run.tokenizer))
    resized = int(cast(Any, run.model.config).image_size) != input_size(weights)
    wrong = _mismatch(run, learnt, tensors, resized=resized)
    if wrong:
        raise InputError(f"'{run_folder}' cannot be exported beside '{weights}': {wrong}")
    taught = dict(run.model.named_parameters())
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.startswith(learnt):
                value.copy_(torch.lerp(taught[name], value, config.kept))
        learner = Learner(model, run.heads, run.tokenizer)
        last = cast(Any, model.detr_decoder).presence_head.layer3
        last.bias += fitted_presence_bias(learner, input_size(weights))
    own = {name: value for name, value in model.state_dict().items() if name.startswith(learnt)}
    tensors |= {PREFIX + name: value.half().contiguous() for name, value in own.items()}
    _write_beside(weights, folder, tensors)


def _mismatch(run: Learner, learnt: tuple[str, ...], tensors: dict[str, torch.Tensor], *, resized: bool) -> str:
    """Say why a run does not fit the weights that it is exported beside; empty where it does."""
    if resized and POSITIONS.startswith(learnt):
        return "a run that has taught the backbone keeps the input size it learnt at"
    for name, value in run.model.state_dict().items():
        if name.startswith(learnt) or (resized and name == POSITIONS):
            continue
        if not torch.equal(tensors[PREFIX + name], value.half()):
            return f"it did not start from these, '{name}' differs"
    return ""


def _write_beside(weights: Path, folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write the tensors, and config and tokenizer of `weights`, which may be the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != weights.resolve():
        for path in (weights / "config.json", *sorted(weights.glob("tokenizer*"))):
            shutil.copy(path, folder / path.name)
    write_tensors(tensors, folder)


def write_tensors(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write or replace the folder's model.safetensors, whole or not at all."""
    part = folder / (WEIGHTS + ".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)  # safetensors writes for its owner alone
    part.replace(folder / WEIGHTS)
