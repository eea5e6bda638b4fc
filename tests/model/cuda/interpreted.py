"""Every kind of mask through the Triton kernels on a CPU: run by `test_mask_counts` in a process of its own.

Triton decides when a kernel is defined whether it is interpreted, so TRITON_INTERPRET must be set before the import.
Prints one line of JSON: {"<case>": [<sizes at which bytes differ>]}.
"""

import json
import sys

import numpy as np
import torch

from sam3_agent.model.cuda import mask_counts
from sam3_agent.model.cuda.mask_counts import Tiles, in_triton
from sam3_agent.model.mask_rle import to_rle

WIDE = Tiles(columns=512, rows=512, runs=4096, groups=1)
"""Few and large steps: the interpreter takes the same time for each."""
SMALL = Tiles(columns=16, rows=8, runs=8, groups=2)
"""Many steps, so that every border between two of them is crossed."""
SIZES = ((1, 1), (9, 1), (31, 47), (12, 200))


def planes() -> dict[str, torch.Tensor]:
    """(K, h, w) float32 logits of every kind of mask."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:12, 0:9]
    single = np.full((3, 12, 9), -1.0)
    single[0, 0, 0] = single[1, -1, -1] = single[2, 5, 4] = 2.0
    halves = (columns % 2 == 0, rows % 2 == 0, columns < 4)
    stripes = np.stack([np.where(each, 1.0, -1.0) for each in halves])
    feet = np.full((2, 12, 9), -1.0)
    feet[0, -2:, 3], feet[0, :2, 4] = 1.0, 1.0  # goes on from one column's foot to the next one's head
    feet[1, 0], feet[1, -1] = 1.0, 1.0
    kinds = {
        "full": np.full((1, 12, 9), 3.0),
        "empty": np.full((2, 12, 9), -3.0),
        "zero": np.zeros((1, 12, 9)),
        "single": single,
        "stripes": stripes,
        "feet": feet,
        "noise": rng.normal(0, 1, (3, 12, 9)),
        "mixed": np.concatenate([np.full((1, 12, 9), -1.0), rng.normal(-0.5, 1, (2, 12, 9)), np.full((1, 12, 9), 1.0)]),
    }
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in kinds.items()}


def differing(logits: torch.Tensor, sizes: tuple[tuple[int, int], ...], tiles: Tiles) -> list[str]:
    """Sizes at which the kernels' bytes are not those of `to_rle`."""
    wrong: list[str] = []
    for height, width in sizes:
        wanted = [to_rle(plane, height, width) for plane in logits.numpy()]
        if in_triton(logits, height, width, tiles) != wanted:
            wrong.append(f"{width}x{height}")
    return wrong


def main() -> None:
    """Run all cases and print what differs."""
    kinds = planes()
    everything = torch.cat(list(kinds.values()))
    found = {
        "every kind": differing(everything, SIZES, WIDE),
        "small steps": differing(kinds["mixed"][1:3], ((21, 33),), SMALL),
        "large": differing(kinds["full"], ((3000, 4000),), WIDE),
    }
    mask_counts.FIRST_ROOM = 8  # what the first guess has no room for is done again
    found["little room"] = differing(kinds["noise"][:1], ((31, 47),), WIDE)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
