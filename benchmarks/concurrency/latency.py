"""Latency of an urgent call while others have the model do a lot."""

import itertools
import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np

from benchmarks.concurrency.clients import Client, Picture
from sam3_agent.model.segmenter import Features, Segmenter


def call_seconds(segmenter: Segmenter, features: Features, client: Client, calls: int, rest: float) -> list[float]:
    """Seconds of each call; between two calls the caller does something else, up to `rest` seconds."""
    chance, seconds = random.Random(0), list[float]()
    for _ in range(calls):
        time.sleep(chance.uniform(0, rest))
        began = time.perf_counter()
        segmenter.detect(features, client.prompts)
        seconds.append(time.perf_counter() - began)
    return seconds


@contextmanager
def load(segmenter: Segmenter, images: Sequence[Picture], clients: Sequence[Client]) -> Generator[None]:
    """Meanwhile each client encodes picture after picture and asks about each."""
    stop = threading.Event()

    def work(client: Client) -> None:
        for image in itertools.cycle(images):
            if stop.is_set():
                return
            segmenter.detect(segmenter.encode(image), client.prompts)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.2)  # until everybody is at work
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum in milliseconds."""
    values = np.array(seconds) * 1000
    return {
        "median_ms": float(np.median(values)),
        "p99_ms": float(np.percentile(values, 99, method="higher")),
        "max_ms": float(values.max()),
    }
