"""The eye: encodes an image once, then answers phrases and exemplars in one batch."""

import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam3Model

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.model import exemplars, loading, network, phrases
from sam3_agent.model.candidates import to_candidate
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.memory import out_of_memory
from sam3_agent.model.network import Grounded
from sam3_agent.model.phrases import Tokenizer
from sam3_agent.model.preprocess import to_pixels
from sam3_agent.model.segmenter import Features
from sam3_agent.model.selection import Selection, select
from sam3_agent.types import Candidate, ConceptPrompt, Detection, Exemplar, ExemplarTokens, ModelInfo

MAX_PROMPTS = 16
"""Prompts that go through the network together; more are answered in several goes (0.1 GB each at full size)."""
MAX_PHRASES = 1024
"""Phrases whose text tokens are remembered (32 kB each at full size in float32)."""


class Sam3:
    """A SAM 3 in memory; implements `Segmenter`. Safe to call from several threads: the network runs for one at a time.

    The model is changed to what Meta's code computes (`network.prepare`: eval mode, LayerNorm eps) and its text tokens
    are remembered, so make a new Sam3 whenever its weights have changed.
    """

    def __init__(self, model: Sam3Model, tokenizer: Tokenizer, info: ModelInfo) -> None:
        network.prepare(model)
        self._model = model
        self._tokenizer = tokenizer
        self._info = info
        self._side = int(cast(Any, model.config).image_size)
        self._hide_zero = phrases.hides_zero(tokenizer)
        self._width = int(cast(Any, model.config).detr_encoder_config.hidden_size)
        self._lock = threading.RLock()
        self._texts: OrderedDict[tuple[int, ...], torch.Tensor] = OrderedDict()

    @classmethod
    def load(cls, name_or_path: str | Path = loading.TINY, device: str = "auto", dtype: str = "auto") -> Self:
        """Load "tiny" (embedded), "facebook/sam3" (gated, 3.4 GB) or the folder of a checkpoint in either's layout.

        Args:
            name_or_path: see above.
            device: auto (CUDA where there is one), cpu, cuda, cuda:N, mps.
            dtype: auto (bfloat16 on CUDA, else float32), bfloat16, float32.

        Raises:
            ModelUnavailable: anything is missing or does not fit; one line that says what to do.
        """
        place = loading.pick_device(device)
        number = loading.pick_dtype(dtype, place)
        name, folder = loading.locate(name_or_path)
        tokenizer = loading.load_tokenizer(folder)
        model = loading.load_model(folder, place, number)
        return cls(model, tokenizer, ModelInfo(name, str(place), str(number).removeprefix("torch.")))

    @property
    def info(self) -> ModelInfo:
        """Which eye this is."""
        return self._info

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; a learnt concept belongs to them."""
        return network.fingerprint(self._model)

    def encode(self, image: NDArray[np.uint8]) -> ImageFeatures:
        """Encode an (H, W, 3) RGB image of any size; the costly step, 8 to 13 times a prompt.

        Raises:
            InputError: the array is not such an image.
            ModelUnavailable: out of memory.
        """
        pixels = to_pixels(image, self._side)
        with self._network("encoding an image"):
            levels = network.encode_pixels(self._model, pixels.to(self._model.device))
        return ImageFeatures(image.shape[0], image.shape[1], levels)

    def detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], *, threshold: float = 0.5, near_misses: int = 8
    ) -> list[Detection]:
        """Answer every prompt on one encoded image; see `Segmenter.detect`.

        Masks are decoded only for what is returned. Near misses have an object score of at least 0.25.

        Raises:
            InputError: a phrase is too long, or an exemplar box lies outside the image.
            ModelUnavailable: out of memory.
        """
        features = _own(features)
        ids = [phrases.token_ids(self._tokenizer, prompt.phrase or phrases.EXEMPLAR_PHRASE) for prompt in prompts]
        rows = exemplars.box_rows(prompts, features.width, features.height)
        detections: list[Detection] = []
        for start in range(0, len(prompts), MAX_PROMPTS):
            part = slice(start, start + MAX_PROMPTS)
            learned = exemplars.learned_tokens(prompts[part], self.fingerprint, self._width)
            grounded = self.ground(features, ids[part], *exemplars.box_tensors(rows[part]), learned)
            for row in range(len(ids[part])):
                detections.append(self._detection(features, grounded, row, threshold, near_misses))
        return detections

    def read_exemplars(self, features: Features, examples: Sequence[Exemplar]) -> ExemplarTokens:
        """What boxes on this image say, as prompt tokens for any other image; see `Segmenter.read_exemplars`.

        Tokens are the geometry encoder's, read on the features of the boxes' own image. Appending them to the prompt of
        another image is what SAM 3 was never trained for: on the embedded weights it is trained and measured, on
        facebook/sam3 it is an experiment.

        Raises:
            InputError: there is no box, or one lies outside the image.
            ModelUnavailable: out of memory.
        """
        held = _own(features)
        if not examples:
            raise InputError("give at least one example box to learn from")
        boxes, labels = exemplars.box_tensors(
            exemplars.box_rows([ConceptPrompt(None, tuple(examples))], held.width, held.height)
        )
        device = self._model.device
        with self._network("reading examples"):
            tokens, _ = network.encode_exemplars(self._model, held.levels[-1], boxes.to(device), labels.to(device))
        values = tokens[0, : len(examples)].float().cpu().numpy()  # (N, C), without the CLS token
        return ExemplarTokens(values.astype("<f4").tobytes(), len(values), self._width, self.fingerprint)

    def ground(
        self,
        features: ImageFeatures,
        ids: Sequence[tuple[int, ...]],
        boxes: torch.Tensor,
        labels: torch.Tensor,
        learned: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> Grounded:
        """Raw scores and boxes of P prompts given as token ids, (P, N, 4) cxcywh boxes and (P, N) labels.

        `learned` are (P, M, C) tokens and their (P, M) mask, read off other images.
        """
        device = self._model.device
        flags = torch.tensor([phrases.text_mask(row, hide_zero=self._hide_zero) for row in ids], device=device)
        with self._network(f"answering {len(ids)} concepts"):
            coarse = features.levels[-1].expand(len(ids), -1, -1, -1)  # (P, C, h, w), no copy
            shapes, shape_mask = network.encode_exemplars(self._model, coarse, boxes.to(device), labels.to(device))
            tokens = torch.cat([self._text_tokens(ids), shapes], dim=1)  # (P, CONTEXT + N + 1, C)
            mask = torch.cat([flags, shape_mask], dim=1)
            if learned is not None:
                tokens = torch.cat([tokens, learned[0].to(device, tokens.dtype)], dim=1)  # (P, CONTEXT + N + 1 + M, C)
                mask = torch.cat([mask, learned[1].to(device)], dim=1)
            return network.ground(self._model, coarse, tokens, mask)

    def masks(
        self, features: ImageFeatures, grounded: Grounded, row: int, queries: Sequence[int]
    ) -> NDArray[np.float32]:
        """(K, h, w) raw mask logits of chosen queries of one prompt."""
        chosen = torch.tensor(queries, device=self._model.device)
        with self._network("drawing masks"):
            return network.decode_masks(self._model, features.levels, grounded, row, chosen).cpu().numpy()

    def _text_tokens(self, ids: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """(P, CONTEXT, C), new phrases encoded together and remembered."""
        new = [row for row in dict.fromkeys(ids) if row not in self._texts]
        if new:
            encoded = network.encode_text(self._model, torch.tensor(new, device=self._model.device))
            self._texts.update((row, tokens.clone()) for row, tokens in zip(new, encoded, strict=True))
        for row in ids:
            self._texts.move_to_end(row)
        tokens = torch.stack([self._texts[row] for row in ids])
        while len(self._texts) > MAX_PHRASES:
            self._texts.popitem(last=False)
        return tokens

    def _detection(
        self, features: ImageFeatures, grounded: Grounded, row: int, threshold: float, near_misses: int
    ) -> Detection:
        scores = grounded.logits[row].sigmoid().double().cpu().numpy()
        boxes = grounded.boxes[row].double().cpu().numpy()
        presence = float(grounded.presence[row].sigmoid())
        chosen = select(scores, presence, boxes, threshold, near_misses)
        candidates = self._candidates(features, grounded, row, chosen, boxes, scores)
        kept = tuple(found for query in chosen.kept if (found := candidates[query]))
        missed = tuple(found for query in chosen.near_misses if (found := candidates[query]))
        return Detection(presence, kept, missed)

    def _candidates(
        self,
        features: ImageFeatures,
        grounded: Grounded,
        row: int,
        chosen: Selection,
        boxes: NDArray[np.float64],
        scores: NDArray[np.float64],
    ) -> dict[int, Candidate | None]:
        queries = (*chosen.kept, *chosen.near_misses)
        if not queries:
            return {}
        logits = self.masks(features, grounded, row, queries)
        return {
            query: to_candidate(plane, boxes[query], float(scores[query]), features.height, features.width)
            for query, plane in zip(queries, logits, strict=True)
        }

    @contextmanager
    def _network(self, doing: str) -> Generator[None]:
        """The network for this thread alone, without gradients; out of memory becomes one line."""
        try:
            with self._lock, torch.inference_mode():
                yield
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise ModelUnavailable(
                f"out of memory on {self._info.device} while {doing}: ask for fewer concepts at a time, close other"
                " programs that use it, or use a smaller model or another --device"
            ) from error


def _own(features: Features) -> ImageFeatures:
    """The features as this eye's own, which any others are not."""
    if not isinstance(features, ImageFeatures):
        raise TypeError(f"these features are not of this eye but {type(features).__name__}")
    return features
