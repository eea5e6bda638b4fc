"""SAM 3 at full size with random weights: for timing and shapes, never for quality."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor, Sam3TrackerVideoConfig

from sam3_agent.model import loading
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import Tokenizer
from sam3_agent.model.tracker import LEVELS, Tracker
from sam3_agent.types import ModelInfo

SIDE = 1008
Made = TypeVar("Made")


def random_model(device: str, dtype: torch.dtype, config: Sam3Config | None = None) -> Sam3Model:
    """840 million random parameters (or another `config`), eval mode; the reference boxes are spread over the image."""
    model = _made(lambda: Sam3Model(config or Sam3Config()), device, dtype)
    with torch.no_grad():
        model.detr_decoder.reference_points.weight.normal_()
    return model.eval()


def random_tracker(device: str, dtype: torch.dtype, config: Sam3TrackerVideoConfig | None = None) -> Tracker:
    """The tracker half for clicks beside it; position tables stay float32, as in a loaded one."""
    tracker = _made(lambda: Tracker(config or Sam3TrackerVideoConfig()), device, dtype)
    del tracker.tracker_neck.fpn_layers[LEVELS:]
    for name, table in tracker.named_buffers():
        if "positional_embedding" in name:
            table.data = table.data.float()
    return tracker.eval()


def segmenter_of(model: Sam3Model, tracker: Tracker | None = None) -> Sam3:
    """The model as our model, with the embedded model's tokenizer: its ids are valid ones of the big vocabulary."""
    first = next(model.parameters())
    info = ModelInfo("random weights", str(first.device), str(first.dtype).removeprefix("torch."))
    return Sam3(model, tokenizer(), info, tracker)


def _made(make: Callable[[], Made], device: str, dtype: torch.dtype) -> Made:
    """A module with seeded weights, made on its device in its format: in float32 the model alone takes 3.4 GB."""
    cast(Any, torch).manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return make()
    finally:
        torch.set_default_dtype(before)


def processor() -> Any:
    """The processor of transformers, as its documentation uses it."""
    return cast(Any, Sam3Processor)(Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer())


def tokenizer() -> Tokenizer:
    """The byte-level tokenizer beside the embedded weights; that of facebook/sam3 is gated."""
    return loading.load_tokenizer(loading.TINY_FOLDER)
