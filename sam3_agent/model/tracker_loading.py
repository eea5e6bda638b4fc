"""The tracker half of a checkpoint, as far as clicks need it."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import Sam3TrackerVideoConfig

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.loading import first_line
from sam3_agent.model.tracker import LEVELS, Tracker

PREFIXES = ("tracker_model.", "tracker_neck.")


def load_tracker(folder: Path, device: torch.device, dtype: torch.dtype) -> Tracker | None:
    """The tracker half of a checkpoint laid out like facebook/sam3, or None where it has none.

    Only the tensors that clicks need are read: no memory parts, no unused level of the neck. Position tables stay
    float32: in bfloat16 a point near the right edge would move by two pixels of 1008.

    Raises:
        ModelUnavailable: the half is damaged or incomplete, or does not fit its config.json.
    """
    try:
        places = places_of(folder)
        if not places:
            return None
        with torch.device("meta"):
            tracker = Tracker(config_of(folder)).eval()
        del tracker.tracker_neck.fpn_layers[LEVELS:]
        wanted = tracker.state_dict()
        found = read_tensors(places, [name for name in wanted if name in places])
        bad = sorted(name for name, value in wanted.items() if name not in found or found[name].shape != value.shape)
    except (SafetensorError, OSError, RuntimeError) as error:
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


def places_of(folder: Path) -> dict[str, Path]:
    """Tensor name of the tracker half -> its file."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with cast(Any, safe_open)(path, framework="pt") as file:
            places |= {name: path for name in file.keys() if name.startswith(PREFIXES)}  # noqa: SIM118
    return places


def read_tensors(places: dict[str, Path], names: list[str]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(set(places.values())):
        with cast(Any, safe_open)(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in names if places[name] == path}
    return found


def config_of(folder: Path) -> Sam3TrackerVideoConfig:
    """The tracker's configuration; that of the full-size model where config.json names none."""
    try:
        raw: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cast(Any, Sam3TrackerVideoConfig).from_dict(raw.get("tracker_config") or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        raise ModelUnavailable(f"the config.json in '{folder}' cannot be read ({first_line(error)})") from error
