"""A small SAM 3 with seeded random weights, and the recorded answers of Meta's own code."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTokenizer, Sam3Config, Sam3Model, Sam3TrackerVideoConfig

from sam3_agent.model import loading
from sam3_agent.model.features import ImageFeatures
from sam3_agent.model.loading import load_tracker
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import EXEMPLAR_PHRASE, clean
from sam3_agent.model.tracker import Tracker
from sam3_agent.model.tracking.loading import load_video_tracker
from sam3_agent.model.tracking.parts import MemoryParts
from sam3_agent.model.tracking.video_tracker import VideoTracker
from sam3_agent.types import ModelInfo

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PARITY = SHARED / "official_parity"
SIDE = 96

torch.set_num_threads(1)  # two threads on busy cores are many times slower than one for models this small


def small_config() -> Sam3Config:
    """Every part of a SAM 3 at its smallest: 96 px, patch 8, width 32."""
    width = {"hidden_size": 32, "num_attention_heads": 4}
    feed = {**width, "intermediate_size": 48}
    grid = {
        "image_size": SIDE,
        "patch_size": 8,
        "pretrain_image_size": 48,
        "window_size": 6,
        "global_attn_indexes": [1],
    }
    ends = {"bos_token_id": 514, "eos_token_id": 515, "max_position_embeddings": 32}
    backbone = {"model_type": "sam3_vit_model", "num_hidden_layers": 2, **grid, **feed}
    return Sam3Config(
        vision_config={"backbone_config": backbone, "fpn_hidden_size": 32},
        text_config={"model_type": "clip_text_model", "vocab_size": 516, "num_hidden_layers": 1, **ends, **feed},
        geometry_encoder_config={"num_layers": 1, "roi_size": 3, **feed},
        detr_encoder_config={"num_layers": 1, **feed},
        detr_decoder_config={"num_layers": 2, "num_queries": 12, **feed},
        mask_decoder_config=width,
    )


def byte_tokenizer() -> CLIPTokenizer:
    """CLIP's 512 byte symbols in its order ("!" is 0), two merges, two special tokens: any text tokenizes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    merges = [("c", "a"), ("ca", "t</w>")]
    vocabulary = [*symbols, *(s + "</w>" for s in symbols), *(a + b for a, b in merges)]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges)


def small_model(seed: int = 0) -> Sam3Model:
    """Random weights, loud enough that prompts, boxes and masks differ."""
    torch.manual_seed(seed)
    model = Sam3Model(small_config())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(4.0 if "vision_encoder" not in name else 1.5)
        model.detr_decoder.reference_points.weight.normal_()
    return model


def small_tracker_config() -> Sam3TrackerVideoConfig:
    """The tracker half beside `small_config`."""
    vision = {"model_type": "sam3_vision_model", **small_config().vision_config.to_dict()}
    width = {"hidden_size": 32}
    return Sam3TrackerVideoConfig(
        image_size=SIDE,
        vision_config=vision,
        prompt_encoder_config={**width, "image_size": SIDE, "patch_size": 8},
        mask_decoder_config={**width, "mlp_dim": 48, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=32,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=48,
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=48,
        memory_fuser_layer_scale_init_value=0.5,
    )


def small_tracker(seed: int = 0) -> Tracker:
    """Random weights, loud enough that prompts differ."""
    torch.manual_seed(seed)
    tracker = Tracker(small_tracker_config())
    with torch.no_grad():
        for weight in tracker.parameters():
            weight.mul_(2.0) if weight.ndim > 1 else weight.normal_(std=0.2)
        tracker.tracker_model.no_memory_embedding.normal_()
    return tracker.eval()


def small_video_tracker(seed: int = 0) -> VideoTracker:
    """The same with memory parts, also random."""
    tracker = small_tracker(seed)
    parts = MemoryParts(small_tracker_config())
    with torch.no_grad():
        for weight in parts.parameters():
            weight.mul_(4.0) if weight.ndim > 1 and weight.any() else weight.normal_(std=0.2)
        # loud enough that objects differ: attention that looks at few places, and a decoder that hears what it says
        for layer in parts.memory_attention.layers:
            for projection in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
                projection.weight.mul_(3.0)
        parts.memory_encoder.projection.weight.mul_(8.0)
        parts.memory_attention.layer_norm.weight.fill_(6.0)
        tracker.tracker_model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(0.4)  # there in most frames
    return VideoTracker(tracker, parts).eval()


@pytest.fixture(scope="session")
def tracking_segmenter(tokenizer: CLIPTokenizer) -> Sam3:
    """The same model with a tracker half that remembers."""
    video = small_video_tracker()
    return Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"), video.tracker, video=video)


@pytest.fixture(scope="session")
def tokenizer() -> CLIPTokenizer:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def segmenter(tokenizer: CLIPTokenizer) -> Sam3:
    return Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"))


@pytest.fixture(scope="session")
def clicking_segmenter(tokenizer: CLIPTokenizer) -> Sam3:
    """The same model with a tracker half."""
    return Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"), small_tracker())


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: CLIPTokenizer) -> Path:
    """The small model on disk in the layout of facebook/sam3, float16: detector, click half and memory."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tensors = {f"detector_model.{key}": value.half().contiguous() for key, value in small_model().state_dict().items()}
    tensors |= {key: value.half().contiguous() for key, value in small_tracker().state_dict().items()}
    memory = small_video_tracker().parts.state_dict()
    tensors |= {f"tracker_model.{key}": value.half().contiguous() for key, value in memory.items()}
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "sam3_video",
        "architectures": ["Sam3VideoModel"],
        "detector_config": small_config().to_dict(),
        "tracker_config": small_tracker_config().to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """(120, 180, 3) RGB, smooth and colored."""
    rows, columns = np.mgrid[0:120, 0:180]
    waves = [np.sin(rows / 9 + k) * np.cos(columns / (11 + 3 * k)) for k in range(3)]
    return ((np.stack(waves, axis=-1) + 1) * 127).astype(np.uint8)


class RecordedTokenizer:
    """The ids that Meta's own tokenizer gave to recorded phrases: a `Tokenizer` for exactly these."""

    def __init__(self, ids: Mapping[str, list[int]]) -> None:
        self._ids = ids

    def __call__(self, text: str, *, verbose: bool = True) -> Mapping[str, Any]:
        return {"input_ids": self._ids[text]}

    def convert_ids_to_tokens(self, ids: int) -> str:
        return {0: "!"}.get(ids, "?")


@dataclass(eq=False)
class Parity:
    """What Meta's own code said, and the model on the same random weights."""

    images: dict[str, dict[str, Any]]
    cases: dict[str, dict[str, Any]]
    clicks: dict[str, dict[str, Any]]
    videos: dict[str, dict[str, Any]]
    raw: Mapping[str, NDArray[Any]]
    phrases: list[dict[str, Any]]

    def load(self) -> Sam3:
        """Another model on the same weights, to break."""
        ids = {clean(entry["text"]): entry["ids_with_specials"] for entry in self.phrases}
        for case in self.cases.values():
            end = case["input_ids"].index(49407) + 1
            ids[clean(case["text"] or EXEMPLAR_PHRASE)] = case["input_ids"][:end]
        model = loading.load_model(PARITY, torch.device("cpu"), torch.float32)
        tracker = load_tracker(PARITY, torch.device("cpu"), torch.float32)
        assert tracker is not None
        tracker.hole_area = 256  # recorded so, though the masks are 96 x 96 and not 288 x 288
        video = load_video_tracker(PARITY, tracker, torch.device("cpu"), torch.float32)
        return Sam3(model, RecordedTokenizer(ids), ModelInfo("parity", "cpu", "float32"), tracker, video=video)

    @cached_property
    def segmenter(self) -> Sam3:
        return self.load()

    @cache  # noqa: B019  # lives as long as the session
    def features(self, image: str) -> ImageFeatures:
        """Of the recorded 336 px picture, under its original size."""
        return self.encode(self.segmenter, image)

    def encode(self, segmenter: Sam3, image: str) -> ImageFeatures:
        entry = self.images[image]
        pixels = np.array(Image.open(PARITY / entry["resized"]).convert("RGB"))
        return replace(segmenter.encode(pixels), height=entry["height"], width=entry["width"])


@pytest.fixture(scope="session")
def parity() -> Parity:
    if not PARITY.is_dir():
        pytest.skip("the recorded answers of Meta's own code (../shared/data/official_parity) are not here")
    recorded = json.loads(gzip.decompress((PARITY / "cases.json.gz").read_bytes()))
    phrases = json.loads((PARITY / "phrases.json").read_text(encoding="utf-8"))["phrases"]
    cases = {case["id"]: case for case in recorded["pcs"]}
    clicks = {case["id"]: case for case in recorded["pvs"]}
    videos = {case["id"]: case for case in recorded["video"]}
    return Parity(recorded["images"], cases, clicks, videos, np.load(PARITY / "cases.npz"), phrases)
