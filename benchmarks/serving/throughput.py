"""Throughput of the served model on this machine: images a second on so many replicas, and in this process."""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.replicas import load_replicas
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.scenes import generate_scene
from sam3_agent.serving.deployment import Deployment, ModelLoader, cluster_of_ray, serving
from sam3_agent.types import ConceptPrompt

PROMPTS = tuple(ConceptPrompt(phrase) for phrase in ("circle", "star", "animal"))
OBJECT_STORE = 300_000_000


def throughput(model: str, replicas: Sequence[int], count: int, clients: int) -> dict[str, Any]:
    """Measure each, one after the other; every image is encoded once and asked about twice."""
    images = [generate_scene(seed).image for seed in range(count)]
    found: dict[str, Any] = {"images": count, "clients": clients, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    with Scheduler(load_replicas(model)) as scheduler:
        found["in this process"] = _measure(scheduler, images, clients)
    with cluster_of_ray(num_cpus=max(replicas), object_store_memory=OBJECT_STORE):
        for number in replicas:
            options = Deployment(ModelLoader(model), f"throughput-{number}", replicas=number)
            with serving(options) as segmenter:
                found[f"{number} replicas"] = _measure(segmenter, images, clients) | segmenter.statistics()
    return found


def _measure(segmenter: Segmenter, images: Sequence[NDArray[np.uint8]], clients: int) -> dict[str, float]:
    segmenter.presence(segmenter.encode(np.zeros_like(images[0])), PROMPTS[:1])  # the first call of all pays for starts
    latencies: list[float] = []
    writing = threading.Lock()

    def ask(image: NDArray[np.uint8]) -> None:
        began = time.monotonic()
        features = segmenter.encode(image)
        for _ in range(2):
            segmenter.detect(features, PROMPTS)
        with writing:
            latencies.append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, images))
    seconds = time.monotonic() - began
    return {
        "images_per_second": round(len(images) / seconds, 2),
        "median_seconds": round(float(np.median(latencies)), 3),
        "worst_seconds": round(max(latencies), 3),
    }
