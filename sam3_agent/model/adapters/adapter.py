"""Adapters as tensors: read from a stranger's folder, bound to the weights that they change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.formats.adapter_folder import TENSORS, AdapterManifest, read_adapter_concept, read_manifest
from sam3_agent.model.adapters.low_rank import KINDS, PARTS, shapes_of
from sam3_agent.model.model_folder import NONSENSE
from sam3_agent.types import Concept

MOST_BYTES = 256 * 2**20
"""Of the tensors; those of rank 64 have 18 MB at full size."""
MOST_RANK = 256
"""As wide as a token of SAM 3: more is no adapter."""
LARGEST = 1e3
"""Of a tensor's numbers, which are about 0.1."""


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """Changes of a model, and what they are for."""

    manifest: AdapterManifest
    tensors: Mapping[str, Tensor]
    """See `low_rank`; float16 on the CPU."""
    concept: Concept | None
    """Prompt that it is asked by; None where it is always on."""


def base_fingerprint(model: Sam3Model) -> str:
    """16 hex digits of all that an adapter changes or reads, in bfloat16: one value in every number format."""
    digest = hashlib.sha256()
    parts = cast(Any, model)
    for part in (parts.vision_encoder.neck, parts.geometry_encoder, *(getattr(parts, name) for name in PARTS)):
        for tensor in part.state_dict().values():
            digest.update(tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def adapter_fingerprint(base: str, tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits of a base and the changes of it."""
    digest = hashlib.sha256(base.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].to(torch.float16).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the changes into a folder that is there."""
    path = folder / TENSORS
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o644)  # safetensors writes for its owner alone


def read_adapter(folder: Path, model: Sam3Model, base: str) -> Adapter:
    """Read an adapter of this model, whose `base_fingerprint` is given.

    Raises:
        ModelUnavailable: it is damaged, of other weights, or holds what no adapter of this model has.
    """
    try:
        manifest = read_manifest(folder)
        if manifest.base != base:
            raise ModelUnavailable(
                f"the adapter '{folder}' changes other weights ({manifest.base_name}, {manifest.base}) than these"
                f" ({base}); fine-tune it again on this model"
            )
        tensors = _tensors(folder, model)
        if adapter_fingerprint(base, tensors) != manifest.fingerprint:
            raise ModelUnavailable(f"the adapter '{folder}' is damaged: its tensors are not those of its adapter.json")
        concept = None if manifest.always_on else read_adapter_concept(folder)
    except InputError as error:
        raise ModelUnavailable(f"the adapter '{folder}' cannot be read ({error})") from error
    return Adapter(manifest, tensors, concept)


def _tensors(folder: Path, model: Sam3Model) -> dict[str, Tensor]:
    """The tensors, once their names and shapes are known to be those of a change of this model."""
    path = folder / TENSORS
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise InputError(f"{TENSORS} is no file of at most {MOST_BYTES // 2**20} MiB")
    try:
        with cast(Any, safe_open)(path, framework="pt") as file:
            shapes = {str(name): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_shapes(shapes, model)
            tensors = {name: file.get_tensor(name) for name in shapes}
    except NONSENSE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{TENSORS}: {type(error).__name__}: {str(error)[:100]}") from error
    for name, value in tensors.items():
        if value.dtype != torch.float16 or not (value.float().abs() <= LARGEST).all():  # NaN is not, either
            raise InputError(f"{TENSORS}: {name} holds other numbers than float16 up to {LARGEST:.0f}")
    return tensors


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], model: Sam3Model) -> None:
    ranks = {shape[0] for name, shape in shapes.items() if name.endswith(".down") and shape}
    if len(ranks) != 1 or not 1 <= max(ranks) <= MOST_RANK:
        raise InputError(f"{TENSORS} has ranks {sorted(ranks)[:5]}; one of 1 to {MOST_RANK} is expected")
    wanted = shapes_of(model, max(ranks))
    odd = sorted(name for name, shape in shapes.items() if wanted.get(name) != shape)
    if odd:
        raise InputError(f"{TENSORS} holds {odd[0]!r:.100} of shape {shapes[odd[0]]}, which fits no layer here")
    missing = sorted(
        f"{name.rpartition('.')[0]}.{kind}"
        for name in shapes
        for kind in (KINDS[:2] if name.rpartition(".")[2] in KINDS[:2] else KINDS[2:])
        if f"{name.rpartition('.')[0]}.{kind}" not in shapes
    )
    if missing:
        raise InputError(f"{TENSORS} lacks {missing[0]!r:.100}")
