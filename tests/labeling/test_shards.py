"""Parquet and WebDataset shards of a run, read back by the libraries that they are for."""

import io
import json
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam3_agent import masks
from sam3_agent.errors import InputError
from sam3_agent.formats.label_set import LabeledImage, LabelSet, MaskLabel
from sam3_agent.formats.parquet import write_parquet
from sam3_agent.formats.webdataset import write_webdataset
from sam3_agent.labeling.io.export_labels import export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.store.journal import Journal
from tests.fixtures_workspace import GREEN_SQUARE, HEIGHT, RED_CIRCLES, WIDTH
from tests.labeling.fixtures_runs import knowing_segmenter, label, write_scenes

COUNT = 6
MASKS = (GREEN_SQUARE, *RED_CIRCLES)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    write_scenes(tmp_path / "images", COUNT)
    return label(tmp_path / "images", tmp_path / "run", knowing_segmenter(COUNT), "classes: [{name: shape}]")


def label_set(count: int = 3) -> LabelSet:
    """`count` images of which the n-th has n labels, and every other one is for validation."""
    splits = ("train", "val")
    made = [LabeledImage(f"a/{n}.png", WIDTH, HEIGHT, things(n), splits[n % 2]) for n in range(count)]
    return LabelSet(("tile", "ball"), tuple(made), {"a/0.png": (1,)}, "fake")


def things(count: int) -> tuple[MaskLabel, ...]:
    made = [(f"L{n}", min(n, 1), masks.encode(MASKS[n])) for n in range(min(count, len(MASKS)))]
    return tuple(MaskLabel(i, c, rle, 0.9, {"occluded": True}, {"phrase": "ärger"}) for i, c, rle in made)


def png(_: LabeledImage) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "navy").save(buffer, "PNG")
    return buffer.getvalue()


def samples(folder: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Shard and files by suffix, sample by sample."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found: dict[str, dict[str, bytes]] = {}
            for entry in tar:
                key, _, suffix = entry.name.partition(".")
                stream = tar.extractfile(entry)
                assert stream is not None
                found.setdefault(key, {})[suffix] = stream.read()
        yield from ((path.name, files) for files in found.values())


def test_a_sample_of_webdataset_is_an_image_with_its_labels(tmp_path: Path) -> None:
    assert write_webdataset(label_set(), tmp_path, png) == []
    found = list(samples(tmp_path))
    assert [shard for shard, _ in found] == ["train-000000.tar", "train-000000.tar", "val-000000.tar"]
    row = json.loads(found[1][1]["json"])
    assert [masks.decode(masks.from_json(each["segmentation"])).tolist() for each in row["objects"]] == [
        mask.tolist() for mask in MASKS[:2]
    ]
    assert json.loads(row["objects"][0]["provenance"]) == {"phrase": "ärger"}
    assert json.loads(found[0][1]["json"])["absent"] == ["ball"]
    assert Image.open(io.BytesIO(found[0][1]["png"])).size == (WIDTH, HEIGHT)


def test_shards_end_before_they_are_too_large_and_old_ones_go_away(tmp_path: Path) -> None:
    limit = 40_000
    write_webdataset(label_set(40), tmp_path, png, limit)
    shards = sorted(tmp_path.glob("*.tar"))
    assert len(shards) >= 4
    assert all(path.stat().st_size <= limit for path in shards)
    assert len(list(samples(tmp_path))) == 40
    write_webdataset(label_set(), tmp_path, None)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["train-000000.tar", "val-000000.tar"]


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_webdataset(label_set(), tmp_path / name, png)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_interrupts_an_export_leaves_the_old_shards(tmp_path: Path) -> None:
    write_webdataset(label_set(), tmp_path, png)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def gone(_: LabeledImage) -> bytes:
        raise InputError("the picture is gone")

    with pytest.raises(InputError, match="is gone"):
        write_webdataset(label_set(), tmp_path, gone)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_is_exported_with_its_images(journal: Journal, tmp_path: Path) -> None:
    report = export(journal, "webdataset", tmp_path / "out", Selection(val=0.4, seed=3), pictures=True)
    found = list(samples(tmp_path / "out"))
    assert (report.images, len(found), report.warnings) == (COUNT, COUNT, ())
    assert sum(len(json.loads(files["json"])["objects"]) for _, files in found) == report.labels
    assert all({"png", "json"} == set(files) for _, files in found)
    assert (tmp_path / "out" / "provenance.jsonl").is_file()


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_without_pyarrow_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pip install 'sam3-agent\[parquet\]'"):
        write_parquet(label_set(), tmp_path, None)


def test_the_webdataset_library_reads_the_samples(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("webdataset", reason="webdataset is not installed: pip install webdataset")
    write_webdataset(label_set(6), tmp_path, png)
    pattern = str(tmp_path / "train-000000.tar")
    read = list(library.WebDataset(pattern, shardshuffle=False).decode("rgb8").to_tuple("png", "json"))
    assert len(read) == 3
    assert [len(row["objects"]) for _, row in read] == [0, 2, 3]
    assert read[0][0].shape == (HEIGHT, WIDTH, 3)


def test_pyarrow_reads_shards_of_bounded_size(tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install pyarrow")
    write_parquet(label_set(40), tmp_path, png, 20_000)
    shards = sorted((tmp_path / "data").iterdir())
    train = [path for path in shards if path.name.startswith("train")]
    assert train[0].name == f"train-00000-of-{len(train):05d}.parquet"
    assert len(train) >= 2
    assert sum(parquet.read_table(path).num_rows for path in shards) == 40
    write_parquet(label_set(), tmp_path, None)
    assert len(list((tmp_path / "data").iterdir())) == 2


def test_datasets_reads_images_masks_and_splits(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    write_parquet(label_set(6), tmp_path / "set", png)
    read = library.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in read.items()} == {"train": 3, "val": 3}
    row = read["train"][1]
    assert row["image"].size == (WIDTH, HEIGHT)
    assert row["image_id"] == "a/2.png"
    for thing, mask in zip(row["objects"], MASKS, strict=False):
        assert np.array_equal(masks.decode(masks.from_json(thing["segmentation"])), mask)
    assert json.loads(row["objects"][0]["provenance"]) == {"phrase": "ärger"}
    streamed = library.load_dataset(str(tmp_path / "set"), split="val", streaming=True)
    assert [len(each["objects"]) for each in streamed] == [1, 3, 3]
