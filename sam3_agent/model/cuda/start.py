"""Start of the fast path: compile, capture, compare with the modules; what fails is left out with a warning."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Sam3Model

from sam3_agent.model import sam3_forward
from sam3_agent.model.cuda.detector import Detector
from sam3_agent.model.cuda.fast_path import FastPath, Parts
from sam3_agent.model.cuda.geometry import Geometry
from sam3_agent.model.cuda.graphs import CudaRecorder, Graphs, Recorder
from sam3_agent.model.cuda.mask_counts import MaskCoder, in_torch, in_triton
from sam3_agent.model.cuda.masks import MaskDecoder
from sam3_agent.model.cuda.vision import Vision
from sam3_agent.model.loading import first_line
from sam3_agent.model.oom import free_memory
from sam3_agent.model.text_prompts import CONTEXT
from sam3_agent.model.tracker import Tracker

_log = logging.getLogger(__name__)

TOLERANCE = 0.2
"""Most relative difference of the fast path from the modules, by norm: finds kernels that do not work, which are off by
1 or more. 0.017 was measured for the compiled ViT in bfloat16; how near it comes is for the `gpu` tests to say."""

VERSIONS = 64
"""Compiled versions of a layer that a process may hold. Every model, number format and GPU needs its own: 2 for the
ViT's windows, up to 4 for numbers of prompts. torch's own limit is 8, at which a third GPU would be refused."""


def start_fast_path(
    model: Sam3Model, tracker: Tracker | None, *, said: Callable[[str], object] = _log.debug
) -> FastPath | None:
    """A fast path with everything compiled and captured, or None where even capturing fails.

    Takes a minute when the code is compiled for the first time on a machine, seconds from then on (`keep_code`).
    """
    keep_code()
    code = mask_coder(model.device)
    broken: list[str] = []
    for compiled in (True, False):
        began = time.perf_counter()
        free_memory()  # of the first try, where this is the second
        try:
            fast = recorded(model, tracker, CudaRecorder(model.device), code, compiled=compiled, said=said)
            off = difference(fast, model)
        except Exception as error:  # noqa: BLE001  # error boundary: compilers raise anything, and a plain network is left
            broken.append(f"{_doing(compiled)} failed on {model.device} ({first_line(error)})")
            continue
        if off > TOLERANCE:
            del fast
            broken.append(f"{_doing(compiled)} gives other results on {model.device} (off by {off:.2g})")
            continue
        if broken:
            _log.warning("%s; the network is captured without", broken[0])
        done, seconds = "compiled and captured" if compiled else "captured", time.perf_counter() - began
        words = "%s %d functions on %s in %.1f s, off the plain network by %.4f"
        _log.info(words, done, len(fast.graphs.keys), model.device, seconds, off)
        return fast
    _log.warning("%s; the network runs as it is", "; ".join(broken))
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
    many = cast(Any, torch)._dynamo.config.patch(recompile_limit=VERSIONS) if compiled else nullcontext()
    with many, torch.inference_mode():
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
        same = in_triton(sample, 97, 83) == in_torch(sample.cpu(), 97, 83)
    except ImportError:
        _log.warning("Triton is not installed, so masks are coded by torch")
        return in_torch
    except Exception as error:  # noqa: BLE001  # error boundary: Triton's errors have no common ancestor
        _log.warning("masks are coded by torch, since Triton does not work here (%s)", first_line(error))
        return in_torch
    if not same:
        _log.warning("masks are coded by torch, since Triton's kernels give others here")
        return in_torch
    return in_triton


def difference(fast: FastPath, model: Sam3Model) -> float:
    """The largest of the `differences`."""
    return max(differences(fast, model).values())


@torch.inference_mode()
def differences(fast: FastPath, model: Sam3Model) -> dict[str, float]:
    """Relative difference, by norm, of what the fast path says to one prompt from what the modules say, by its name.

    Infinite where anything is not a number.
    """
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
        return {"ground": float("inf")}
    masks = sam3_forward.decode_masks(model, levels, plain, 0, torch.tensor(chosen, device=model.device))
    found = {"grid": _relative(seen.grid, grid)}
    found |= {f"level {n}": _relative(*pair) for n, pair in enumerate(zip(seen.levels, levels, strict=True))}
    for name in ("memory", "queries", "boxes"):  # not presence: a single number, which may be near 0
        found[name] = _relative(getattr(mine, name), getattr(plain, name))
    return found | {"masks": _relative(drawn, masks)}


def keep_code() -> None:
    """Have compiled code kept on disk from one start to the next, unless the environment says where.

    Where there is no such folder and none can be made, it stays where torch puts it: in the folder for temporary files.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  # never raises
    kept = home / "sam3-agent" / "compiled"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))


def _relative(mine: Tensor, plain: Tensor) -> float:
    """Infinite where anything is not a number."""
    wanted = plain.float()
    off = float((mine.float() - wanted).square().sum().sqrt()) / max(float(wanted.square().sum().sqrt()), 1e-6)
    return off if off == off else float("inf")


def _doing(compiled: bool) -> str:
    return "compiling and capturing the network" if compiled else "capturing the network"
