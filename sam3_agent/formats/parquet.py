"""Parquet shards as Hugging Face `datasets` reads them: an image a row, masks as RLE, with provenance."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.formats.files import write_text
from sam3_agent.formats.label_set import LabelSet
from sam3_agent.formats.shard_rows import SHARD_BYTES, Pictures, replacing_shards, row_of

_GROUP_BYTES = 32_000_000
"""Images and labels that are held before they are written as a row group: what a reader then holds, too."""
_GROUP_ROWS = 1000


def write_parquet(labels: LabelSet, out: Path, pictures: Pictures | None, shard_bytes: int = SHARD_BYTES) -> list[str]:
    """Write data/SPLIT-00000-of-00002.parquet, ... and a README.md that names the splits; gives warnings.

    A file holds about `shard_bytes`, by what is put into it; rows are written in groups as they come.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    with replacing_shards(out / "data", ".parquet") as folder:
        counts = labels.splits()
        for split in counts:
            writer = _Writer(pyarrow, parquet, folder, split, shard_bytes)
            try:
                for image in labels.of_split(split):
                    row = row_of(image, labels)
                    data = pictures(image) if pictures is not None else None
                    row["image"] = {"bytes": data, "path": image.name}
                    writer.add(row, len(data or b"") + sum(len(json.dumps(each)) for each in row["objects"]) + 200)
            finally:
                writer.close()
            writer.name_shards()
    write_text(out / "README.md", _card(labels, counts))
    return [] if pictures is not None else ["the rows have no images, only their paths; --images puts them in"]


class _Writer:
    """Parquet file of one split that goes over to the next one when it is full."""

    def __init__(self, pyarrow: Any, parquet: Any, folder: Path, split: str, limit: int) -> None:
        self._pyarrow, self._parquet = pyarrow, parquet
        self._folder, self._split, self._limit = folder, split, limit
        self._schema = _schema(pyarrow)
        self._rows: list[dict[str, Any]] = []
        self._held = self._size = 0
        self._file: Any = None
        self._shards: list[Path] = []

    def add(self, row: dict[str, Any], size: int) -> None:
        """Take a row of about so many bytes."""
        if self._size and self._size + size > self._limit:
            self.close()
        self._rows.append(row)
        self._held += size
        self._size += size
        if self._held >= _GROUP_BYTES or len(self._rows) >= _GROUP_ROWS:
            self._write_group()

    def close(self) -> None:
        """End the file at hand."""
        if self._rows:
            self._write_group()
        if self._file is not None:
            self._file.close()
        self._file, self._size = None, 0

    def name_shards(self) -> None:
        """Give the files their final names, which tell how many there are."""
        for number, path in enumerate(self._shards):
            path.replace(path.with_name(f"{self._split}-{number:05d}-of-{len(self._shards):05d}.parquet"))

    def _write_group(self) -> None:
        if self._file is None:
            self._shards.append(self._folder / f"{self._split}-{len(self._shards)}.parquet.part")
            self._file = self._parquet.ParquetWriter(self._shards[-1], self._schema)
        self._file.write_table(self._pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._held = [], 0


def _schema(pyarrow: Any) -> Any:
    """Columns with, as metadata, the features by which `datasets` decodes images."""
    text, whole = pyarrow.string(), pyarrow.int64()
    segmentation = pyarrow.struct([("size", pyarrow.list_(whole)), ("counts", text)])
    thing = pyarrow.struct(
        [
            ("id", text), ("category", text), ("category_id", whole), ("bbox", pyarrow.list_(pyarrow.float64())),
            ("area", whole), ("segmentation", segmentation), ("score", pyarrow.float64()),
            ("attributes", text), ("provenance", text),
        ]
    )  # fmt: skip
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])
    columns = [("image", image), ("image_id", text), ("width", whole), ("height", whole)]
    columns += [("absent", pyarrow.list_(text)), ("objects", pyarrow.list_(thing))]
    metadata = json.dumps({"info": {"features": _features()}})
    return pyarrow.schema(columns, metadata={"huggingface": metadata})


def _features() -> dict[str, Any]:
    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    def sequence(feature: dict[str, Any]) -> dict[str, Any]:
        return {"feature": feature, "_type": "List"}

    segmentation = {"size": sequence(value("int64")), "counts": value("string")}
    thing: dict[str, Any] = {
        "id": value("string"), "category": value("string"), "category_id": value("int64"),
        "bbox": sequence(value("float64")), "area": value("int64"), "segmentation": segmentation,
        "score": value("float64"), "attributes": value("string"), "provenance": value("string"),
    }  # fmt: skip
    return {
        "image": {"_type": "Image"}, "image_id": value("string"), "width": value("int64"), "height": value("int64"),
        "absent": sequence(value("string")), "objects": sequence(thing),
    }  # fmt: skip


def _card(labels: LabelSet, counts: dict[str, int]) -> str:
    """README.md whose head tells `datasets` the files of each split."""
    files = "".join(f"  - split: {split}\n    path: data/{split}-*.parquet\n" for split in counts)
    rows = "".join(f"- {split}: {count} images\n" for split, count in counts.items())
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n"
        f"Labels made by sam3-agent with {labels.model or 'an unnamed model'}.\n\n{rows}\n"
        "A row is an image. `objects[].segmentation` is COCO's compressed RLE (`pycocotools.mask.decode`), `bbox` is"
        " [x, y, width, height] in pixels, `provenance` a JSON text: phrase, scores, verdict, reviewer, cost.\n"
    )


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError("Parquet files are written by pyarrow: pip install 'sam3-agent[parquet]'") from error
