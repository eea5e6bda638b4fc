"""Runs the network, batch by batch, on prepared rows of any images and callers."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam3Model

from sam3_agent.model import sam3_forward
from sam3_agent.model.click_prompts import ClickRow, RawClick
from sam3_agent.model.concept_prompts import ConceptRow, Drawn, ExemplarRow, coarse_levels
from sam3_agent.model.exemplars import box_tensors, learned_tensors
from sam3_agent.model.features import ClickCache, ImageFeatures
from sam3_agent.model.mask_rle import Ints
from sam3_agent.model.mask_rle_gpu import to_edges
from sam3_agent.model.postprocess import select
from sam3_agent.model.preprocess import PreparedImage
from sam3_agent.model.sam3_forward import Grounded
from sam3_agent.model.scheduler.preemption import listened, pause
from sam3_agent.model.text_prompts import Ids, TextCache
from sam3_agent.model.tracker import Clicks, Tracker

TEXT_BYTES = 32 * 2**20
"""Text tokens that are remembered (32 kB a phrase at full size in float32, 16 kB in bfloat16)."""

Learned = tuple[torch.Tensor, torch.Tensor]
"""(P, M, C) tokens read off other images, and their (P, M) mask."""


class Runner:
    """SAM 3's network on its device. Changes the model (`sam3_forward.prepare`) and remembers its text tokens.

    Safe to call from several threads: the network runs for one at a time. Out of memory comes as torch says it.
    """

    def __init__(self, model: Sam3Model, *, compile_vision: bool, tracker: Tracker | None = None) -> None:
        sam3_forward.prepare(model)
        if compile_vision:
            sam3_forward.compile_vision(model)
        self.texts = TextCache(self._encode_texts, TEXT_BYTES)
        self._model = model
        self._tracker = tracker
        self._compiled = compile_vision
        self._lock = threading.RLock()

    @contextmanager
    def alone(self) -> Generator[None]:
        """The network for this thread alone, without gradients."""
        with self._lock, torch.inference_mode():
            yield

    def encode(self, images: Sequence[PreparedImage]) -> list[ImageFeatures]:
        """The features of every image.

        There are pauses between layers for more urgent work, unless the ViT is compiled into one piece.
        """
        paused = listened() and not self._compiled
        with self.alone(), sam3_forward.between_layers(self._model, pause) if paused else nullcontext():
            pixels = torch.cat([image.pixels for image in images]).to(self._model.device)  # (B, 3, S, S)
            grid, levels = sam3_forward.encode_pixels(self._model, pixels)
            if len(images) == 1:
                return [ImageFeatures(images[0].height, images[0].width, levels, self._for_clicks(grid))]
            # A view would keep the memory of the whole batch as long as one of its images is remembered.
            own = [[part[place : place + 1].clone() for part in (grid, *levels)] for place in range(len(images))]
        return [
            ImageFeatures(image.height, image.width, tuple(each[1:]), self._for_clicks(each[0]))
            for image, each in zip(images, own, strict=True)
        ]

    def draw(self, rows: Sequence[ConceptRow]) -> list[Drawn]:
        """Scores and boxes of every row, and masks for what is kept and for the near misses alone.

        There are pauses before the masks of each row.
        """
        with self.alone():
            grounded = self.ground(
                coarse_levels(rows),
                [row.ids for row in rows],
                [row.flags for row in rows],
                box_tensors([(row.boxes, row.labels) for row in rows]),
                learned_tensors([row.learned for row in rows]),
            )
            scores = grounded.logits.sigmoid().double().cpu().numpy()  # (P, Q)
            boxes = grounded.boxes.double().cpu().numpy()  # (P, Q, 4)
            presences = [float(value) for value in grounded.presence.sigmoid().cpu()]
            return [
                self._drawn(row, grounded, place, presences[place], scores[place], boxes[place])
                for place, row in enumerate(rows)
            ]

    def read(self, rows: Sequence[ExemplarRow]) -> list[NDArray[np.float32]]:
        """(N, C) tokens of every row's N boxes, without the CLS token."""
        boxes, labels = box_tensors([(row.boxes, row.labels) for row in rows])
        with self.alone():
            device = self._model.device
            tokens, _ = sam3_forward.encode_exemplars(
                self._model, coarse_levels(rows), boxes.to(device), labels.to(device)
            )  # (P, N + 1, C)
            found = tokens.float().cpu().numpy()
        return [found[place, : len(row.labels)] for place, row in enumerate(rows)]

    def click(self, rows: Sequence[ClickRow]) -> list[RawClick]:
        """Three masks of every row and the IoU expected of each; there are pauses between rows."""
        found: list[RawClick] = []
        for row in rows:
            pause()
            with self.alone():
                found.append(self.clicked(row.features, row.clicks))
        return found

    def clicked(self, features: ImageFeatures, clicks: Clicks, *, multimask: bool = True) -> RawClick:
        """(K, h, w) raw mask logits and (K,) predicted IoU of one prompt; K is 3, or 1 without `multimask`.

        To be called `alone`.
        """
        if self._tracker is None or features.clicks is None:
            raise TypeError("these features were encoded by a model without a tracker half")
        seen = features.clicks.features(self._tracker)
        given = clicks.on(seen.coarse.device)
        logits, quality = self._tracker.decode(seen, *self._tracker.embed(given), multimask=multimask)
        return logits[0].cpu().numpy(), quality[0].cpu().numpy()

    def ground(
        self,
        coarse: torch.Tensor,
        ids: Sequence[Ids],
        flags: Sequence[tuple[bool, ...]],
        boxes: tuple[torch.Tensor, torch.Tensor],
        learned: Learned | None,
    ) -> Grounded:
        """Raw scores and boxes of P prompts; to be called `alone`.

        Args:
            coarse: (P, C, h, w) coarsest levels of the prompts' images, which may be different ones.
            ids: P phrases.
            flags: CONTEXT flags of each phrase.
            boxes: (P, N, 4) cxcywh boxes and (P, N) labels.
            learned: see there.
        """
        device = self._model.device
        shapes, shape_mask = sam3_forward.encode_exemplars(
            self._model, coarse, boxes[0].to(device), boxes[1].to(device)
        )
        tokens = torch.cat([self.texts.tokens(ids), shapes], dim=1)  # (P, CONTEXT + N + 1, C)
        mask = torch.cat([torch.tensor(flags, device=device), shape_mask], dim=1)
        if learned is not None:
            tokens = torch.cat([tokens, learned[0].to(device, tokens.dtype)], dim=1)  # (P, CONTEXT + N + 1 + M, C)
            mask = torch.cat([mask, learned[1].to(device)], dim=1)
        return sam3_forward.ground(self._model, coarse, tokens, mask)

    def masks(self, features: ImageFeatures, grounded: Grounded, row: int, queries: Sequence[int]) -> torch.Tensor:
        """(K, h, w) raw mask logits of chosen queries of one prompt, on the device; to be called `alone`."""
        chosen = torch.tensor(queries, device=self._model.device)
        return sam3_forward.decode_masks(self._model, features.levels, grounded, row, chosen)

    def _for_clicks(self, grid: torch.Tensor) -> ClickCache | None:
        return ClickCache(grid) if self._tracker else None

    def _drawn(
        self,
        row: ConceptRow,
        grounded: Grounded,
        place: int,
        presence: float,
        scores: NDArray[np.float64],
        boxes: NDArray[np.float64],
    ) -> Drawn:
        pause()
        belief = 1.0 if row.assume_present else presence
        chosen = select(scores, belief, boxes, row.threshold, row.near_misses)
        queries = (*chosen.kept, *chosen.near_misses)
        height, width = row.features.height, row.features.width
        masks: NDArray[np.float32] | list[Ints] = []
        if queries:
            logits = self.masks(row.features, grounded, place, queries)
            # From a GPU only the changes of the masks cross the bus; on a CPU the caller's thread does all of it.
            masks = to_edges(logits, height, width) if logits.is_cuda else logits.numpy()
        return Drawn(height, width, presence, scores, boxes, chosen, masks)

    def _encode_texts(self, ids: Sequence[Ids]) -> torch.Tensor:
        return sam3_forward.encode_text(self._model, torch.tensor(ids, device=self._model.device))
