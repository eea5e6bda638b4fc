"""Label Studio: tasks with brush predictions, score and model version, and the labeling interface for them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.formats.control_characters import xml_text
from sam3_agent.formats.files import write_json_in_pieces, write_text
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.palette import voc_colors

_WORD = 8
"""Bits of a value."""
_SIZES = (3, 4, 8, 16)
"""Bits that a run's length may take; a run says which in two bits."""
_CHANNELS = 4


def write_label_studio(labels: LabelSet, out: Path, prefix: str = "/data/local-files/?d=") -> list[str]:
    """Write tasks.json, a task at a time, and interface.xml; gives warnings (there are none).

    `prefix` is put before the name of each image, whose signs are escaped as in any URL: that of Label Studio's local
    storage unless told otherwise.
    """
    write_json_in_pieces(out / "tasks.json", (_task(image, labels, prefix) for image in labels.images))
    write_text(out / "interface.xml", _interface(labels))
    return []


def brush_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Bytes of Label Studio's brush format (thi.ng/rle-pack) of a (H, W) mask, painted in all four channels.

    A head of 32 bits (values), 5 (bits a value, less 1) and four times 4 (bits a length, less 1); then for each run a
    bit 1, 2 bits for which length, the length less 1, the value.
    """
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [flat.size]])) * _CHANNELS
    bits = [f"{flat.size * _CHANNELS:032b}", f"{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        while length:
            part = min(length, 1 << _SIZES[-1])
            which = next(i for i, size in enumerate(_SIZES) if part <= 1 << size)
            bits.append(f"1{which:02b}{part - 1:0{_SIZES[which]}b}{value}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _task(image: LabeledImage, labels: LabelSet, prefix: str) -> dict[str, Any]:
    found = list(image.labels)
    return {
        "data": {"image": f"{prefix}{quote(image.name)}", "split": image.split},
        "predictions": [
            {
                "model_version": labels.model,
                "score": round(min((label.score for label in found), default=1.0), 4),
                "result": [_result(label, image, labels) for label in found],
            }
        ],
    }


def _result(label: MaskLabel, image: LabeledImage, labels: LabelSet) -> dict[str, Any]:
    return {
        "id": label.id,
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "score": round(label.score, 4),
        "value": {
            "format": "rle",
            "rle": brush_rle(masks.decode(label.rle)),
            "brushlabels": [labels.classes[label.class_index]],
        },
        "meta": {"text": [f"{key}: {value}" for key, value in {**label.attributes, **label.provenance}.items()]},
    }


def _interface(labels: LabelSet) -> str:
    colors = voc_colors(len(labels.classes) + 1).tolist()[1:]
    named = zip(labels.classes, colors, strict=True)
    rows = [
        f'    <Label value={quoteattr(xml_text(n))} background="#{"".join(f"{v:02x}" for v in c)}"/>\n'
        for n, c in named
    ]
    image = '  <Image name="image" value="$image" zoom="true"/>\n'
    return f'<View>\n{image}  <BrushLabels name="label" toName="image">\n{"".join(rows)}  </BrushLabels>\n</View>\n'
