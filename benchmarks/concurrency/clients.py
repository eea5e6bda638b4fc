"""The clients of the benchmark: what they ask, by hand in one thread, or each in a thread of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_agent.model.segmenter import Features, Segmenter
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.scenes.vocabulary import COLORS, NOUNS
from sam3_agent.types import ConceptPrompt
from sam3_agent.workspace.feature_cache import FeatureCache

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Client:
    """Asks the same prompts about one picture in every round."""

    picture: int
    prompts: tuple[ConceptPrompt, ...]


def pictures(number: int) -> list[Picture]:
    """Scenes of 6 to 12 things, about 512 px."""
    options = SceneOptions(min_objects=6, max_objects=12, min_side=512, max_side=512)
    return [generate_scene(seed, options).image for seed in range(number)]


def make_clients(number: int, images: int, prompts: int) -> list[Client]:
    """Clients spread over the pictures, with phrases of which no two clients have all in common."""
    colors = ["", *COLORS]
    phrases = [f"{color} {noun}".strip() for color in colors for noun in NOUNS]
    return [
        Client(
            client % images,
            tuple(ConceptPrompt(phrases[(client * prompts + k) % len(phrases)]) for k in range(prompts)),
        )
        for client in range(number)
    ]


def by_hand(segmenter: Segmenter, seen: Sequence[Features], clients: Sequence[Client], rounds: int) -> float:
    """Seconds for one thread that asks all prompts on a picture in one call, as somebody who knew them all would."""
    began = time.perf_counter()
    for _ in range(rounds):
        for number, features in enumerate(seen):
            segmenter.detect(features, [p for client in clients if client.picture == number for p in client.prompts])
    return time.perf_counter() - began


def encode_and_ask_by_hand(segmenter: Segmenter, images: Sequence[Picture], clients: Sequence[Client]) -> float:
    """Seconds for one thread that also encodes every picture, once."""
    began = time.perf_counter()
    by_hand(segmenter, [segmenter.encode(image) for image in images], clients, 1)
    return time.perf_counter() - began


def at_once(calls: Sequence[Callable[[], object]]) -> float:
    """Seconds until all calls, each in a thread of its own and started together, have returned."""
    start, failures = threading.Barrier(len(calls) + 1), list[BaseException]()

    def run(call: Callable[[], object]) -> None:
        start.wait()
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # raised below, in the thread that measures
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if failures:
        raise failures[0]
    return seconds


def each_alone(segmenter: Segmenter, seen: Sequence[Features], clients: Sequence[Client], rounds: int) -> float:
    """Seconds for as many threads as clients, each asking its own prompts."""

    def ask(client: Client) -> None:
        for _ in range(rounds):
            segmenter.detect(seen[client.picture], client.prompts)

    return at_once([lambda client=client: ask(client) for client in clients])


def encode_and_ask_alone(segmenter: Segmenter, images: Sequence[Picture], clients: Sequence[Client]) -> float:
    """Seconds for clients that know nothing of each other and share a memory of features."""
    memory = FeatureCache(segmenter, 2**30)

    def ask(client: Client) -> None:
        image = images[client.picture]
        height, width = image.shape[:2]
        segmenter.detect(memory.get((str(client.picture), (0, 0, width, height)), lambda: image), client.prompts)

    return at_once([lambda client=client: ask(client) for client in clients])
