"""The model: encodes an image once, answers phrases, exemplars and clicks about it, follows objects to other frames."""

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam3Model

from sam3_agent.errors import InputError, ToolError
from sam3_agent.formats.adapter_folder import JOIN, split_model
from sam3_agent.model import exemplars, loading, sam3_forward, text_prompts
from sam3_agent.model.adapters.gate import Gate
from sam3_agent.model.batching import IMAGE_COST, Plan, Work
from sam3_agent.model.click_prompts import ClickRow, RawClick, to_clicked, to_clicks
from sam3_agent.model.concept_prompts import ConceptRow, Drawn, ExemplarRow
from sam3_agent.model.devices import Fast
from sam3_agent.model.engine_segmenter import Answer, EngineSegmenter
from sam3_agent.model.features import ImageFeatures, own_features
from sam3_agent.model.oom import exhausted, out_of_memory
from sam3_agent.model.runner import Learned, Runner
from sam3_agent.model.sam3_forward import Grounded
from sam3_agent.model.segmenter import Features
from sam3_agent.model.text_prompts import Ids, Tokenizer
from sam3_agent.model.tracker import Clicks, Tracker
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.model.tracking.planning import Tracking
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest
from sam3_agent.types import (
    DETECT_DEFAULTS,
    ClickedMask,
    ClickPrompt,
    Concept,
    ConceptPrompt,
    Detection,
    DetectOptions,
    Exemplar,
    ExemplarTokens,
    ModelInfo,
)

MAX_PROMPTS = 16
"""Prompts that go through the network together; more are answered in several goes (0.1 GB each at full size)."""
MAX_IMAGES = 4
"""Images that are encoded together, or on the fast path one after the other."""


class Sam3(EngineSegmenter[None]):
    """A SAM 3 in memory; implements `Segmenter` and `VideoSegmenter`, and is an `Engine`, its own and a `Scheduler`'s.

    Safe to call from several threads: the network runs for one at a time. The model is changed to what Meta's code
    computes (`sam3_forward.prepare`: eval mode, LayerNorm eps) and its text tokens are remembered, so make a new Sam3
    whenever its weights have changed.
    """

    def __init__(
        self,
        model: Sam3Model,
        tokenizer: Tokenizer,
        info: ModelInfo,
        tracker: Tracker | None = None,
        *,
        video: VideoTracker | None = None,
        gate: Gate | None = None,
        fast: Fast = "auto",
    ) -> None:
        self._model = model
        self._tracker = tracker
        self._gate = gate or Gate(model)
        self._may_be_fast = fast == "auto"
        self._runner = Runner(model, tracker=tracker, adapted=self._gate.networks)
        self._tokenizer = tokenizer
        self._tokenizing = threading.Lock()  # Hugging Face's tokenizers may fail when threads meet in them
        config = cast(Any, model.config)
        self._side = int(config.image_size)
        self._info = replace(
            info,
            input_side=self._side,
            queries=int(config.detr_decoder_config.num_queries),
            patch=int(config.vision_config.backbone_config.patch_size),
            own_words=self._gate.words or info.own_words,
        )
        self._hide_zero = text_prompts.hides_zero(tokenizer)
        self._width = int(config.detr_encoder_config.hidden_size)
        place = info.device
        self._encoding = Work(self._runner.encode, MAX_IMAGES, "encoding an image", place, cost=IMAGE_COST)
        self._drawing = Work(self._runner.draw, MAX_PROMPTS, "answering a concept", place, key=attrgetter("key"))
        self._reading = Work(self._runner.read, MAX_PROMPTS, "reading examples", place)
        self._clicking = Work(self._runner.click, MAX_PROMPTS, "answering a click", place)
        self._tracking = Tracking(video, place, self._runner.alone) if video else None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = loading.TINY,
        device: str = "auto",
        dtype: str = "auto",
        *,
        fast: Fast = "auto",
    ) -> Self:
        """Load "tiny" (embedded), "facebook/sam3" (gated, 3.4 GB), a folder in either's layout, or Meta's own sam3.pt.

        Args:
            name_or_path: see above; adapters follow it after a "+" each ("tiny+gear.adapter").
            device: auto (CUDA where there is one), cpu, cuda, cuda:N, mps. For several at once see `load_segmenter`.
            dtype: auto (bfloat16 on CUDA, else float32), bfloat16, float32.
            fast: "off" keeps `warm_up` from compiling and capturing on a CUDA GPU.

        Raises:
            ModelUnavailable: anything is missing or does not fit; one line that says what to do.
        """
        place = loading.pick_device(device)
        number = loading.pick_dtype(dtype, place)
        base, adapters = split_model(str(name_or_path))
        name, folder = loading.locate(base)
        tokenizer = loading.load_tokenizer(folder)
        model = loading.load_model(folder, place, number)
        loading.check_vocabulary(folder, tokenizer, model)
        gate = Gate.load(model, adapters)
        info = ModelInfo(JOIN.join([name, *map(str, adapters)]), str(place), str(number).removeprefix("torch."))
        tracker = loading.load_tracker(folder, place, number)
        video = load_video_tracker(folder, tracker, place, number)
        return cls(model, tokenizer, info, tracker, video=video, gate=gate, fast=fast)

    @property
    def info(self) -> ModelInfo:
        """Name, device and number format of the model."""
        return self._info

    @property
    def network(self) -> Sam3Model:
        """The modules themselves, for training something beside them; their weights must stay as they are."""
        return self._model

    def changed(self, network: Sam3Model | None = None, gate: Gate | None = None) -> "Sam3":
        """The same model with another network or other adapters, about features that this one has encoded.

        It has no tracker half. `network` shares the vision encoder with this one's (`low_rank.view_of`).
        """
        return Sam3(network or self._model, self._tokenizer, self._info, gate=gate, fast="off")

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; a learned concept belongs to them."""
        return sam3_forward.fingerprint(self._model)

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Concepts that came with the model: those of its gated adapters."""
        return self._gate.concepts

    def named(self, prompt: ConceptPrompt) -> ConceptPrompt:
        """The prompt that is really asked: a gated adapter's own where its phrase is one of that adapter's words."""
        return self._gate.named(prompt)

    def warm_up(self) -> float:
        """Run the network once, so that no caller pays for kernels and memory pools; gives the seconds.

        On a CUDA GPU the fast path is started first, unless it is "off": the network is compiled and captured, which
        takes a minute the first time on a machine and pays from some hundred images or questions on. Where that does
        not work, a warning says why, and the network runs as it is.

        Raises:
            ModelUnavailable: out of memory.
        """
        began = time.perf_counter()
        if self._may_be_fast:
            self._runner.speed_up()
        features = self.encode(np.full((self._side, self._side, 3), 127, dtype=np.uint8))
        ids = self._token_ids("object")
        for number in (1, MAX_PROMPTS):
            grounded = self.ground(features, [ids] * number, *exemplars.box_tensors([((), ())] * number))
            self.masks(features, grounded, 0, [0])
        return time.perf_counter() - began

    def statistics(self) -> dict[str, Any]:
        """Counts so far.

        {"fast": whether the network runs as captured graphs, "texts": the memory of text tokens, "halvings": how often
        a batch of each kind did not fit into memory}.
        """
        works = {
            "encode": self._encoding,
            "detect": self._drawing,
            "read_exemplars": self._reading,
            "segment_at": self._clicking,
        }
        return {
            "fast": self._runner.fast,
            "texts": self._runner.texts.statistics.to_json(),
            "halvings": {name: work.halvings for name, work in works.items()}
            | (self._tracking.halvings if self._tracking else {}),
        }

    def encode(self, image: NDArray[np.uint8]) -> ImageFeatures:
        """Encode an (H, W, 3) RGB image of any size; the costly step, 8 to 13 times a prompt.

        Raises:
            InputError: the array is not such an image.
            ModelUnavailable: out of memory.
        """
        return self.plan_encode(image).run()[0]

    def track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> list[TrackedMask]:
        """Find objects on a frame of a video; see `VideoSegmenter.track`.

        Raises:
            InputError: a point or box lies outside the frame, or a mask is of another size.
            ToolError: the checkpoint has no memory parts.
            ModelUnavailable: out of memory.
        """
        return self.plan_track(features, frame, requests, reverse=reverse).run()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> TrackMemory:
        """A memory out of a file; see `VideoSegmenter.restore`."""
        return self._follows().restore(arrays)

    def plan_track(
        self, features: Features, frame: int, requests: Sequence[TrackRequest], *, reverse: bool = False
    ) -> Plan[TrackedMask]:
        """`track` with the requests checked; see `Engine`."""
        return self._follows().plan_track(own_features(features), frame, requests, reverse=reverse)

    def plan_remember(
        self, features: Features, frame: int, sightings: Sequence[Sighting], *, reverse: bool = False
    ) -> Plan[TrackMemory]:
        """`remember` as a plan; see `Engine`."""
        return self._follows().plan_remember(own_features(features), frame, sightings, reverse=reverse)

    def plan_encode(self, image: NDArray[np.uint8]) -> Plan[ImageFeatures]:
        """`encode` with the image checked and resized; see `Engine`."""
        return Plan(self._encoding, [self._runner.prepare(image)], lambda features: features)

    def plan_detect(
        self, features: Features, prompts: Sequence[ConceptPrompt], options: DetectOptions = DETECT_DEFAULTS
    ) -> Plan[Detection]:
        """`detect` with the prompts checked and tokenized; see `Engine`."""
        held = own_features(features)
        prompts = [self._gate.named(prompt) for prompt in prompts]
        ids = [self._token_ids(prompt.phrase or text_prompts.EXEMPLAR_PHRASE) for prompt in prompts]
        boxes = exemplars.box_rows(prompts, held.width, held.height)
        learned = exemplars.learned_rows(prompts, self.fingerprint, self._width, self._gate.networks)
        rows = [
            ConceptRow(held, tokens, self._flags(tokens), *shapes, known, options, prompt.least_presence)
            for prompt, tokens, shapes, known in zip(prompts, ids, boxes, learned, strict=True)
        ]
        return Plan(self._drawing, rows, Drawn.detection)

    def plan_read(self, features: Features, examples: Sequence[Exemplar]) -> Plan[ExemplarTokens]:
        """`read_exemplars` with the boxes checked; see `Engine`."""
        held = own_features(features)
        if not examples:
            raise InputError("give at least one example box to learn from")
        (shapes,) = exemplars.box_rows([ConceptPrompt(None, tuple(examples))], held.width, held.height)
        return Plan(
            self._reading,
            [ExemplarRow(held, *shapes)],
            lambda values: ExemplarTokens.of(values, self.fingerprint),
        )

    def plan_click(self, features: Features, prompt: ClickPrompt) -> Plan[tuple[ClickedMask, ...]]:
        """`segment_at` with the prompt checked and scaled; see `Engine`."""
        held = own_features(features)
        tracker = self._tracker
        if tracker is None:
            raise ToolError(
                f"the model {self._info.name} knows phrases and exemplars only: its checkpoint has no tracker half for"
                " clicks and boxes; use segment_concepts or refine_with_exemplars, or another --model"
            )
        row = ClickRow(held, to_clicks(prompt, held.width, held.height, tracker))
        return Plan(self._clicking, [row], lambda raw: to_clicked(raw, held.height, held.width, tracker.hole_area))

    def clicked(self, features: ImageFeatures, clicks: Clicks, *, multimask: bool = True) -> RawClick:
        """(K, h, w) raw mask logits and (K,) predicted IoU of one prompt row; K is 3, or 1 without `multimask`."""
        with self._network("answering a click"):
            return self._runner.clicked(features, clicks, multimask=multimask)

    def ground(
        self,
        features: ImageFeatures,
        ids: Sequence[Ids],
        boxes: torch.Tensor,
        labels: torch.Tensor,
        learned: Learned | None = None,
    ) -> Grounded:
        """Raw scores and boxes of P prompts given as token ids, (P, N, 4) cxcywh boxes and (P, N) labels."""
        coarse = features.levels[-1].expand(len(ids), -1, -1, -1)  # (P, C, h, w), no copy
        cls = None if features.cls is None else features.cls.expand(len(ids), -1, -1)
        with self._network(f"answering {len(ids)} concepts"):
            return self._runner.ground(coarse, ids, [self._flags(row) for row in ids], (boxes, labels), learned, cls)

    def wordless_tokens(self, features: ImageFeatures) -> torch.Tensor:
        """(L, C) tokens that a prompt without words has on this image, before those of a learned concept."""
        return self.prompt_tokens(features, text_prompts.EXEMPLAR_PHRASE)

    def prompt_tokens(self, features: ImageFeatures, phrase: str) -> torch.Tensor:
        """(L, C) tokens that a phrase has on this image: its words, then the CLS token."""
        ids = self._token_ids(phrase)
        with self._network("reading a prompt"):
            return self._runner.tokens_alone(features.levels[-1], ids, self._flags(ids))

    def masks(
        self, features: ImageFeatures, grounded: Grounded, row: int, queries: Sequence[int]
    ) -> NDArray[np.float32]:
        """(K, h, w) raw mask logits of chosen queries of one prompt."""
        with self._network("drawing masks"):
            return self._runner.masks(features, grounded, row, queries).cpu().numpy()

    def _placed(self, features: Features) -> tuple[None, Self, Features]:
        return None, self, features

    def _answer(self, place: None, plan: Plan[Answer]) -> list[Answer]:
        return plan.run()

    def _follows(self) -> Tracking:
        if self._tracking is None:
            raise ToolError(
                f"the model {self._info.name} cannot follow objects through a video: its checkpoint has no memory parts"
                f" (tracker_model.memory_attention and others); use another --model, such as {loading.TINY}"
            )
        return self._tracking

    def _token_ids(self, phrase: str) -> Ids:
        with self._tokenizing:
            return text_prompts.token_ids(self._tokenizer, phrase)

    def _flags(self, ids: Ids) -> tuple[bool, ...]:
        return text_prompts.text_mask(ids, hide_zero=self._hide_zero)

    @contextmanager
    def _network(self, doing: str) -> Generator[None]:
        """The network for this thread alone; out of memory becomes one line."""
        try:
            with self._runner.alone():
                yield
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise exhausted(self._info.device, doing) from error
