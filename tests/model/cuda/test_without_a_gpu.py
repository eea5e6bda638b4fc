"""Bans of CUDA graphs, kept where there is no GPU: all functions are traced on tensors of "cuda" without memory.

torch's fake tensors have the device, format and shape of real ones. A function that asks one for its value raises, as a
capture would; one that mixes devices or formats raises as CUDA would; and `HostWatch` sees what is made on the host.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Sam3Model

from sam3_agent.masks import Rle
from sam3_agent.model import sam3_forward
from sam3_agent.model.cuda.fast_path import FastPath
from sam3_agent.model.cuda.graphs import BOXES, PROMPTS, TOKENS, Function, Graphs, Recording, Tensors
from sam3_agent.model.cuda.start import fast_path_of
from sam3_agent.model.tracker import Clicks, Tracker
from tests.model.conftest import small_config, small_tracker_config

CUDA = torch.device("cuda")


class HostWatch(TorchDispatchMode):
    """Notes every operation that reads or makes a tensor outside of the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, Tensor)]
        if any(each.device.type != "cuda" for each in tensors):
            self.seen.append(str(func))
        return out


@contextmanager
def made_on_cuda(dtype: torch.dtype) -> Generator[None]:
    """New tensors are fake ones on a GPU, in a number format."""
    torch.set_default_dtype(dtype)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device(CUDA):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def watched(host: dict[str, list[str]]) -> Callable[[Function, Tensors], Recording]:
    """A recorder that notes by function what each does on the host."""

    def record(function: Function, inputs: Tensors) -> Recording:
        with HostWatch() as watch:
            outputs = function(*inputs)
        assert all(output.device.type == "cuda" for output in outputs)
        if watch.seen:
            host.setdefault(getattr(function, "__qualname__", type(function).__name__), []).extend(watch.seen)
        return Recording(lambda: None, outputs)

    return record


def no_masks(logits: Tensor, height: int, width: int) -> list[Rle]:
    assert logits.dtype == torch.float32
    return []


def fast_on_cuda(dtype: torch.dtype, graphs: Graphs) -> tuple[FastPath, Tracker]:
    with made_on_cuda(dtype):
        model, tracker = Sam3Model(small_config()).eval(), Tracker(small_tracker_config()).eval()
        for name, table in tracker.named_buffers():
            if "positional_embedding" in name:
                table.data = table.data.float()
    with FakeTensorMode(allow_non_fake_inputs=True):
        sam3_forward.prepare(model)
        return fast_path_of(model, tracker, graphs, no_masks), tracker


@pytest.mark.integration  # traces the network forty times
@pytest.mark.timeout(1800)
def test_no_function_waits_or_makes_anything_on_the_host() -> None:
    dtype = torch.bfloat16
    host: dict[str, list[str]] = {}
    graphs = Graphs(watched(host))
    fast, tracker = fast_on_cuda(dtype, graphs)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        fast.record_all()
        seen = fast.encode(torch.zeros(1, 3, 96, 96, device=CUDA))
        assert {level.dtype for level in seen.levels} == {dtype}
        coarse = seen.levels[-1]
        for length in TOKENS[1:]:
            mask = torch.ones(1, length, dtype=torch.bool, device=CUDA)
            grounded = fast.ground(coarse, torch.zeros(1, length, 32, device=CUDA, dtype=dtype), mask)
            assert grounded is not None
            assert grounded.boxes.dtype == torch.float32
            assert fast.masks(seen.levels, grounded, 0, [0, 3]) is not None
        for rows, number in ((1, BOXES[-1]), (PROMPTS[-1], 2)):
            boxes = torch.zeros(rows, number, 4, device=CUDA), torch.ones(rows, number, device=CUDA)
            assert fast.boxes(coarse.expand(rows, -1, -1, -1), *boxes) is not None
        features = tracker.features(seen.grid)
        for number, masked in ((1, True), (0, True), (3, False)):
            mask = torch.zeros(1, 1, 48, 48, device=CUDA) if masked else None
            labels = torch.ones(1, number, dtype=torch.int64, device=CUDA)
            clicks = Clicks(torch.zeros(1, number, 2, device=CUDA), labels, None, mask)
            assert fast.click(tracker, features, clicks, multimask=False) is not None
    assert host == {}
    assert len(graphs.keys) > 25


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: (x + torch.tensor([1.0, 2.0]).to(x.device),), "to_copy"),
        (lambda x: (x.cpu().to(x.device),), "to_copy"),
        (lambda x: (torch.where(x > 0, x, torch.tensor(0.0)),), "where"),
    ],
)
def test_the_watch_sees_what_is_made_on_the_host(function: Function, said: str) -> None:
    host: dict[str, list[str]] = {}
    with FakeTensorMode():
        Graphs(watched(host)).run("key", function, torch.zeros(2, device=CUDA))
    assert any(said in each for each in next(iter(host.values())))


def test_a_function_that_asks_for_a_value_raises() -> None:
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        Graphs(watched({})).run("key", lambda x: (x[: int(x.sum())],), torch.zeros(2, device=CUDA))
