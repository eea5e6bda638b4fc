"""Many images and many callers: files to run lengths in a journal, and urgent calls under bulk load."""

import hashlib
import io
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu.steps import WORDS, threshold_for
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.types import ConceptPrompt, DetectOptions


def jpeg_files(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Smooth pictures of (height, width) with some noise: as large on disk as photographs."""
    rng = np.random.default_rng(2)
    files: list[Path] = []
    for number in range(count):
        coarse = rng.integers(0, 256, (size[0] // 20, size[1] // 20, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, dtype=np.int16) + rng.integers(-6, 7, (*size, 3), dtype=np.int16)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def images_a_second(
    segmenter: Sam3, files: list[Path], folder: Path, *, concepts: int, jobs: int, seconds: float
) -> dict[str, Any]:
    """Files read, decoded, encoded, asked about and written to a journal by `jobs` threads for some seconds."""
    folder.mkdir()
    journal = Journal.create(folder)
    prompts = [ConceptPrompt(word) for word in WORDS[:concepts]]
    with Image.open(files[0]) as first:
        threshold = threshold_for(segmenter, segmenter.encode(np.array(first.convert("RGB"))))
    asked = DetectOptions(threshold, near_misses=0, assume_present=True)
    end = time.perf_counter() + seconds
    done: list[int] = []
    lock = threading.Lock()
    busy = Busy(segmenter)

    def work(worker: int) -> None:
        number = worker
        while time.perf_counter() < end:
            data = files[number % len(files)].read_bytes()
            seen = segmenter.encode(np.array(Image.open(io.BytesIO(data)).convert("RGB")))
            found = segmenter.detect(seen, prompts, asked)
            kept = [[candidate.rle.to_json() for candidate in each.kept] for each in found]
            name = f"{number}-{hashlib.sha256(data).hexdigest()}"
            journal.put_unit(name, "segmenter", json.dumps(kept).encode())
            with lock:
                done.append(sum(map(len, kept)))
            number += jobs

    began = time.perf_counter()
    with busy, ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work, worker) for worker in range(jobs)]:
            future.result()
    took = time.perf_counter() - began
    journal.close()
    return {
        "images_per_second": round(len(done) / took, 1),
        "masks_an_image": round(sum(done) / max(1, len(done)), 1),
        "jobs": jobs,
        "gpu_busy_percent": busy.percent,
    }


def urgent_under_bulk(segmenter: Sam3, image: Any, *, clients: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of an urgent call about one concept, idle and while `clients` encode and ask in bulk."""
    prompts = [ConceptPrompt(WORDS[0])]
    over = threading.Event()
    done: list[float] = []
    with Scheduler([segmenter]) as scheduler:
        bulk = scheduler.bulk()
        seen = scheduler.encode(image)
        threshold = threshold_for(segmenter, segmenter.encode(image))

        def ask(through: Scheduler, features: Any) -> object:
            return through.detect(
                features, prompts, DetectOptions(threshold=threshold, near_misses=0, assume_present=True)
            )

        def load() -> None:
            while not over.is_set():
                ask(bulk, bulk.encode(image))
                done.append(time.perf_counter())

        idle = _latencies(lambda: ask(scheduler, seen), seconds)
        threads = [threading.Thread(target=load) for _ in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        loaded = _latencies(lambda: ask(scheduler, seen), seconds)
        over.set()
        for thread in threads:
            thread.join()
    return {
        "idle_median_ms": round(float(np.median(idle)), 2),
        "urgent_median_ms": round(float(np.median(loaded)), 2),
        "urgent_p99_ms": round(float(np.percentile(loaded, 99)), 2),
        "p99_over_idle": round(float(np.percentile(loaded, 99) / np.median(idle)), 2),
        "bulk_images_per_second": round(len(done) / (time.perf_counter() - began), 1),
        "bulk_clients": clients,
    }


class Busy:
    """Share of the time in which the GPU computes, by the driver's own counter; None where that is not to be had."""

    def __init__(self, segmenter: Sam3) -> None:
        self._device = torch.device(segmenter.info.device)
        self._samples: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def percent(self) -> float | None:
        """The mean of the samples."""
        return round(float(np.mean(self._samples)), 1) if self._samples else None

    def __enter__(self) -> "Busy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._device.type == "cuda" and not self._over.wait(0.2):
            try:
                self._samples.append(int(torch.cuda.utilization(self._device)))
            except Exception:  # noqa: BLE001  # error boundary: the driver's library has errors of its own
                return  # no counter: no nvidia-ml-py package, or a virtual machine that hides it


def _latencies(ask: Callable[[], object], seconds: float) -> list[float]:
    """Milliseconds of calls made one after the other, 20 ms apart."""
    ask()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1000)
        time.sleep(0.02)
    return times
