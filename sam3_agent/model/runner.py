"""Runs the network, batch by batch, on prepared rows of any images and callers."""

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam3Model

from sam3_agent.masks import Rle
from sam3_agent.model import sam3_forward
from sam3_agent.model.adapters.gate import Adapted
from sam3_agent.model.click_prompts import ClickRow, RawClick
from sam3_agent.model.concept_prompts import ConceptRow, Drawn, ExemplarRow, coarse_levels, text_only_tokens
from sam3_agent.model.cuda.fast_path import FastPath
from sam3_agent.model.cuda.resize import DevicePreparer, taken
from sam3_agent.model.cuda.start import start_fast_path
from sam3_agent.model.cuda.transfer import fetch, upload
from sam3_agent.model.exemplars import PAD, box_tensors, learned_tensors
from sam3_agent.model.features import ClickCache, ImageFeatures
from sam3_agent.model.mask_rle import Ints
from sam3_agent.model.mask_rle_gpu import to_edges
from sam3_agent.model.postprocess import Selection, select
from sam3_agent.model.preprocess import PreparedImage, prepare_image
from sam3_agent.model.sam3_forward import Grounded
from sam3_agent.model.scheduler.preemption import listened, pause
from sam3_agent.model.text_prompts import Ids, TextCache
from sam3_agent.model.tracker import Clicks, Tracker

TEXT_BYTES = 32 * 2**20
"""Text tokens that are remembered (32 kB a phrase at full size in float32, 16 kB in bfloat16)."""

Masks = NDArray[np.float32] | list[Ints] | list[Rle]
"""See `Drawn`."""
Learned = tuple[torch.Tensor, torch.Tensor]
"""(P, M, C) tokens read off other images, and their (P, M) mask."""


class Runner:
    """SAM 3's network on its device. Changes the model (`sam3_forward.prepare`) and remembers its text tokens.

    Safe to call from several threads: the network runs for one at a time. Out of memory comes as torch says it.
    """

    def __init__(
        self, model: Sam3Model, *, tracker: Tracker | None = None, adapted: Mapping[str, Adapted] = MappingProxyType({})
    ) -> None:
        """`adapted`: networks of adapters, by the fingerprint that the tokens of their prompts carry."""
        sam3_forward.prepare(model)
        self._adapted = adapted
        self.texts = TextCache(self._encode_texts, TEXT_BYTES)
        self._model = model
        self._tracker = tracker
        self._side = int(cast(Any, model.config).image_size)
        self._fast: FastPath | None = None
        self._started = False
        self._preparer: DevicePreparer | None = None
        self._queued: torch.cuda.Event | None = None
        self._lock = threading.RLock()

    @contextmanager
    def alone(self) -> Generator[None]:
        """The network for this thread alone, without gradients, its GPU the current one."""
        with self._lock, self._on_device(), torch.inference_mode():
            yield

    def _on_device(self) -> AbstractContextManager[object]:
        """The network's GPU as the current one; nothing on a CPU."""
        device = self._model.device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def speed_up(self) -> None:
        """Start the fast path on a CUDA GPU, unless it is started already; does nothing elsewhere.

        Where neither compiling nor capturing works, warnings say so and all goes on as before.
        """
        if self._model.device.type != "cuda":
            return
        with self._lock, torch.cuda.device(self._model.device):
            if not self._started:  # once: what does not compile today takes as long to fail the next time
                self._started = True
                self.use(start_fast_path(self._model, self._tracker))

    def use(self, fast: FastPath | None) -> None:
        """Go by the fast path from now on."""
        self._fast = fast
        if fast is not None:
            self._preparer = DevicePreparer(self._model.device, cast(Any, self._model).dtype, self._side)

    @property
    def fast(self) -> bool:
        """Whether the network runs as captured graphs."""
        return self._fast is not None

    def prepare(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Check an (H, W, 3) RGB image and resize it, on the GPU where the fast path is; raises InputError."""
        return self._preparer(image) if self._preparer else prepare_image(image, self._side)

    def encode(self, images: Sequence[PreparedImage]) -> list[ImageFeatures]:
        """The features of every image.

        There are pauses for more urgent work: between layers, on the fast path between images, which take 15 ms there.
        """
        if self._fast is not None:
            return [self._encoded_fast(self._fast, image) for image in images]
        paused = listened()
        with self.alone(), sam3_forward.between_layers(self._model, pause) if paused else nullcontext():
            pixels = torch.cat([taken(image) for image in images]).to(self._model.device)  # (B, 3, S, S)
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

        Rows of one adapter go through the network together, and so do all others, on the same features. There are
        pauses before the masks of each row. On the fast path others have the network while this waits for the GPU and
        codes masks.
        """
        groups: dict[str | None, list[int]] = {}
        for place, row in enumerate(rows):
            owner = row.learned.segmenter if row.learned is not None else None
            groups.setdefault(owner if owner in self._adapted else None, []).append(place)
        drawn: dict[int, Drawn] = {}
        for owner, places in groups.items():
            drawn |= zip(places, self._draw_group([rows[place] for place in places], owner), strict=True)
        return [drawn[place] for place in range(len(rows))]

    def _draw_group(self, rows: Sequence[ConceptRow], adapter: str | None) -> list[Drawn]:
        held = self._lock if self._fast is None else nullcontext()
        with held, self._on_device(), torch.inference_mode():
            with self.alone():
                grounded = self.ground(
                    coarse_levels(rows),
                    [row.ids for row in rows],
                    [row.flags for row in rows],
                    box_tensors([(row.boxes, row.labels) for row in rows]),
                    learned_tensors([row.learned for row in rows]),
                    text_only_tokens(rows),
                    adapter,
                )
            said = _said(grounded)
            chosen = [_chosen(row, each) for row, each in zip(rows, said, strict=True)]
            masks = self._masks_of(rows, grounded, chosen)
        return [
            Drawn(row.features.height, row.features.width, each.presence, each.scores, each.boxes, queries, drawn)
            for row, each, queries, drawn in zip(rows, said, chosen, masks, strict=True)
        ]

    def read(self, rows: Sequence[ExemplarRow]) -> list[NDArray[np.float32]]:
        """(N, C) tokens of every row's N boxes, without the CLS token."""
        boxes, labels = box_tensors([(row.boxes, row.labels) for row in rows])
        with self.alone():
            tokens, _ = self._exemplars(coarse_levels(rows), boxes, labels)  # (P, N + 1, C)
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
        found = self._fast.click(self._tracker, seen, clicks, multimask=multimask) if self._fast is not None else None
        if found is None:
            given = clicks.on(seen.coarse.device)
            found = self._tracker.decode(seen, *self._tracker.embed(given), multimask=multimask)
        logits, quality = found
        return logits[0].cpu().numpy(), quality[0].cpu().numpy()

    def ground(
        self,
        coarse: torch.Tensor,
        ids: Sequence[Ids],
        flags: Sequence[tuple[bool, ...]],
        boxes: tuple[torch.Tensor, torch.Tensor],
        learned: Learned | None,
        cls: torch.Tensor | None = None,
        adapter: str | None = None,
    ) -> Grounded:
        """Raw scores and boxes of P prompts; to be called `alone`.

        Args:
            coarse: (P, C, h, w) coarsest levels of the prompts' images, which may be different ones.
            ids: P text_prompts.
            flags: CONTEXT flags of each phrase.
            boxes: (P, N, 4) cxcywh boxes and (P, N) labels.
            learned: see there.
            cls: (P, 1, C) what prompts without boxes say of their images, where that is known already.
            adapter: whose changes are on, by fingerprint. The fast path has none, so that the modules run.
        """
        device = self._model.device
        if cls is not None and not bool((boxes[1] != PAD).any()):
            shapes, shape_mask = cls, torch.ones(len(ids), 1, dtype=torch.bool, device=device)
        else:
            shapes, shape_mask = self._exemplars(coarse, *boxes)
        tokens = torch.cat([self.texts.tokens(ids), shapes], dim=1)  # (P, CONTEXT + N + 1, C)
        mask = torch.cat([upload(torch.tensor(flags), device), shape_mask], dim=1)
        if learned is not None:
            known = upload(learned[0], device).to(tokens.dtype)
            tokens = torch.cat([tokens, known], dim=1)  # (P, CONTEXT + N + 1 + M, C)
            mask = torch.cat([mask, upload(learned[1], device)], dim=1)
        if adapter is not None:
            changed = self._adapted[adapter]
            grounded = sam3_forward.ground(changed.network, coarse, tokens, mask)
            return replace(grounded, logits=grounded.logits + changed.shift)
        found = self._fast.ground(coarse, tokens, mask) if self._fast is not None else None
        return found or sam3_forward.ground(self._model, coarse, tokens, mask)

    def tokens_alone(self, coarse: torch.Tensor, ids: Ids, flags: tuple[bool, ...]) -> torch.Tensor:
        """(L, C) real tokens of one prompt without boxes: its words and the CLS token; to be called `alone`."""
        shapes, real = self._exemplars(coarse, *box_tensors([((), ())]))
        words = self.texts.tokens([ids])[0][torch.tensor(flags, device=coarse.device)]
        return torch.cat([words, shapes[real]])

    def masks(self, features: ImageFeatures, grounded: Grounded, row: int, queries: Sequence[int]) -> torch.Tensor:
        """(K, h, w) raw mask logits of chosen queries of one prompt, on the device; to be called `alone`."""
        found = self._fast.masks(features.levels, grounded, row, queries) if self._fast is not None else None
        if found is not None:
            return found
        chosen = torch.tensor(queries, device=self._model.device)
        return sam3_forward.decode_masks(self._model, features.levels, grounded, row, chosen)

    def _for_clicks(self, grid: torch.Tensor) -> ClickCache | None:
        return ClickCache(grid) if self._tracker else None

    def _encoded_fast(self, fast: FastPath, image: PreparedImage) -> ImageFeatures:
        """Queue an encode behind the one before, which has ended: the GPU stays busy, and nobody waits for two."""
        pause()
        with self.alone():
            if self._queued is not None:
                self._queued.synchronize()
            seen = fast.encode(taken(image).to(self._model.device))
            if seen.grid.is_cuda:
                self._queued = torch.cuda.Event()
                self._queued.record()
            return ImageFeatures(image.height, image.width, seen.levels, self._for_clicks(seen.grid), seen.cls)

    def _exemplars(
        self, coarse: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `sam3_forward.encode_exemplars`."""
        found = self._fast.boxes(coarse, boxes, labels) if self._fast is not None else None
        device = self._model.device
        return found or sam3_forward.encode_exemplars(self._model, coarse, boxes.to(device), labels.to(device))

    def _masks_of(self, rows: Sequence[ConceptRow], grounded: Grounded, chosen: Sequence[Selection]) -> list[Masks]:
        """The chosen masks of every row; there are pauses before those of each."""
        drawn: list[torch.Tensor] = []
        masks: list[Masks] = []
        for place, (row, each) in enumerate(zip(rows, chosen, strict=True)):
            pause()
            queries = each.queries
            if not queries:
                drawn.append(grounded.logits.new_zeros(0, 1, 1))
                masks.append([])
                continue
            with self.alone():
                logits = self.masks(row.features, grounded, place, queries)
            if self._fast is not None:
                drawn.append(logits)
            elif logits.device.type != "cpu":  # only the changes of the masks cross the bus
                masks.append(to_edges(logits, row.features.height, row.features.width))
            else:  # the caller's thread makes run lengths
                masks.append(logits.numpy())
        if self._fast is None:
            return masks
        return list(self._fast.coded(drawn, [(row.features.height, row.features.width) for row in rows]))

    def _encode_texts(self, ids: Sequence[Ids]) -> torch.Tensor:
        given = upload(torch.tensor(ids), self._model.device)
        found = self._fast.texts(given) if self._fast is not None else None
        return sam3_forward.encode_text(self._model, given) if found is None else found


@dataclass(frozen=True, slots=True)
class _Said:
    """Scores and boxes of one prompt, on the host."""

    scores: NDArray[np.float64]
    """(Q,) without presence."""
    boxes: NDArray[np.float64]
    """(Q, 4) xyxy, shares of the image."""
    presence: float


def _said(grounded: Grounded) -> list[_Said]:
    """Of every prompt, fetched in one wait."""
    queries = grounded.logits.shape[1]
    parts = [grounded.logits.sigmoid(), grounded.boxes.flatten(1), grounded.presence.sigmoid()[:, None]]
    fetched: NDArray[np.float64] = fetch(torch.cat(parts, dim=1)).double().numpy()  # (P, Q + 4 Q + 1)
    return [_Said(row[:queries], row[queries:-1].reshape(queries, 4), float(row[-1])) for row in fetched]


def _chosen(row: ConceptRow, said: _Said) -> Selection:
    there = said.presence >= row.least_presence
    belief = 1.0 if row.options.assume_present else said.presence if there else 0.0
    return select(said.scores, belief, said.boxes, row.options.threshold, row.options.near_misses)
