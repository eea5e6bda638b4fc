"""Adapters with random changes, as folders."""

from pathlib import Path

import torch

from sam3_agent.formats.adapter_folder import AdapterManifest, replacing_folder, write_description
from sam3_agent.model.adapters.adapter import adapter_fingerprint, base_fingerprint, write_tensors
from sam3_agent.model.adapters.low_rank import fresh
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import Concept, ExemplarTokens


def write_random_adapter(
    segmenter: Sam3, folder: Path, *, words: tuple[str, ...] = ("gear",), always_on: bool = False, seed: int = 0
) -> Path:
    """An adapter of this model whose changes are loud enough that every answer differs."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: (value + 0.05 * torch.randn(value.shape, generator=generator)).half()
        for name, value in fresh(segmenter.network, 2, seed).items()
    }
    base = base_fingerprint(segmenter.network)
    print_of = adapter_fingerprint(base, tensors)
    width = segmenter.network.config.detr_encoder_config.hidden_size
    rows = torch.randn(2, width, generator=generator).numpy().astype("<f4").tobytes()
    concept = Concept(words[0], None, ExemplarTokens(rows, 2, width, print_of))
    manifest = AdapterManifest(words[0], words, always_on, base, "small", print_of, 0.0 if always_on else 0.25)
    with replacing_folder(folder) as made:
        write_tensors(made, tensors)
        write_description(made, manifest, None if always_on else concept, {})
    return folder
