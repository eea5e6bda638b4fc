"""From a tracker run to weights: the folder that it started from, with the memory parts added."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sam3_agent.errors import InputError
from sam3_agent.training.checkpoint import read_state
from sam3_agent.training.config import TrainConfig
from sam3_agent.training.track_run import start_track_learner

WEIGHTS = "model.safetensors"
PRESENCE = "tracker_model.mask_decoder.pred_obj_score_head."


def export_tracker(config: TrainConfig, run: Path, weights: Path | None, folder: Path) -> None:
    """Write the checkpoint `weights` with the run's memory parts and presence head (float16) into `folder`.

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
    own = {f"tracker_model.{name}": value for name, value in learner.tracker.parts.state_dict().items()}
    own |= {f"{PRESENCE}{name}": value for name, value in learner.presence.state_dict().items()}
    own["tracker_model.no_memory_positional_encoding"] = torch.zeros(1, 1, learner.head.in_features)  # read by nothing
    tensors |= {name: value.half().contiguous() for name, value in own.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != weights.resolve():
        for path in (weights / "config.json", *sorted(weights.glob("tokenizer*"))):
            shutil.copy(path, folder / path.name)
    part = folder / (WEIGHTS + ".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)  # safetensors writes for its owner alone
    part.replace(folder / WEIGHTS)
