"""From a clicks run to weights: the folder that it started from, with the tracker half added."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sam3_agent.errors import InputError
from sam3_agent.training.checkpoint import read_state
from sam3_agent.training.click_run import start_learner
from sam3_agent.training.config import TrainConfig
from sam3_agent.training.export import PREFIX

WEIGHTS = "model.safetensors"


def export_clicks(config: TrainConfig, run: Path, weights: Path | None, folder: Path) -> None:
    """Write the detector of `weights` and the run's tracker half as one checkpoint (float16), tokenizer included.

    `folder` may be `weights` itself. The names are those of facebook/sam3 (`tracker_neck.`, `tracker_model.`); the
    tracker's memory parts, which only video needs, are not there.

    Raises:
        InputError: no checkpoint in `run`, no weights, or weights that the run did not start from.
    """
    saved = read_state(run)
    if saved is None:
        raise InputError(f"'{run}' holds no checkpoint; give the --out folder of a clicks run")
    if weights is None:
        raise InputError("a clicks run is exported beside the weights that it started from; give --start-from")
    learner, _ = start_learner(config, weights, saved)
    tensors = {k: v.clone() for k, v in load_file(weights / WEIGHTS).items() if k.startswith(PREFIX)}
    tensors |= {name: value.half().contiguous() for name, value in learner.tracker.state_dict().items()}
    raw: dict[str, Any] = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    raw["tracker_config"] = learner.tracker.config.to_diff_dict()
    raw["low_res_mask_size"] = learner.tracker.mask_size[0]
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(weights.glob("tokenizer*")):
        if folder.resolve() != weights.resolve():
            shutil.copy(path, folder / path.name)
    part = folder / (WEIGHTS + ".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)  # safetensors writes for its owner alone
    part.replace(folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")
