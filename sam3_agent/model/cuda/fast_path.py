"""The network as captured graphs: what `Runner` runs instead of the modules where a GPU is warm.

Every function is recorded once for each shape, all in one memory pool, and compiled before where torch can.
What has no recorded shape says so (None), and the caller runs the modules themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.masks import Rle
from sam3_agent.model import sam3_forward
from sam3_agent.model.cuda.detector import Detector
from sam3_agent.model.cuda.geometry import Geometry
from sam3_agent.model.cuda.graphs import (
    BOXES,
    PROMPTS,
    QUERIES,
    TEXTS,
    TOKENS,
    Graphs,
    Tensors,
    next_size,
    pad_rows,
    pad_tokens,
)
from sam3_agent.model.cuda.mask_counts import MaskCoder
from sam3_agent.model.cuda.masks import MaskDecoder
from sam3_agent.model.cuda.transfer import upload
from sam3_agent.model.cuda.vision import Vision
from sam3_agent.model.sam3_forward import Grounded
from sam3_agent.model.text_prompts import CONTEXT
from sam3_agent.model.tracker import ClickFeatures, Clicks, Tracker

CODED_AT_ONCE = 256
"""Masks of all prompts together that are coded in one go: 85 MB of logits at full size."""
CLICKS = ((1, False), (2, False), (0, True), (1, True))
"""(points, box or not) of the prompts that are captured at the start; others are at their first use."""
MOST_POINTS = 4
"""Points of a click prompt that is captured; each number of them has a graph of its own, with 13 MB of inputs at full
size in bfloat16, and no caller may fill the memory with those."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Features of one image."""

    grid: Tensor
    """(1, D, h, w)"""
    levels: tuple[Tensor, ...]
    cls: Tensor
    """(1, 1, C) the token of a prompt without boxes."""


class Parts(NamedTuple):
    """The network's functions."""

    vision: Vision
    geometry: Geometry
    detector: Detector
    masks: MaskDecoder


class FastPath:
    """One model on one device, function by function. For one thread at a time, without gradients."""

    def __init__(
        self, model: Sam3Model, parts: Parts, tracker: Tracker | None, graphs: Graphs, code: MaskCoder
    ) -> None:
        self._graphs = graphs
        self._model = model
        self._tracker = tracker
        self._code = code
        self._vision, self._geometry, self._detector, self._masks = parts
        config = cast(Any, model.config)
        self._side = int(config.image_size)
        self._device, self._dtype = model.device, cast(Any, model).dtype
        self._queries = int(config.detr_decoder_config.num_queries)

    @property
    def graphs(self) -> Graphs:
        """All recordings."""
        return self._graphs

    def compile(self, **options: Any) -> None:
        """Have torch compile the layers when they first run; `options` are those of torch.compile."""
        self._vision.compile(**options)
        self._detector.compile(TOKENS[0], **options)
        self._masks.compile(**options)

    def encode(self, pixels: Tensor) -> Encoded:
        """Features of one image's (1, 3, S, S) pixels."""
        grid, *levels, cls = self._graphs.run(("encode",), self._encode, pixels.to(self._dtype))
        return Encoded(grid, tuple(levels), cls)

    def texts(self, ids: Tensor) -> Tensor | None:
        """(P, CONTEXT, C) text tokens of (P, CONTEXT) ids; see `sam3_forward.encode_text`. None for too many."""
        rows = next_size(len(ids), TEXTS)
        if rows is None:
            return None
        (tokens,) = self._graphs.run(("texts", rows), self._encode_texts, pad_rows(ids, rows))
        return tokens[: len(ids)]

    def boxes(self, coarse: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """(P, N + 1, C) tokens of exemplar boxes, CLS last of the real ones, and their mask.

        See `sam3_forward.encode_exemplars`; None for more prompts or boxes than there are graphs for.
        """
        count, number = labels.shape
        rows, columns = next_size(count, PROMPTS), next_size(number, BOXES)
        if rows is None or columns is None:
            return None
        more = (0, columns - number)
        boxes = torch.nn.functional.pad(boxes, (0, 0, *more), value=sam3_forward.PAD)
        labels = torch.nn.functional.pad(labels, more, value=sam3_forward.PAD)
        tokens, mask = self._graphs.run(
            ("boxes", rows, columns),
            self._geometry.boxes,
            *(pad_rows(upload(each, self._device), rows) for each in (coarse, boxes, labels)),
        )
        return tokens[:count], mask[:count]

    def ground(self, coarse: Tensor, tokens: Tensor, mask: Tensor) -> Grounded | None:
        """Scores and boxes of P prompts; see `sam3_forward.ground`. None where there is no graph so large."""
        count, length = mask.shape
        rows, columns = next_size(count, PROMPTS), next_size(length, TOKENS)
        if rows is None or columns is None:
            return None
        tokens, mask = pad_tokens(tokens, mask, columns)
        found = self._graphs.run(
            ("ground", rows, columns), self._detector, *(pad_rows(each, rows) for each in (coarse, tokens, mask))
        )
        logits, presence, boxes, queries, memory = (each[:count] for each in found)
        return Grounded(logits, presence, boxes, queries, memory, tokens, mask)

    def masks(self, levels: tuple[Tensor, ...], grounded: Grounded, row: int, queries: Sequence[int]) -> Tensor | None:
        """(K, h, w) float32 mask logits of K chosen queries of one prompt; see `sam3_forward.decode_masks`.

        None for more masks than there is a graph for, or where `grounded` does not come from here.
        """
        size = next_size(len(queries), QUERIES)
        if size is None or grounded.tokens.shape[1] not in TOKENS:
            return None
        padded = [*queries, *[queries[-1]] * (size - len(queries))]
        one = slice(row, row + 1)
        chosen = grounded.queries[one, upload(torch.tensor(padded), self._device)]  # (1, K, C)
        (found,) = self._graphs.run(
            ("masks", size, grounded.tokens.shape[1]),
            self._masks,
            chosen,
            grounded.memory[one],
            grounded.tokens[one],
            grounded.token_mask[one],
            *levels,
        )
        return found[: len(queries)]

    def coded(self, logits: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Rle]]:
        """Masks of several prompts as run lengths at each one's (height, width), those of one size together."""
        coded: list[list[Rle]] = [[] for _ in logits]
        for size in dict.fromkeys(sizes):
            group: list[int] = []
            for number in [number for number, each in enumerate(sizes) if each == size]:
                if group and sum(len(logits[i]) for i in (*group, number)) > CODED_AT_ONCE:
                    self._code_group(coded, logits, group, size)
                    group = []
                group.append(number)
            self._code_group(coded, logits, group, size)
        return coded

    def click(
        self, tracker: Tracker, seen: ClickFeatures, clicks: Clicks, *, multimask: bool
    ) -> tuple[Tensor, Tensor] | None:
        """(1, K, h, w) mask logits and (1, K) predicted IoU; see `Tracker.decode`.

        None for several prompts or more points than there are graphs for.
        """
        if clicks.points.shape[0] > 1 or clicks.points.shape[1] > MOST_POINTS:
            return None
        given = clicks.on(self._device)
        key = ("click", *given.points.shape[:2], given.boxes is not None, given.masks is not None, multimask)
        rest = [each for each in (given.boxes, given.masks) if each is not None]

        def decode(
            finest: Tensor, finer: Tensor, coarse: Tensor, none: Tensor, points: Tensor, labels: Tensor, *more: Tensor
        ) -> Tensors:
            left = list(more)
            boxes = left.pop(0) if given.boxes is not None else None
            masks = left.pop(0) if given.masks is not None else None
            features = ClickFeatures(finest, finer, coarse, none)
            tokens, dense = tracker.embed(Clicks(points, labels, boxes, masks))
            return tracker.decode(features, tokens, dense, multimask=multimask)

        logits, quality = self._graphs.run(
            key, decode, seen.finest, seen.finer, seen.coarse, seen.no_memory, given.points, given.labels, *rest
        )
        return logits, quality

    def record_all(self, said: Callable[[str], object] = lambda _: None) -> None:
        """Run every function at every shape that callers usually bring, so that all is compiled and captured.

        Raises:
            RuntimeError: compiling failed, or memory ran out.
        """
        seen = self.encode(self._zeros(1, 3, self._side, self._side))
        said("encode")
        for rows in TEXTS:
            self.texts(torch.zeros(rows, CONTEXT, dtype=torch.int64, device=self._device))
            said(f"texts {rows}")
        width = seen.cls.shape[-1]
        for rows in PROMPTS:
            coarse = seen.levels[-1].expand(rows, -1, -1, -1)
            tokens = torch.cat([self._zeros(rows, CONTEXT, width), seen.cls.expand(rows, -1, -1)], dim=1)
            grounded = self.ground(coarse, tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=self._device))
            assert grounded is not None
            said(f"ground {rows}")
            if rows == 1:
                for count in dict.fromkeys(min(count, self._queries) for count in QUERIES):
                    self.masks(seen.levels, grounded, 0, list(range(count)))
                    said(f"masks {count}")
        for number in BOXES[:2]:
            labels = torch.ones(1, number, dtype=torch.int64)
            self.boxes(seen.levels[-1], torch.full((1, number, 4), 0.25), labels)
            said(f"boxes {number}")
        self._record_clicks(seen.grid)
        blob = torch.full((1, 8, 8), -1.0, device=self._device)
        blob[:, 2:6, 2:6] = 1.0
        self._code(blob, 64, 64)
        said("mask coder")

    def _record_clicks(self, grid: Tensor) -> None:
        if self._tracker is None:
            return
        seen = self._tracker.features(grid)
        for points, boxed in CLICKS:
            boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]]) if boxed else None
            labels = torch.ones(1, points, dtype=torch.int64)
            self.click(self._tracker, seen, Clicks(torch.zeros(1, points, 2), labels, boxes), multimask=True)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        grid, *levels = self._vision(pixels)
        return grid, *levels, *self._geometry.text_only(levels[-1])

    def _encode_texts(self, ids: Tensor) -> tuple[Tensor]:
        return (sam3_forward.encode_text(self._model, ids),)

    def _code_group(
        self, coded: list[list[Rle]], logits: Sequence[Tensor], group: list[int], size: tuple[int, int]
    ) -> None:
        held = [logits[i] for i in group]
        rles = self._code(torch.cat(held) if len(held) > 1 else held[0], *size)
        for i in group:
            coded[i], rles = rles[: len(logits[i])], rles[len(logits[i]) :]

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, device=self._device, dtype=self._dtype)
