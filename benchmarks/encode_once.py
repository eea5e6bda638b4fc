"""`python -m benchmarks.encode_once`: k concepts on one image, ours against transformers as documented.

transformers' documentation calls processor and model once a concept, which encodes the image k times; Meta's agent does
the same. Both sides have the same weights (full size, random), the same image and the same threads, and end with masks
at the size of the image: ours as run lengths, theirs as bitmaps. Bar: at least 4 times as fast at k = 8, one encode.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine_words
from benchmarks.random_model import processor, random_model, segmenter_of
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ConceptPrompt, DetectOptions

WORDS = ("red circle", "house", "striped cup", "boat", "yellow star", "animal", "key", "plain umbrella")


class CountedSegmenter(Sam3):
    """A model that counts its encodes."""

    encodes = 0

    def encode(self, image: NDArray[np.uint8]) -> ImageFeatures:
        """Count, then encode."""
        self.encodes += 1
        return super().encode(image)


def main() -> None:
    """Time both sides in turn and print one line each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode_once", description=__doc__)
    parser.add_argument("--concepts", type=int, default=8, choices=range(1, len(WORDS) + 1), metavar="1-8")
    parser.add_argument("--image", type=Path, help="a picture (default: noise of 1800 x 1200)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = random_model(options.device, getattr(torch, options.dtype))
    base = segmenter_of(model)
    segmenter = CountedSegmenter(model, base._tokenizer, base.info)  # pyright: ignore[reportPrivateUsage]
    image = _image(options.image)
    words = WORDS[: options.concepts]
    rounds = [(_ours(segmenter, image, words), _theirs(model, image, words)) for _ in range(options.rounds)]
    ours, theirs = (min(side) for side in zip(*rounds, strict=True))
    document = {
        "concepts": len(words),
        "device": options.device,
        "dtype": options.dtype,
        "ours_seconds": round(ours, 3),
        "transformers_seconds": round(theirs, 3),
        "ratio": round(theirs / ours, 2),
        "encodes_a_round": segmenter.encodes / options.rounds,
        "machine": f"{machine_words()}, {torch.get_num_threads()} torch threads",
    }
    print(json.dumps(document, indent=1))
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _ours(segmenter: Sam3, image: NDArray[np.uint8], words: tuple[str, ...]) -> float:
    began = time.perf_counter()
    segmenter.detect(segmenter.encode(image), [ConceptPrompt(word) for word in words], DetectOptions(near_misses=0))
    return time.perf_counter() - began


@torch.inference_mode()
def _theirs(model: Any, image: NDArray[np.uint8], words: tuple[str, ...]) -> float:
    reader = processor()
    began = time.perf_counter()
    for word in words:
        inputs = reader(images=Image.fromarray(image), text=word, return_tensors="pt")
        outputs = model(**inputs.to(model.device))
        reader.post_process_instance_segmentation(
            outputs, threshold=0.5, target_sizes=[(image.shape[0], image.shape[1])]
        )
    return time.perf_counter() - began


def _image(path: Path | None) -> NDArray[np.uint8]:
    if path is not None:
        return np.array(Image.open(path).convert("RGB"))
    return np.random.default_rng(0).integers(0, 256, (1200, 1800, 3), dtype=np.uint8)


if __name__ == "__main__":
    main()
