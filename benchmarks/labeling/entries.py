"""`python -m benchmarks.labeling.entries --out DIR --entries N`: labeling over many tiny images with a stub segmenter.

Writes N images of 8 x 8 pixels, labels them in a process of its own with a model that costs nothing, kills it (SIGKILL)
when a half is done, goes on, and exports. Tells images a second, memory as the work goes on, seconds from the restart
to the first new image, and the memory of exports. `--parts journal` writes the journal alone: what the labels of an
image take, N times. Seconds of a shared machine are upper bounds; CPU seconds are told beside them.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent.labeling.io.export_labels import export
from sam3_agent.labeling.io.journal_labels import Selection
from sam3_agent.labeling.ontology.yaml_file import parse_ontology
from sam3_agent.labeling.pipeline.executor import ThreadExecutor
from sam3_agent.labeling.pipeline.proposer import Proposer
from sam3_agent.labeling.pipeline.run import Order, Progress, label_images
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.workspace import Workspace

SIDE = 8
EXPORTED = ("webdataset", "coco", "cvat", "label-studio", "mllm")
PARTS = ("label", "export", "journal")
FOLDER = 1000
"""Images in a folder."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", choices=("label", "export"), help=argparse.SUPPRESS)
    parser.add_argument("--format", default="webdataset", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child == "label":
        return _label(given.out)
    if given.child == "export":
        return _export(given.out, given.format)
    found: dict[str, Any] = {"entries": given.entries}
    if "label" in given.parts:
        _fresh(given.out, given.entries)
        found["label"] = _labeled(given.out, given.entries)
    if "export" in given.parts:
        found["export"] = [json.loads(_run(given.out, "export", form)) for form in EXPORTED]
    if "journal" in given.parts:
        found["journal"] = journal_alone(given.out / "journal", given.entries)
    print(json.dumps(found, indent=2))
    return None


def _fresh(out: Path, entries: int) -> None:
    """Take away the last run; images are written again only where there are not as many."""
    shutil.rmtree(out / "run", ignore_errors=True)
    if not _image(out / "images", entries - 1).exists() or _image(out / "images", entries).exists():
        shutil.rmtree(out, ignore_errors=True)
        write_images(out / "images", entries)


def _image(folder: Path, number: int) -> Path:
    return folder / f"{number // FOLDER:04d}" / f"{number:07d}.png"


def write_images(folder: Path, count: int) -> None:
    """Write so many images, all different."""
    for number in range(count):
        path = _image(folder, number)
        if number % FOLDER == 0:
            path.parent.mkdir(parents=True)
        digest = hashlib.blake2b(str(number).encode(), digest_size=48).digest()
        pixels = np.frombuffer(digest * (SIDE * SIDE * 3 // 48), np.uint8).reshape(SIDE, SIDE, 3)
        Image.fromarray(pixels).save(path)


def journal_alone(folder: Path, entries: int) -> dict[str, float]:
    """Write the rows of so many images as labeling does: a unit of work, then labels, checks and state in one step."""
    shutil.rmtree(folder, ignore_errors=True)
    write_images(folder / "images", 1)
    done = Journal.create(folder / "one")
    label_images(Order(folder / "images"), done, ThreadExecutor(_proposer(), 1))
    (row,) = done.images()
    labels, checks, unit = done.labels(row.sha), done.checks(row.sha), done.unit(row.sha, "detect")
    journal = Journal.create(folder / "many")
    began, cpu = time.monotonic(), time.process_time()
    for number in range(entries):
        sha = f"{number:064x}"
        journal.put_unit(sha, "detect", unit)
        mine = [replace(each, id=f"{sha[-16:]}{each.id[-4:]}", sha=sha) for each in labels]
        journal.finish(
            replace(row, path=f"{number:07d}.png", sha=sha), mine, [replace(each, sha=sha) for each in checks]
        )
    seconds, spent = time.monotonic() - began, time.process_time() - cpu
    journal.close()
    done.close()
    size = sum(path.stat().st_size for path in (folder / "many").iterdir())
    return {
        "images_per_second": round(entries / seconds), "images_per_cpu_second": round(entries / spent),
        "bytes_per_image": round(size / entries), "memory_mb": _peak_mb(),
    }  # fmt: skip


def _proposer() -> Proposer:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[2:6, 2:6] = True
    ontology = parse_ontology("classes: [{name: thing}]", Path("entries.yaml"))
    return Proposer(Workspace(FakeSegmenter({"thing": detection([mask])})), ontology, None, "never")


def _labeled(out: Path, entries: int) -> dict[str, Any]:
    """Label until a half is done, kill, go on to the end."""
    first: list[dict[str, float]] = []
    running = _start(out, "label")
    for line in _lines(running):
        first.append(line)
        if line["done"] >= entries // 2:
            running.send_signal(signal.SIGKILL)
            break
    running.communicate()
    began = time.monotonic()
    running, second, again = _start(out, "label"), list[dict[str, float]](), 0.0
    for line in _lines(running):
        again = again or time.monotonic() - began
        second.append(line)
    running.communicate()
    journal = Journal.open(out / "run")
    ((done,),) = journal.read("SELECT COUNT(*) FROM images WHERE state='done'")
    journal.close()
    begun, last = second[0], second[-1]
    return {
        "done": done,
        "images_per_second": round((last["done"] - begun["done"]) / (last["seconds"] - begun["seconds"])),
        "images_per_cpu_second": round((last["done"] - begun["done"]) / (last["cpu"] - begun["cpu"])),
        "resumed_after_seconds": round(again, 1),
        "of_which_imports": round(begun["imported"], 1),
        "resumed_after_cpu_seconds": round(begun["cpu"], 1),
        "memory_mb": [[line["done"], line["memory_mb"]] for line in (first[0], first[-1], begun, last)],
    }


def _start(out: Path, child: str, form: str = "webdataset") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.labeling.entries", "--out", str(out), "--child", child]
    return subprocess.Popen([*command, "--format", form], stdout=subprocess.PIPE, text=True)


def _run(out: Path, child: str, form: str) -> str:
    running = _start(out, child, form)
    said, _ = running.communicate()
    if running.returncode:
        raise RuntimeError(f"{child} ended with {running.returncode}")
    return said


def _lines(running: "subprocess.Popen[str]") -> Any:
    assert running.stdout is not None
    for line in running.stdout:
        yield json.loads(line)


def _label(out: Path) -> None:
    """Label what is pending; a line for the first image of this process, for every 500th and for the last."""
    imported = time.clock_gettime(time.CLOCK_BOOTTIME) - _started()
    began = time.monotonic()

    def tell(now: Progress) -> None:
        if now.done == 1 or now.done % 500 == 0 or now.done == now.total:
            seconds, cpu = time.monotonic() - began, time.process_time()
            line = {"done": now.done, "seconds": seconds, "cpu": cpu, "memory_mb": _now_mb(), "imported": imported}
            print(json.dumps(line), flush=True)

    journal = Journal.create(out / "run")
    label_images(Order(out / "images"), journal, ThreadExecutor(_proposer(), 1), tell)
    journal.close()


def _export(out: Path, form: str) -> None:
    journal = Journal.open(out / "run")
    before, began, cpu = _now_mb(), time.monotonic(), time.process_time()
    report = export(journal, form, out / "export" / form, Selection(("accepted", "review")))
    journal.close()
    print(
        json.dumps(
            {
                "format": form, "labels": report.labels, "seconds": round(time.monotonic() - began, 1),
                "cpu_seconds": round(time.process_time() - cpu, 1), "memory_mb": [before, _peak_mb()],
            }
        )
    )  # fmt: skip


def _now_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def _started() -> float:
    """Tell when this process began, in seconds since the machine did."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
