"""Rows of sharded data sets: an image with everything that is known of its labels, in plain values."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sam3_agent.formats.label_set import LabeledImage, LabelSet
from sam3_agent.masks import area

Pictures = Callable[[LabeledImage], bytes]
"""Gives the file of an image, upright."""
SHARD_BYTES = 500_000_000
"""Of one file: the size in which the Hugging Face Hub shards data sets itself."""


def row_of(image: LabeledImage, labels: LabelSet) -> dict[str, Any]:
    """Give an image and its labels: boxes as COCO's [x, y, width, height], masks as COCO's compressed RLE.

    Attributes and provenance are JSON texts, as their fields differ from label to label.
    """
    return {
        "image_id": image.name,
        "width": image.width,
        "height": image.height,
        "absent": [labels.classes[index] for index in labels.absent.get(image.name, ())],
        "objects": [
            {
                "id": label.id,
                "category": labels.classes[label.class_index],
                "category_id": label.class_index,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": area(label.rle),
                "segmentation": label.rle.to_json(),
                "score": round(label.score, 4),
                "attributes": json.dumps(dict(label.attributes), ensure_ascii=False, default=str),
                "provenance": json.dumps(dict(label.provenance), ensure_ascii=False, default=str),
            }
            for label in image.labels
            for x0, y0, x1, y1 in [label.box]
        ],
    }


@contextmanager
def replacing_shards(folder: Path, suffix: str) -> Generator[Path]:
    """Give a folder for new shards, which take the place of those in `folder` when the block ends well.

    Whatever interrupts the block leaves the old ones as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / ".writing"
    for left in new.glob("*"):  # of an export that was killed
        left.unlink()
    new.mkdir(exist_ok=True)
    try:
        yield new
        for old in folder.glob(f"*{suffix}"):
            old.unlink()
        for path in sorted(new.iterdir()):
            path.replace(folder / path.name)
    finally:
        for path in new.glob("*"):
            path.unlink()
        new.rmdir()
