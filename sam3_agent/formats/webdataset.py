"""WebDataset: tar files of images, each with a JSON document of its labels."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, cast

from sam3_agent.formats.label_set import LabelSet, readable_suffix
from sam3_agent.formats.shard_rows import SHARD_BYTES, Pictures, replacing_shards, row_of


def write_webdataset(
    labels: LabelSet, out: Path, pictures: Pictures | None, shard_bytes: int = SHARD_BYTES
) -> list[str]:
    """Write SPLIT-000000.tar, SPLIT-000001.tar, ... of at most `shard_bytes`, but for a single larger image.

    A sample is NUMBER.jpg (or .png, ...; only with `pictures`) and NUMBER.json. Images are read one at a time.
    """
    with replacing_shards(out, ".tar") as folder:
        for split in labels.splits():
            shard, number = _Shard(folder, split, shard_bytes), 0
            try:
                for number, image in enumerate(labels.of_split(split)):
                    row = json.dumps(row_of(image, labels), ensure_ascii=False).encode()
                    sample = [(f"{number:09d}.json", row)]
                    if pictures is not None:
                        sample.insert(0, (f"{number:09d}{readable_suffix(image).lower()}", pictures(image)))
                    shard.add(sample)
            finally:
                shard.close()
    return [] if pictures is not None else ["the samples have no images; --images puts them in"]


class _Shard:
    """Tar file that goes over to the next one when it is full."""

    def __init__(self, folder: Path, split: str, limit: int) -> None:
        self._folder, self._split, self._limit = folder, split, limit
        self._count = self._size = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, sample: list[tuple[str, bytes]]) -> None:
        """Add the files of one sample, which stay together."""
        size = sum(2 * tarfile.BLOCKSIZE + len(data) for _, data in sample)  # a header each, and filled to a block
        if self._tar is not None and self._size + size + tarfile.RECORDSIZE > self._limit:
            self.close()
        if self._tar is None:
            path = self._folder / f"{self._split}-{self._count:06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  (closed by `close`)
            self._count, self._size = self._count + 1, 0
        self._size += size
        for name, data in sample:
            entry = tarfile.TarInfo(name)  # of 1970: the same labels give the same bytes
            entry.size = len(data)
            self._tar.addfile(entry, io.BytesIO(data))
        cast(Any, self._tar).members.clear()  # it would remember every entry, some kB an image

    def close(self) -> None:
        """End the tar file at hand."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None
