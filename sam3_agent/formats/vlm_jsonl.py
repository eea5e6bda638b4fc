"""JSONL for multimodal language models: one question and answer a line, absent classes among them."""

import json
from pathlib import Path
from typing import Any

from sam3_agent.formats.files import write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet


def write_vlm_jsonl(labels: LabelSet, out: Path) -> list[str]:
    """Write SPLIT.jsonl; gives warnings (there are none).

    A line is {"image", "width", "height", "class", "messages", "masks"}. The answer is a JSON list of
    {"bbox_2d": [x0, y0, x1, y1] in whole pixels, "label"}, [] where the class is known to be absent; `masks` are their
    COCO run lengths, in the same order.
    """
    for split in labels.splits():
        lines: list[str] = []
        for image in labels.of_split(split):
            for index, name in enumerate(labels.classes):
                found = [label for label in image.labels if label.class_index == index]
                if found or index in labels.absent.get(image.name, ()):
                    lines.append(json.dumps(_entry(image, name, index), ensure_ascii=False, separators=(",", ":")))
        write_text(out / f"{split}.jsonl", "".join(f"{line}\n" for line in lines))
    return []


def _entry(image: LabeledImage, name: str, index: int) -> dict[str, Any]:
    found = [label for label in image.labels if label.class_index == index]
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
