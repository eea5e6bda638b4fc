"""`python -m sam3_agent.training.resize WEIGHTS --size 256 --out DIR`: exported tiny weights at another input size."""

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from sam3_agent.errors import InputError, Sam3AgentError
from sam3_agent.training.export import PREFIX, WEIGHTS, exported_model, write_tensors, write_weights
from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.tiny import PATCH, resize_model
from sam3_agent.training.tiny_tracker import tiny_tracker_config
from sam3_agent.training.tokenizer import build_tokenizer

STEP = 2 * PATCH
"""Pixels: a window is half of the ViT's grid."""


def resize_weights(weights: Path, size: int, folder: Path) -> None:
    """Write the weights for an input of `size` pixels a side: the table of positions is interpolated, the rest is kept.

    Detector, click half and memory parts all have learnt another size, so each goes on learning from here.

    Raises:
        InputError: no exported weights, no input size of this model, or `folder` is `weights`.
    """
    if size < STEP or size % STEP:
        raise InputError(f"an input is a multiple of {STEP} pixels a side, got {size}")
    if folder.resolve() == weights.resolve():
        raise InputError(f"'{folder}' holds the weights of the former size; give another --out")
    model = resize_model(exported_model(weights, len(build_tokenizer(vocabulary_words()))), size)
    write_weights(model, model.config, folder)
    for path in sorted(weights.glob("tokenizer*")):
        shutil.copy(path, folder / path.name)
    former: dict[str, Any] = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / WEIGHTS)
    tensors |= {name: value for name, value in load_file(weights / WEIGHTS).items() if not name.startswith(PREFIX)}
    if "tracker_config" in former:
        tracker = tiny_tracker_config(cast(Any, model.config).vision_config.backbone_config)
        raw: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        raw |= {"tracker_config": tracker.to_diff_dict(), "low_res_mask_size": size // PATCH * 4}
        (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_tensors(tensors, folder)


def main() -> int:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m sam3_agent.training.resize", description=__doc__)
    parser.add_argument("weights", type=Path, help="folder of an --export")
    parser.add_argument("--size", type=int, required=True, help=f"pixels a side, a multiple of {STEP}")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        resize_weights(options.weights, options.size, options.out)
    except Sam3AgentError as error:
        logging.error("error: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
