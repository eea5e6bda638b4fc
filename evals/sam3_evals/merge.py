"""Shards of a run, put together into the run that one machine would have made."""

import heapq
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing
from sam3_evals.journal import JournalIndex, read_journal
from sam3_evals.manifest import FILE, Manifest, read_manifest
from sam3_evals.run import CASES, PREDICTIONS
from sam3_evals.shard import read_shard


def merge(runs: Sequence[Path], out: Path) -> Manifest:
    """Write the whole run into `out`: cases and predictions in the dataset's order, traces copied.

    A shard that is not finished leaves a whole run that is not; it can be resumed like any other.

    Raises:
        InputError: `out` holds a run, the shards are of different runs, or one is missing or there twice.
    """
    manifests = [read_manifest(run) for run in runs]
    whole = _whole(runs, manifests)
    if (out / FILE).exists() or (out / PREDICTIONS).exists():
        raise InputError(f"{out}: there is a run already; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    with (
        replacing(out / CASES) as cases,
        replacing(out / PREDICTIONS) as predictions,
        cases.open("wb") as asked,
        predictions.open("wb") as answered,
    ):
        for case, prediction, run in _by_rank(runs):
            asked.write(_line(case))
            if prediction is not None:
                answered.write(_line(prediction))
                _copy_trace(run, prediction["trace"], out)
    whole.write(out)
    return whole


def _whole(runs: Sequence[Path], manifests: Sequence[Manifest]) -> Manifest:
    whole = replace(manifests[0], shard="")
    for run, manifest in zip(runs, manifests, strict=True):
        if not manifest.shard:
            raise InputError(f"{run}: is not a shard; runs made with --shard i/n are merged")
        try:
            whole.check_same(replace(manifest, shard=""))
        except InputError as error:
            raise InputError(f"{run} and {runs[0]} are not shards of one run: {error}") from error
    shards = [read_shard(manifest.shard) for manifest in manifests]
    counts = {shard.count for shard in shards}
    given, wanted = sorted(shard.index for shard in shards), list(range(1, shards[0].count + 1))
    if len(counts) > 1 or given != wanted:
        raise InputError(f"expected each of the shards 1/{shards[0].count} to {shards[0].count}/{shards[0].count} once,"
                         f" got {', '.join(str(shard) for shard in shards)}")  # fmt: skip
    return whole


def _by_rank(runs: Sequence[Path]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, Path]]:
    """(case, its prediction, the shard's folder), in the order of the dataset."""
    indices = [JournalIndex(run / PREDICTIONS, "case") for run in runs]
    streams = [_ranked(number, run) for number, run in enumerate(runs)]
    for _, number, case in heapq.merge(*streams, key=lambda item: item[0]):
        del case["rank"]
        yield case, indices[number].find(case["id"]), runs[number]


def _ranked(number: int, run: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for case in read_journal(run / CASES):
        if not isinstance(case.get("rank"), int):
            raise InputError(f"{run / CASES}: a case without its rank; is this a shard?")
        yield case["rank"], number, case


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _copy_trace(run: Path, name: str, out: Path) -> None:
    if name and (run / name).is_file():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / name, out / name)
