"""`python -m benchmarks.marked_picture`: 20 masks drawn on a 3840 x 2160 photograph-like picture and encoded.

Bar: at most 0.25 s and 300 kB (Meta's agent takes 8.4 s and a PNG of 24 MB for the same).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.machine import machine_words
from benchmarks.mask_runs import planes
from sam3_agent import masks
from sam3_agent.model.mask_rle import to_rle
from sam3_agent.render import Mark, draw_picture
from sam3_agent.render.encode import encode_picture

WIDTH, HEIGHT = 3840, 2160


def main() -> None:
    """Draw and encode a few times; the median counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.marked_picture", description=__doc__)
    parser.add_argument("--masks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the picture there")
    options = parser.parse_args()
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    photograph = Image.fromarray(noise).resize((WIDTH, HEIGHT)).filter(ImageFilter.GaussianBlur(3))
    pixels = np.asarray(photograph)
    rles = [to_rle(plane, HEIGHT, WIDTH) for plane in planes(options.masks)]
    marks = [Mark(f"m{n}", rle, masks.box(rle)) for n, rle in enumerate(rles, 1)]
    seconds: list[float] = []
    data = b""
    for _ in range(options.rounds):
        began = time.perf_counter()
        data, _ = encode_picture(draw_picture(pixels, marks))
        seconds.append(time.perf_counter() - began)
    print(
        json.dumps(
            {
                "masks": options.masks,
                "median_seconds": round(float(np.median(seconds)), 3),
                "bytes": len(data),
                "machine": machine_words(),
            },
            indent=1,
        )
    )
    if options.out:
        options.out.write_bytes(data)


if __name__ == "__main__":
    main()
