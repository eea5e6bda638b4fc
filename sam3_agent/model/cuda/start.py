"""Start of the fast path: compile, capture, compare with the modules; what fails is left out with a warning."""

import logging
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.model import sam3_forward
from sam3_agent.model.cuda.detector import Detector
from sam3_agent.model.cuda.fast_path import FastPath, Parts
from sam3_agent.model.cuda.geometry import Geometry
from sam3_agent.model.cuda.graphs import Graphs, Recorder, cuda_recorder
from sam3_agent.model.cuda.mask_counts import MaskCoder, in_torch, in_triton
from sam3_agent.model.cuda.masks import MaskDecoder
from sam3_agent.model.cuda.vision import Vision
from sam3_agent.model.text_prompts import CONTEXT
from sam3_agent.model.tracker import Tracker

_log = logging.getLogger(__name__)

TOLERANCE = 0.2
"""Most relative difference of the fast path from the modules, by norm: finds kernels that do not work, which are off by
1 or more. 0.017 was measured for the compiled ViT in bfloat16; how near it comes is for the `gpu` tests to say."""
FAILURES = (RuntimeError, OSError, ImportError, NotImplementedError, subprocess.SubprocessError)
"""Errors of compilers, drivers and missing tools: torch's and CUDA's errors are RuntimeErrors, a missing C compiler is
an OSError."""


def start_fast_path(
    model: Sam3Model, tracker: Tracker | None, *, said: Callable[[str], object] = _log.debug
) -> FastPath | None:
    """A fast path with everything compiled and captured, or None where even capturing fails.

    Takes a minute when the code is compiled for the first time on a machine, seconds from then on (`keep_code`).
    """
    keep_code()
    code = mask_coder(model.device)
    for compiled in (True, False):
        began = time.perf_counter()
        try:
            fast = recorded(model, tracker, cuda_recorder(model.device), code, compiled=compiled, said=said)
            off = difference(fast, model)
        except FAILURES as error:
            _log.warning("%s failed on %s (%s)", _doing(compiled), model.device, _line(error))
            continue
        if off <= TOLERANCE:
            done, seconds = "compiled and captured" if compiled else "captured", time.perf_counter() - began
            words = "%s %d functions on %s in %.1f s, off the plain network by %.4f"
            _log.info(words, done, len(fast.graphs.keys), model.device, seconds, off)
            return fast
        _log.warning(
            "%s on %s gives other results (off by %.2g), so it is not used", _doing(compiled), model.device, off
        )
    return None


def recorded(
    model: Sam3Model,
    tracker: Tracker | None,
    record: Recorder,
    code: MaskCoder,
    *,
    compiled: bool,
    said: Callable[[str], object] = _log.debug,
    **options: Any,
) -> FastPath:
    """A fast path that has run at all its shapes, each of which is `said`; `options` are those of torch.compile."""
    fast = fast_path_of(model, tracker, Graphs(record), code)
    if compiled:
        fast.compile(**options)
    with torch.inference_mode():
        fast.record_all(said)
    return fast


def fast_path_of(model: Sam3Model, tracker: Tracker | None, graphs: Graphs, code: MaskCoder) -> FastPath:
    """Put a fast path together.

    Changes the model: its projections become views of fused ones, which leaves every value as it is.
    """
    config = cast(Any, model.config)
    vision = config.vision_config
    grid = int(config.image_size // vision.backbone_config.patch_size * vision.scale_factors[-2])
    with torch.inference_mode(False), torch.no_grad():  # the weights stay usable outside of inference mode
        shape = (1, int(config.detr_encoder_config.hidden_size), grid, grid)  # of the coarsest level that is read
        coarse = torch.zeros(shape, device=model.device, dtype=cast(Any, model).dtype)
        position = sam3_forward.position_encoding(model, coarse).flatten(2).transpose(1, 2).contiguous()
        parts = Parts(
            Vision(model), Geometry(model, position), Detector(model, position, (grid, grid)), MaskDecoder(model)
        )
    return FastPath(model, parts, tracker, graphs, code)


def mask_coder(device: torch.device) -> MaskCoder:
    """Triton's mask coder where it works on a device and says what torch's does, else torch's."""
    if device.type != "cuda":
        return in_torch
    sample = torch.sin(torch.arange(3 * 24 * 20, device=device).reshape(3, 24, 20) / 7.0)
    try:
        errors: tuple[type[Exception], ...] = (*FAILURES, _triton_error())
    except ImportError:
        _log.warning("Triton is not installed, so masks are coded by torch")
        return in_torch
    try:
        same = in_triton(sample, 97, 83) == in_torch(sample.cpu(), 97, 83)
    except errors as error:
        _log.warning("masks are coded by torch, since Triton does not work here (%s)", _line(error))
        return in_torch
    if not same:
        _log.warning("masks are coded by torch, since Triton's kernels give others here")
        return in_torch
    return in_triton


@torch.inference_mode()
def difference(fast: FastPath, model: Sam3Model) -> float:
    """The largest relative difference, by norm, of what the fast path says from what the modules say to one prompt."""
    side = int(cast(Any, model.config).image_size)
    shade = torch.linspace(-1, 1, side, device=model.device, dtype=cast(Any, model).dtype)
    pixels = torch.stack([shade.expand(side, side), shade[:, None].expand(side, side), -shade.expand(side, side)])[None]
    seen = fast.encode(pixels)
    grid, levels = sam3_forward.encode_pixels(model, pixels)
    text = sam3_forward.encode_text(model, torch.arange(CONTEXT, device=model.device)[None])
    tokens = torch.cat([text, seen.cls], dim=1)
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=model.device)
    mine, plain = fast.ground(levels[-1], tokens, mask), sam3_forward.ground(model, levels[-1], tokens, mask)
    chosen = list(range(4))
    drawn = None if mine is None else fast.masks(levels, mine, 0, chosen)
    if mine is None or drawn is None:
        return float("inf")
    masks = sam3_forward.decode_masks(model, levels, plain, 0, torch.tensor(chosen, device=model.device))
    pairs = [(seen.grid, grid), *zip(seen.levels, levels, strict=True), (mine.memory, plain.memory)]
    pairs += [(mine.queries, plain.queries), (mine.boxes, plain.boxes), (drawn, masks)]
    return max(_relative(*pair) for pair in pairs)


def keep_code() -> None:
    """Have compiled code kept on disk from one start to the next, unless the environment says where."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "sam3-agent" / "compiled"))


def _relative(mine: Tensor, plain: Tensor) -> float:
    """Infinite where anything is not a number."""
    wanted = plain.float()
    off = float((mine.float() - wanted).square().sum().sqrt()) / max(float(wanted.square().sum().sqrt()), 1e-6)
    return off if off == off else float("inf")


def _doing(compiled: bool) -> str:
    return "compiling and capturing the network" if compiled else "capturing the network"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _triton_error() -> type[Exception]:
    from sam3_agent.model.cuda import mask_kernels

    return cast(type[Exception], cast(Any, mask_kernels).TritonError)
