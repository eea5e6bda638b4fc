"""Looks at the whole, then closer."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from sam3_agent.errors import InputError
from sam3_agent.masks import Window
from sam3_agent.model.request_context import calling
from sam3_agent.types import ConceptPrompt, Detection, ModelInfo
from sam3_agent.workspace.query import Question
from sam3_agent.workspace.tiling.planning import Wish, finest, tiles_for, wish_of
from sam3_agent.workspace.tiling.tile_detections import View

IN_FLIGHT = 8
"""Tiles that are looked at at the same time; the features of so many are in memory at once."""

Ask = Callable[[Window, Sequence[ConceptPrompt]], list[Detection]]
"""(window, prompts) -> one detection a prompt, in pixels of the window."""

_log = logging.getLogger(__name__)


def look_closer(
    ask: Ask, image: Window, prompts: Sequence[ConceptPrompt], question: Question, segmenter: ModelInfo
) -> list[list[View]]:
    """Look at the whole, then at tiles of it where that pays, then at tiles of the tiles where it still does.

    Several tiles are asked about at the same time, each by a thread. Concepts that need tiles share them. Example boxes
    exist in one place only and cannot be shown to a tile elsewhere: a prompt that has any is asked of the whole alone.

    Args:
        ask: the model, for windows of one image; called from several threads.
        image: the whole image, or the region that is asked about.
        prompts: each gets its list of views, the whole first.
        question: whether to look closer at all.
        model: how large its input is and how many queries it has.

    Raises:
        InputError: tiles are demanded for a prompt with example boxes.
    """
    _check(prompts, question)
    views: list[list[View]] = [[] for _ in prompts]
    wave: dict[Window, list[int]] = {image: list(range(len(prompts)))}
    room = question.most_tiles
    while wave:
        wishes: dict[Window, Wish] = {}
        wishing: dict[Window, list[int]] = {}
        for window, asked, detections in _answers(ask, wave, prompts):
            calls: dict[int, Wish] = {}
            for index, detection in zip(asked, detections, strict=True):
                view = View(window, detection, segmenter)
                views[index].append(view)
                wish = None if prompts[index].exemplars else wish_of(view, question, whole=window == image)
                if wish is not None:
                    calls[index] = wish
            if calls:
                wishes[window], wishing[window] = finest(list(calls.values())), list(calls)
        tiles = tiles_for(wishes, image, segmenter, room)
        wave = {tile: sorted({i for window in windows for i in wishing[window]}) for tile, windows in tiles.items()}
        room -= len(wave)
    return views


def _check(prompts: Sequence[ConceptPrompt], question: Question) -> None:
    shown = [prompt.label for prompt in prompts if prompt.exemplars]
    if question.tiles == "always" and shown:
        raise InputError(
            f"tiles='always' and example boxes do not go together ({shown[0]!r} has some): a tile elsewhere in the "
            "image cannot be shown them. Ask with the phrase alone, or learn a concept from the examples and ask for "
            "that, or leave tiles at 'auto', which looks at the whole image then"
        )


def _answers(
    ask: Ask, wave: Mapping[Window, list[int]], prompts: Sequence[ConceptPrompt]
) -> list[tuple[Window, list[int], list[Detection]]]:
    """(window, numbers of the prompts asked there, detections), in the order of the wave."""
    calls = [(window, asked, [prompts[index] for index in asked]) for window, asked in wave.items()]
    if len(calls) == 1:
        return [(window, asked, ask(window, wanted)) for window, asked, wanted in calls]
    _log.info("looking closer, at %d tiles", len(calls))
    found: list[tuple[Window, list[int], list[Detection]]] = []
    # Many tiles must not keep others waiting. When one fails, those that wait for the model are given up, and the pool
    # ends.
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="tile") as pool, calling(bulk=True):
        pending = [pool.submit(copy_context().run, ask, window, wanted) for window, _, wanted in calls]
        try:
            for (window, asked, _), answer in zip(calls, pending, strict=True):
                found.append((window, asked, answer.result()))
                if len(found) % 64 == 0:
                    _log.info("looked at %d of %d tiles", len(found), len(calls))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return found
