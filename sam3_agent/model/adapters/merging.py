"""Models with an adapter in their weights, as a folder like any other."""

import shutil
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from sam3_agent.formats.adapter_folder import replacing_folder
from sam3_agent.model.adapters.adapter import base_fingerprint, read_adapter
from sam3_agent.model.adapters.low_rank import weights_with
from sam3_agent.model.loading import load_model, locate
from sam3_agent.model.model_folder import CONFIG, TOKENIZER

PREFIXES = ("detector_model.", "")
"""Of the detector's tensors in a file: that of facebook/sam3, or none in a bare Sam3Model."""


def write_merged(base: str, adapter: Path, out: Path) -> None:
    """Write the folder of `base` with the changes in its weights; every other tensor and file is copied.

    Raises:
        ModelUnavailable: the model or the adapter cannot be read, or do not belong together.
    """
    _, folder = locate(base)
    model = load_model(folder, torch.device("cpu"), torch.float32)
    changes = read_adapter(adapter, model, base_fingerprint(model)).tensors
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with cast(Any, safe_open)(path, framework="pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = {name.removeprefix(_prefix(tensors)): name for name in tensors}
    held = {name: tensors[stored] for name, stored in own.items()}
    for name, value in weights_with(changes, held).items():
        tensors[own[name]] = value
    with replacing_folder(out) as made:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, made / "model.safetensors", {"format": "pt"}
        )
        (made / "model.safetensors").chmod(0o644)  # safetensors writes for its owner alone
        for name in (CONFIG, *TOKENIZER, "merges.txt"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, made / name)


def _prefix(tensors: dict[str, Tensor]) -> str:
    return next(each for each in PREFIXES if any(name.startswith(f"{each}detr_encoder.") for name in tensors))
