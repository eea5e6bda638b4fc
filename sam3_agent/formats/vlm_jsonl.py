"""JSONL for multimodal language models: one question and answer a line, absent classes among them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sam3_agent.formats.files import replacing
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel


def write_vlm_jsonl(labels: LabelSet, out: Path) -> list[str]:
    """Write SPLIT.jsonl; gives warnings (there are none).

    A line is {"image", "width", "height", "class", "messages", "masks"}. The answer is a JSON list of
    {"bbox_2d": [x0, y0, x1, y1] in whole pixels, "label"}, [] where the class is known to be absent; `masks` are their
    COCO run lengths, in the same order.
    """
    for split in labels.splits():
        with replacing(out / f"{split}.jsonl") as temporary, temporary.open("w", encoding="utf-8") as file:
            for image in labels.of_split(split):
                file.writelines(f"{line}\n" for line in _lines(image, labels))
    return []


def _lines(image: LabeledImage, labels: LabelSet) -> Iterator[str]:
    found, absent = list(image.labels), labels.absent.get(image.name, ())
    for index, name in enumerate(labels.classes):
        those = [label for label in found if label.class_index == index]
        if those or index in absent:
            yield json.dumps(_entry(image, name, those), ensure_ascii=False, separators=(",", ":"))


def _entry(image: LabeledImage, name: str, found: Sequence[MaskLabel]) -> dict[str, Any]:
    boxes = [{"bbox_2d": [round(v) for v in label.box], "label": name, **label.attributes} for label in found]
    question = f"Find every {name} in the image. Answer with a JSON list of bbox_2d (pixels) and label; [] if none."
    return {
        "image": image.name,
        "width": image.width,
        "height": image.height,
        "class": name,
        "messages": [
            {"role": "user", "content": [{"type": "image", "image": image.name}, {"type": "text", "text": question}]},
            {"role": "assistant", "content": [{"type": "text", "text": json.dumps(boxes, ensure_ascii=False)}]},
        ],
        "masks": [label.rle.to_json() for label in found],
    }
