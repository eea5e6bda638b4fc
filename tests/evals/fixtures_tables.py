"""Tables as papers ship them, made by us."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evals.fixtures_runs import SIDE, square


def pyarrow(part: str = "pyarrow") -> Any:
    return pytest.importorskip(part, reason="pyarrow is not installed: pip install pyarrow")


def image_file(value: int = 0, size: tuple[int, int] = (SIDE, SIDE), orientation: int = 0) -> bytes:
    """A JPEG of one shade; `size` is (width, height)."""
    buffer = io.BytesIO()
    picture = Image.new("RGB", size, (value, value, value))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    picture.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def rows(count: int = 3) -> list[dict[str, Any]]:
    """VisionReasoner's form with StAR's classes; the first two rows ask about one image."""
    kinds = ("C/MH", "P/F", "C/MH")
    return [
        {
            "image": {"bytes": image_file(number), "path": None},
            "text": f"question {number}",
            "mask": square(8 * number, 8).tolist(),
            "image_id": f"img-{max(0, number - 1)}",
            "ann_id": f"ann-{number}",
            "img_height": SIDE,
            "img_width": SIDE,
            "reasoning_type": kinds[number % 3],
        }
        for number in range(count)
    ]


def write_table(path: Path, content: list[dict[str, Any]]) -> Path:
    arrow = pyarrow()
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.Table.from_pylist(content)
    if path.suffix == ".parquet":
        pyarrow("pyarrow.parquet").write_table(table, path, row_group_size=2)
    else:
        with arrow.OSFile(str(path), "wb") as file, pyarrow("pyarrow.ipc").new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return path


def png(mask: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, dtype=np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()
