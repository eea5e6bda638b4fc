"""The Triton kernels give COCO's bytes: on a CPU by Triton's interpreter, on a GPU compiled."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sam3_agent import masks
from sam3_agent.model.cuda.mask_counts import in_torch, in_triton
from sam3_agent.model.mask_rle import to_rle
from tests.model.cuda.interpreted import planes

TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed here")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
SIZES = ((1, 1), (7, 300), (288, 288), (1200, 1800))


@pytest.mark.integration
@pytest.mark.timeout(1800)  # the interpreter takes 40 s of a core that it has to itself
@TRITON
def test_interpreted_kernels_give_the_bytes_of_every_kind_of_mask() -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.model.cuda.interpreted"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 4
    assert found == {name: [] for name in found}


@pytest.mark.parametrize("kind", planes())
@pytest.mark.parametrize("size", [(1, 1), (9, 1), (31, 47), (300, 400)])
def test_torch_gives_the_bytes_of_pycocotools(kind: str, size: tuple[int, int]) -> None:
    logits = planes()[kind]
    whole = torch.nn.functional.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0] > 0
    wanted = [masks.encode(mask) for mask in whole.numpy()]
    assert in_torch(logits, *size) == wanted
    assert [to_rle(plane, *size) for plane in logits.numpy()] == wanted


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("size", [*SIZES, (3000, 4000)])
def test_kernels_on_a_gpu_give_the_bytes_of_every_kind_of_mask(size: tuple[int, int]) -> None:
    for logits in planes().values():
        assert in_triton(logits.cuda(), *size) == [to_rle(plane, *size) for plane in logits.numpy()]


@pytest.mark.gpu
@GPU
def test_noise_needs_more_room_than_was_guessed_and_gets_it() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (8, 288, 288)).astype(np.float32))
    assert in_triton(noise.cuda(), 1200, 1800) == [to_rle(plane, 1200, 1800) for plane in noise.numpy()]


@pytest.mark.integration
@TRITON
@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_for_two_generations_of_gpus_without_fused_products(capability: int) -> None:
    """Also where there is no GPU: a fused product and sum rounds once instead of twice, which moves edges."""
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from sam3_agent.model.cuda import mask_kernels

    pointers = {"logits": "*fp32", "reach": "*i32", "found": "*i32", "counts": "*i32", "sizes": "*i32", "text": "*u8"}
    pointers |= dict.fromkeys(("ends", "places", "stops"), "*i64") | dict.fromkeys(("down", "over"), "fp32")
    constants: list[tuple[str, dict[str, int | bool]]] = [
        ("extents", {"WIDE": 512, "ROWS": 16}),
        ("scan", {"WRITE": False, "COLUMNS": 32, "ROWS": 32}),
        ("scan", {"WRITE": True, "COLUMNS": 32, "ROWS": 32}),
        ("run_lengths", {"BLOCK": 512, "GROUPS": 8}),
        ("characters", {"BLOCK": 512, "GROUPS": 8}),
    ]
    for name, values in constants:
        kernel = getattr(mask_kernels, name)
        signature = {each: "constexpr" if each in values else pointers.get(each, "i32") for each in kernel.arg_names}
        source = ASTSource(
            kernel, signature, {(kernel.arg_names.index(each),): value for each, value in values.items()}
        )
        made = compiled(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
        assert "fma.rn.f32" not in made.asm["ptx"], name
