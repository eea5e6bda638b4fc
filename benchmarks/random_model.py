"""SAM 3 at full size with random weights: for timing and shapes, never for quality."""

from typing import Any, cast

import torch
from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

from sam3_agent.model import loading
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.text_prompts import Tokenizer
from sam3_agent.types import ModelInfo

SIDE = 1008


def random_model(device: str, dtype: torch.dtype, config: Sam3Config | None = None) -> Sam3Model:
    """840 million random parameters (or another `config`), eval mode; the reference boxes are spread over the image."""
    cast(Any, torch).manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # never hold it in float32: that alone takes 3.4 GB
    try:
        with torch.device(device):
            model = Sam3Model(config or Sam3Config())
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        model.detr_decoder.reference_points.weight.normal_()
    return model.eval()


def segmenter_of(model: Sam3Model) -> Sam3:
    """The model as our model, with the embedded model's tokenizer: its ids are valid ones of the big vocabulary."""
    first = next(model.parameters())
    info = ModelInfo("random weights", str(first.device), str(first.dtype).removeprefix("torch."))
    return Sam3(model, tokenizer(), info)


def processor() -> Any:
    """The processor of transformers, as its documentation uses it."""
    return cast(Any, Sam3Processor)(Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer())


def tokenizer() -> Tokenizer:
    """The byte-level tokenizer beside the embedded weights; that of facebook/sam3 is gated."""
    return loading.load_tokenizer(loading.TINY_FOLDER)
